// SPDX-License-Identifier: MIT

public import AltNetWatchdog

extension DaemonConfiguration {
    /// Somebody or something that is told of incidents.
    public struct Alert: Hashable, Sendable {
        /// How they are told.
        public enum Way: Hashable, Sendable {
            /// A POST of JSON, signed with the secret in a file.
            case webhook(url: String, secretFile: String, proxy: String?, allowsPlain: Bool)
            /// A program that gets JSON on standard input.
            case command([String])
            /// A message through the local `sendmail`.
            case email(to: [String], from: String, sendmail: String)
            /// The system's journal, at its socket.
            case journal(socket: String)
        }

        public var name: String
        public var way: Way
        /// Less severe incidents are not told.
        public var minimum: Incident.Severity
        /// How long one delivery may take; `nil` for what is usual for its kind.
        public var timeout: Duration?
        /// Deliveries in a row before ``perHour`` holds.
        public var burst: Int
        /// Deliveries an hour in the long run.
        public var perHour: Int

        /// All that there is to it.
        public init(
            name: String,
            way: Way,
            minimum: Incident.Severity = .warning,
            timeout: Duration? = nil,
            burst: Int = 10,
            perHour: Int = 60
        ) {
            self.name = name
            self.way = way
            self.minimum = minimum
            self.timeout = timeout
            self.burst = burst
            self.perHour = perHour
        }

        /// Where Debian and most others keep it.
        public static let defaultSendmail = "/usr/sbin/sendmail"
        /// Where systemd's journal listens.
        public static let defaultJournal = "/run/systemd/journal/socket"
    }
}

/// The kinds of `[alerts.NAME]` and their keys.
enum AlertKind: String, CaseIterable, Hashable, Sendable {
    case webhook, command, email, journal

    /// The keys that only this kind has.
    var ownKeys: [String: ValueKind] {
        switch self {
        case .webhook: ["url": .text, "secret_file": .text, "proxy": .text, "allow_plain": .flag]
        case .command: ["command": .texts]
        case .email: ["to": .texts, "from": .text, "sendmail": .text]
        case .journal: ["socket": .text]
        }
    }

    /// The keys of all kinds.
    static let keys: [String: ValueKind] = Self.allCases.reduce(
        into: ["kind": .text, "minimum": .text, "timeout_seconds": .real, "burst": .number, "per_hour": .number]
    ) { keys, kind in
        keys.merge(kind.ownKeys) { first, _ in first }
    }
}

extension Settings {
    /// A second is quick for a delivery, and nobody waits for more than five minutes.
    private static let alertTimeoutRange = 1.0...300.0
    /// More receivers of one message are a mailing list, which has an address of its own.
    private static let maximumReceivers = 16

    func alerts(_ names: [String]) throws(ConfigurationError) -> [DaemonConfiguration.Alert] {
        var alerts: [DaemonConfiguration.Alert] = []
        for name in names { alerts.append(try self.alert(name)) }
        return alerts
    }

    private func alert(_ name: String) throws(ConfigurationError) -> DaemonConfiguration.Alert {
        let table = Schema.alertSinks.appending(name)
        let words = AlertKind.allCases.map(\.rawValue)
        guard let text = self.text(table.appending("kind")) else {
            throw ConfigurationError(
                .missingKey,
                self.place(of: table),
                "the alert `\(name)` needs `\(table.appending("kind"))`: \(Readable.list(words, "or"))"
            )
        }
        guard let kind = AlertKind(rawValue: text) else {
            throw self.notAmong(words, table.appending("kind"), text)
        }
        for other in AlertKind.allCases where other != kind {
            for key in other.ownKeys.keys.sorted() where self.place(of: table.appending(key)) != .defaults {
                throw self.invalid(table.appending(key), "belongs to \(other.rawValue), not to \(kind.rawValue)")
            }
        }
        let levels = [Incident.Severity.warning, .critical]
        return DaemonConfiguration.Alert(
            name: name,
            way: try self.way(kind, table),
            minimum: try self.choice(
                table.appending("minimum"),
                default: .warning,
                among: levels.map(\.rawValue)
            ) { Incident.Severity(rawValue: $0) },
            timeout: self.place(of: table.appending("timeout_seconds")) == .defaults
                ? nil
                : try self.seconds(
                    table.appending("timeout_seconds"), default: .seconds(30), in: Self.alertTimeoutRange),
            burst: try self.number(table.appending("burst"), default: 10, in: 1...1_000),
            perHour: try self.number(table.appending("per_hour"), default: 60, in: 1...36_000)
        )
    }

    private func way(
        _ kind: AlertKind,
        _ table: SettingPath
    ) throws(ConfigurationError) -> DaemonConfiguration.Alert.Way {
        switch kind {
        case .webhook:
            let url = try self.required(table.appending("url"), self.text(table.appending("url")))
            guard url.hasPrefix("https://") || url.hasPrefix("http://") else {
                throw self.invalid(
                    table.appending("url"), "must begin with https:// or http://, unlike \(Readable.quoted(url))")
            }
            let proxy = self.text(table.appending("proxy"))
            if let proxy, !HostAndPort.isValid(proxy) {
                throw self.invalid(
                    table.appending("proxy"), "must have the form host:port, unlike \(Readable.quoted(proxy))")
            }
            let file = table.appending("secret_file")
            return .webhook(
                url: url,
                secretFile: try self.required(file, try self.filePath(file)),
                proxy: proxy,
                allowsPlain: self.flag(table.appending("allow_plain")) ?? false
            )
        case .command:
            let path = table.appending("command")
            var command = try self.required(path, self.texts(path))
            guard let program = command.first, program.hasPrefix("/") || program.hasPrefix("~/") else {
                throw self.invalid(path, "must begin with the absolute path of a program")
            }
            command[0] = try self.absolute(program, path)
            return .command(command)
        case .email:
            let path = table.appending("to")
            let receivers = try self.required(path, self.texts(path))
            guard (1...Self.maximumReceivers).contains(receivers.count) else {
                throw self.invalid(path, "must name 1 to \(Self.maximumReceivers) receivers")
            }
            for receiver in receivers { try self.checkMailAddress(receiver, path) }
            let from = try self.required(table.appending("from"), self.text(table.appending("from")))
            try self.checkMailAddress(from, table.appending("from"))
            let sendmail = try self.filePath(table.appending("sendmail"))
            return .email(to: receivers, from: from, sendmail: sendmail ?? DaemonConfiguration.Alert.defaultSendmail)
        case .journal:
            let socket = try self.filePath(table.appending("socket"))
            return .journal(socket: socket ?? DaemonConfiguration.Alert.defaultJournal)
        }
    }

    /// A mistyped address is found here; whether it exists is the mail system's business. A leading dash would be
    /// an option of `sendmail`.
    private func checkMailAddress(_ text: String, _ path: SettingPath) throws(ConfigurationError) {
        let isPlain = text.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != UInt8(ascii: ",") }
        guard isPlain, !text.hasPrefix("-"), !text.isEmpty, text.utf8.count <= 254 else {
            throw self.invalid(path, "must be mail addresses, unlike \(Readable.quoted(text))")
        }
    }

    private func required<Value>(_ path: SettingPath, _ value: Value?) throws(ConfigurationError) -> Value {
        if let value { return value }
        throw ConfigurationError(
            .missingKey,
            self.place(of: path.table.appending("kind")),
            "the alert `\(path.table.name)` needs `\(path)`"
        )
    }
}
