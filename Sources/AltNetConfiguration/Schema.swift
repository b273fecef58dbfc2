// SPDX-License-Identifier: MIT

internal import AltNetWatchdog
internal import Configuration

/// What a key's value must be.
enum ValueKind: Hashable, Sendable {
    case text, texts, number, real, flag

    /// The end of "it must be …".
    var description: String {
        switch self {
        case .text: "a string"
        case .texts: "a list of strings"
        case .number: "a whole number"
        case .real: "a number"
        case .flag: "true or false"
        }
    }

    /// The value of a text from the environment or the command line; `nil` when it does not read as one.
    func content(from text: String) -> ConfigContent? {
        switch self {
        case .text:
            return .string(text)
        case .texts:
            let parts = text.split(separator: ",").map { String($0.trimmingSpaces) }
            return .stringArray(parts.filter { !$0.isEmpty })
        case .number:
            return Int(text).map { .int($0) }
        case .real:
            return Double(text).map { .double($0) }
        case .flag:
            switch text.lowercased() {
            case "true", "yes", "1": return .bool(true)
            case "false", "no", "0": return .bool(false)
            default: return nil
            }
        }
    }
}

extension Substring {
    /// The text without spaces at its ends.
    fileprivate var trimmingSpaces: Substring {
        guard let first = self.firstIndex(where: { $0 != " " }), let last = self.lastIndex(where: { $0 != " " }) else {
            return ""
        }
        return self[first...last]
    }
}

/// Who starts a driver.
enum DriverOrigin: Hashable, Sendable {
    /// The daemon starts this program.
    case program(String)
    /// Somebody else, and the daemon waits for it.
    case external

    /// What a key `start` may say; `altnetd` is the default.
    static let words = ["altnetd", "external"]

    /// Which settings the driver takes. What is not ours has free ones.
    var kind: DriverProgram {
        switch self {
        case .program(let program): DriverProgram(program: program)
        case .external: .other
        }
    }

    /// How sentences name it.
    var description: String {
        switch self {
        case .program(let program): Readable.text(program)
        case .external: "a driver that something else starts"
        }
    }
}

/// Which settings a driver's program takes.
enum DriverProgram: Hashable, Sendable {
    case bitcoin, lightning, libp2p, punch, other

    /// Judges a program by its file name.
    init(program: String) {
        switch program.split(separator: "/").last {
        case "altnet-bitcoin": self = .bitcoin
        case "altnet-lightning": self = .lightning
        case "altnet-libp2p": self = .libp2p
        case "altnet-punch": self = .punch
        default: self = .other
        }
    }

    /// The settings that stand in the driver's table itself; all others have a table of their own.
    var settings: [String: ValueKind] {
        switch self {
        case .bitcoin:
            [
                "connect": .texts, "listen": .texts, "proxy": .text, "serve_only": .flag, "serve_blocks": .flag,
                "user_agent": .text,
            ]
        case .lightning:
            [
                "connect": .texts, "listen": .texts, "proxy": .text, "serve_only": .flag, "key_file": .text,
                "messages": .flag, "message_rate": .number, "lnd": .text, "lnd_certificate": .text,
                "lnd_macaroon": .text, "announce": .texts, "announce_bitcoin": .texts,
                "announce_bitcoin_services": .number, "dial": .texts,
                "alt_addr_peers": .texts, "alt_listen": .texts,
                "alt_announce": .texts, "alt_addr_private": .flag, "alt_addr_log": .flag, "tor_control": .text,
                "tor_control_password_file": .text,
            ]
        case .libp2p:
            [
                "connect": .texts, "listen": .texts, "announce": .texts, "proxy": .text, "key_file": .text,
                "dial": .texts, "dht": .text, "dht_protocol": .text, "loopback_is_foreign": .flag,
            ]
        case .punch:
            [
                "connect": .texts, "coordination": .texts, "tor_control": .text, "tor_control_password_file": .text,
                "socks": .text,
                "sam": .text, "witnesses": .texts, "minimum_witnesses": .number, "predict_port": .flag,
                "offer": .number, "use": .text, "relay": .flag, "map_ports": .flag, "ipv6": .flag,
                "answer_checks": .text, "serve_blocks": .flag,
                "rotate_hours": .number, "allow_private_addresses": .flag,
            ]
        case .other: [:]
        }
    }
}

/// The keys that a configuration may have, given the names that the operator chose.
struct Schema: Sendable {
    /// Where the drivers come from, by their names.
    let origins: [String: DriverOrigin]
    /// The names of the alerts' sinks.
    let alerts: [String]
    /// The names of the spliced ports.
    let ports: [String]
    /// The keys.
    private(set) var kinds: [SettingPath: ValueKind] = [:]
    /// The tables whose keys are known.
    private(set) var tables: Set<SettingPath> = []
    /// The tables with keys that only the driver knows.
    private(set) var freeTables: Set<SettingPath> = []

    static let drivers = SettingPath("drivers")
    static let alertSinks = SettingPath("alerts")
    static let splicedPorts = SettingPath("splice", "ports")

