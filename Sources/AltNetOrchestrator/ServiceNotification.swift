// SPDX-License-Identifier: MIT

public import AltNetAlerts
internal import Glibc

/// Tells systemd how the daemon is (`sd_notify(3)`), without its library. Does nothing where no service manager asked.
public struct ServiceNotification: Hashable, Sendable {
    /// Characters of a status line: what `systemctl status` shows in one line of a terminal.
    static let maximumStatusLength = 200

    /// What can be told.
    public enum Message: Hashable, Sendable {
        /// The daemon answers.
        case ready
        /// It was told to stop.
        case stopping
        /// It is alive: expected again within ``watchdogInterval``.
        case watchdog
        /// What it does, for people.
        case status(String)

        fileprivate var line: String {
            switch self {
            case .ready: return "READY=1"
            case .stopping: return "STOPPING=1"
            case .watchdog: return "WATCHDOG=1"
            case .status(let text):
                let visible = text.unicodeScalars.prefix(ServiceNotification.maximumStatusLength).map { scalar in
                    scalar.properties.generalCategory == .control ? " " : scalar
                }
                return "STATUS=" + String(String.UnicodeScalarView(visible))
            }
        }
    }

    /// Where systemd listens; `nil` when the daemon was not started by it.
    private let socketPath: String?
    /// How long the daemon may be silent before systemd takes it for dead and starts it anew; `nil` when it does not.
    public let watchdogInterval: Duration?

    /// Reads `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    ///
    /// - Parameter processID: ours; the watchdog may be meant for another process.
    public init(environment: [String: String], processID: Int32) {
        let path = environment["NOTIFY_SOCKET"] ?? ""
        self.socketPath = path.hasPrefix("/") || path.hasPrefix("@") ? path : nil
        let isOurs = environment["WATCHDOG_PID"].map { Int32($0) == processID } ?? true
        let microseconds = environment["WATCHDOG_USEC"].flatMap { Int64($0) } ?? 0
        self.watchdogInterval =
            self.socketPath != nil && isOurs && microseconds > 0 ? .microseconds(microseconds) : nil
    }

    /// Of this process.
    public static var system: ServiceNotification {
        var environment: [String: String] = [:]
        for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
            if let value = getenv(name) { environment[name] = String(cString: value) }
        }
        return ServiceNotification(environment: environment, processID: getpid())
    }

    /// Sends in one datagram, without waiting. A service manager that does not listen is its own problem.
    public func send(_ messages: Message...) {
        guard let socketPath else { return }
        try? UnixDatagram.send(Array(messages.map(\.line).joined(separator: "\n").utf8), to: socketPath)
    }

    /// Says that the daemon is alive as often as systemd wants it twice, until the task is cancelled.
    ///
    /// - Parameter isAlive: asked each time, and must come back with the status line: a daemon whose parts no longer
    ///   answer is silent, and started anew.
    public func keepAlive(_ isAlive: () async -> String) async {
        guard let watchdogInterval else { return }
        while !Task.isCancelled {
            self.send(.watchdog, .status(await isAlive()))
            try? await Task.sleep(for: watchdogInterval / 2)
        }
    }
}
