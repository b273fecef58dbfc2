// SPDX-License-Identifier: MIT

internal import Glibc

/// Why the settings of a sink cannot be used: one sentence for the operator.
public struct AlertError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}

/// Where alerts go: `[alerts.NAME]` of the configuration.
public struct AlertSink: Hashable, Sendable {
    /// The most sinks of a daemon. Each may hold ``AlertQueue/capacity`` messages and one running attempt.
    public static let maximumCount = 16

    /// What kind it is, with its own settings.
    public enum Kind: Hashable, Sendable {
        case webhook(Webhook)
        case command(Command)
        case email(Email)
        case journal(Journal)

        /// The word that the configuration has for it.
        public var word: String {
            switch self {
            case .webhook: "webhook"
            case .command: "command"
            case .email: "email"
            case .journal: "journal"
            }
        }
    }

    /// The name of its table.
    public var name: String
    public var kind: Kind
    /// The least severity that it gets. An incident that becomes critical later arrives then.
    public var minimum: AlertMessage.Severity
    /// Deliveries in a row before the limit below holds. What comes faster waits, and goes out as a digest.
    public var burst: Int
    /// Deliveries an hour in the long run.
    public var perHour: Int

    /// Ten at once, then one a minute: an attack on ten links is told link by link, a flapping link is not.
    public static let defaultBurst = 10
    public static let defaultPerHour = 60

    public init(
        name: String, kind: Kind, minimum: AlertMessage.Severity = .warning, burst: Int = Self.defaultBurst,
        perHour: Int = Self.defaultPerHour
    ) {
        precondition(burst > 0 && perHour > 0, "a sink must be able to deliver")
        self.name = name
        self.kind = kind
        self.minimum = minimum
        self.burst = burst
        self.perHour = perHour
    }

    /// How long and how often a delivery is tried again.
    var patience: Patience {
        switch self.kind {
        // A program that fails five times in a quarter of a minute will go on failing, and may do harm each time.
        case .command: Patience(firstPause: .seconds(1), longestPause: .seconds(60), attempts: 5)
        case .webhook, .email, .journal: Patience(firstPause: .seconds(5), longestPause: .seconds(600), attempts: nil)
        }
    }

    /// How long and how often a delivery is tried again.
    struct Patience: Hashable, Sendable {
        /// The first pause; each following one is twice as long, up to the longest.
        let firstPause: Duration
        /// Ten minutes for what may be away for hours: soon enough to matter once it is back.
        let longestPause: Duration
        /// The most attempts; `nil` for as many as fit into ``DeliveryScheduler/giveUpAfter``.
        let attempts: Int?
    }
}

extension AlertSink {
    /// An HTTP receiver (RFC 9110), signed as in the Standard Webhooks specification.
    public struct Webhook: Hashable, Sendable {
        public let url: String
        /// A file with the key of the signature (``WebhookSecret``), readable by its owner only. It is read for each
        /// attempt, so that it can be changed.
        public let secretFile: String
        /// A SOCKS5 proxy; names are resolved by it.
        public let proxy: ProxyAddress?
        /// How long one attempt may take, from connecting to the head of the answer.
        public let timeout: Duration

        /// - Parameters:
        ///   - allowPlain: whether `http` is allowed to other hosts than loopback: everybody on the way reads along.
        ///   - timeout: from a tenth of a second to five minutes.
        public init(
            url: String, secretFile: String, allowPlain: Bool = false, proxy: ProxyAddress? = nil,
            timeout: Duration = .seconds(15)
        ) throws(AlertError) {
            let parts = try WebAddress(url)
            guard parts.isSecure || parts.isLoopback || allowPlain else {
                throw AlertError(
                    "url is not encrypted: use https, or set allow_plain = true when nobody on the way may read or change alerts"
                )
            }
            self.url = url
            self.secretFile = secretFile
            self.proxy = proxy
            self.timeout = try AlertSink.checked(timeout)
        }
    }

    /// A program that gets the JSON on standard input.
    public struct Command: Hashable, Sendable {
        /// The most arguments, and bytes of all of them: far above need, far below the system's limit.
        public static let maximumArguments = 64
        public static let maximumBytes = 16_384

        /// The absolute path of the program, and its arguments. No shell reads them.
        public let arguments: [String]
        /// How long it may run before it and its children are killed.
        public let timeout: Duration

        public init(_ arguments: [String], timeout: Duration = .seconds(30)) throws(AlertError) {
            guard let program = arguments.first, program.hasPrefix("/") else {
                throw AlertError("command must be a list that begins with the absolute path of a program")
            }
            guard arguments.count <= Self.maximumArguments,
                arguments.reduce(0, { $0 + $1.utf8.count }) <= Self.maximumBytes,
                !arguments.contains(where: { $0.utf8.contains(0) })
            else {
                throw AlertError(
                    "command has more than \(Self.maximumArguments) parts or \(Self.maximumBytes) bytes, or a zero byte"
                )
            }
            self.arguments = arguments
            self.timeout = try AlertSink.checked(timeout)
        }
    }

    /// Mail through the system's own `sendmail`.
    public struct Email: Hashable, Sendable {
        /// The most recipients; more are a mailing list's job.
        public static let maximumRecipients = 20

        /// The sender; by default `altnet` at this machine.
        public let from: String
        public let to: [String]
        /// The absolute path of the program; it gets `-i -- RECIPIENT…`.
        public let program: String
        public let timeout: Duration

        public init(
            from: String? = nil, to: [String], program: String = "/usr/sbin/sendmail", timeout: Duration = .seconds(30)
        ) throws(AlertError) {
            guard !to.isEmpty, to.count <= Self.maximumRecipients else {
                throw AlertError("to must be a list of 1 to \(Self.maximumRecipients) addresses")
            }
            let from = from ?? "altnet@\(Self.hostName)"
            for address in [from] + to where !MailMessage.isAddress(address) {
                throw AlertError("\(AlertMessage.clean(address, 80)) is no address such as alice@example.org")
            }
            guard program.hasPrefix("/") else { throw AlertError("sendmail must be an absolute path") }
            self.from = from
            self.to = to
            self.program = program
            self.timeout = try AlertSink.checked(timeout)
        }

        /// This machine's name if it can stand in an address.
        private static var hostName: String {
            var system = utsname()
            guard uname(&system) == 0 else { return "localhost" }
            let name = withUnsafeBytes(of: system.nodename) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            return MailMessage.isAddress("altnet@" + name) ? name : "localhost"
        }
    }

    /// The system's journal, in its native protocol; a line in the log where there is none.
    public struct Journal: Hashable, Sendable {
        /// Where journald listens.
        public static let defaultSocket = "/run/systemd/journal/socket"

        public let socketPath: String

        public init(socketPath: String = Self.defaultSocket) {
            self.socketPath = socketPath
        }
    }

    private static func checked(_ timeout: Duration) throws(AlertError) -> Duration {
        guard (.milliseconds(100)...(.seconds(300))).contains(timeout) else {
            throw AlertError("timeout_seconds must be from 0.1 to 300")
        }
        return timeout
    }
}

/// A host and a port, written `HOST:PORT`.
public struct ProxyAddress: Hashable, Sendable {
    public let host: String
    public let port: Int

    public init(_ text: String) throws(AlertError) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0 else {
            throw AlertError("proxy must be HOST:PORT of a SOCKS5 proxy, for example 127.0.0.1:9050")
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard !host.isEmpty, host.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw AlertError("proxy must be HOST:PORT of a SOCKS5 proxy, for example 127.0.0.1:9050")
        }
        self.host = String(host)
        self.port = Int(port)
    }
}