    init(origins: [String: DriverOrigin], alerts: [String] = [], ports: [String] = []) {
        self.origins = origins
        self.alerts = alerts
        self.ports = ports
        self.add(.root, ["network": .text, "data_directory": .text, "runtime_directory": .text, "log_level": .text])
        self.add(SettingPath("chain"), ["start": .text, "minimum_work": .text])
        self.add(
            SettingPath("sync"),
            ["request_timeout_seconds": .real, "behind_probe_seconds": .real, "idle_probe_seconds": .real]
        )
        self.add(
            SettingPath("watchdog"),
            ["grace_seconds": .real, "expected_interval_seconds": .real, "record": .flag]
        )
        self.add(
            SettingPath("node"),
            [
                "kind": .text, "url": .text, "cookie_file": .text, "user": .text, "password": .text,
                "allow_remote": .flag, "follow": .text, "zmq": .text, "poll_seconds": .real, "allow": .texts,
                "library": .text,
            ]
        )
        self.add(SettingPath("policy"), ["dry_run": .flag, "spare_links": .texts])
        for kind in Incident.Kind.allCases { self.kinds[SettingPath("policy", kind.rawValue)] = .texts }
        self.add(SettingPath("http"), ["listen": .text, "metrics_without_token": .flag])
        self.add(
            SettingPath("peers"),
            [
                "capacity": .number, "share_record": .text, "keep_private_ranges": .flag,
                "keep_unknown_transports": .flag,
            ]
        )
        self.add(SettingPath("punch"), ["outbound": .number, "relay_offers": .flag])
        self.add(SettingPath("splice"), ["accept": .text])
        self.add(Self.splicedPorts, [:])
        for name in ports {
            self.add(Self.splicedPorts.appending(name), ["listen": .text, "driver": .text, "target": .text])
        }
        self.add(Self.alertSinks, [:])
        for name in alerts { self.add(Self.alertSinks.appending(name), AlertKind.keys) }
        self.add(Self.drivers, [:])
        for (name, origin) in origins {
            let table = Self.drivers.appending(name)
            self.add(
                table,
                [
                    "program": .text, "start": .text, "enabled": .flag, "traffic": .texts,
                    "messages_per_second": .number,
                    "bytes_per_second": .number,
                ]
            )
            let kind = origin.kind
            self.add(table, kind.settings)
            if kind == .other { self.freeTables.insert(table.appending("settings")) }
        }
    }

    private mutating func add(_ table: SettingPath, _ keys: [String: ValueKind]) {
        self.tables.insert(table)
        for (key, kind) in keys { self.kinds[table.appending(key)] = kind }
    }

    /// The type of a key's value; `nil` when there is no such key. A driver's own settings are texts until the file
    /// gives them another type.
    func kind(of path: SettingPath) -> ValueKind? {
        self.kinds[path] ?? (self.freeTables.contains(path.table) ? .text : nil)
    }

    /// Makes a driver's own setting known.
    mutating func addFree(_ path: SettingPath, _ kind: ValueKind) {
        self.kinds[path] = kind
    }

    /// The keys of a driver's own table of settings.
    func freeKeys(in table: SettingPath) -> [SettingPath] {
        self.kinds.keys.filter { $0.table == table }.sorted()
    }

    /// All keys by the environment variables that set them.
    var environmentNames: [String: Set<SettingPath>] {
        var names: [String: Set<SettingPath>] = [:]
        for path in self.kinds.keys { names[path.environmentName, default: []].insert(path) }
        return names
    }

    /// Says that there is no such key, and which one may have been meant.
    func unknown(_ path: SettingPath, isTable: Bool, _ place: ConfigurationError.Place) -> ConfigurationError {
        var path = path
        var isTable = isTable
        // What is wrong in `a.b.c` may be `a` already.
        while path.components.count > 1, !self.tables.contains(path.table) {
            path = path.table
            isTable = true
        }
        return ConfigurationError(.unknownKey, place, self.sentence(unknown: path, isTable: isTable))
    }

    private func sentence(unknown path: SettingPath, isTable: Bool) -> String {
        let table = path.table
        if table == Self.drivers {
            return "there is no driver \(Readable.quoted(path.name))"
        }
        let subject =
            isTable
            ? "there is no table \(path.header)"
            : "there is no key \(Readable.quoted(path.name))" + (table == .root ? "" : " in \(table.header)")
        if table.table == Self.drivers, let origin = self.origins[table.name] {
            let own = table.appending("settings")
            if isTable, path == own {
                return "\(subject); the settings of \(origin.description) stand in \(table.header) itself"
            }
            if self.freeTables.contains(own), DriverProgram.allSettings.contains(path.name) {
                return "\(subject); the settings of \(origin.description) stand in \(own.header)"
            }
        }
        let candidates = isTable ? Set(self.tables).union(self.freeTables) : Set(self.kinds.keys)
        let names = candidates.filter { $0 != .root && $0.table == table }.map(\.name)
        guard let nearest = Readable.nearest(to: path.name, among: names) else { return subject }
        return "\(subject); did you mean " + (isTable ? "\(table.appending(nearest).header)?" : "`\(nearest)`?")
    }
}

extension DriverProgram {
    /// The settings of all programs of ours.
    fileprivate static var allSettings: Set<String> {
        Set(Self.bitcoin.settings.keys).union(Self.lightning.settings.keys)
    }
}
