// SPDX-License-Identifier: MIT

/// An onion service to keep up.
public struct OnionService: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    /// What the caller calls it.
    public let name: String
    /// The key that Tor made for it earlier; `nil` for a new one.
    public var key: String?
    /// The port that clients connect to.
    public let virtualPort: UInt16
    public let target: TorServiceTarget
    /// `nil` for what Tor does by itself.
    public let protection: OnionProtection?

    public init(
        name: String, key: String?, virtualPort: UInt16, target: TorServiceTarget, protection: OnionProtection? = nil
    ) {
        self.name = name
        self.key = key
        self.virtualPort = virtualPort
        self.target = target
        self.protection = protection
    }

    /// Never the key.
    public var description: String { "OnionService(\(self.name), redacted)" }

    /// Shows no children, so that `dump` cannot print the key either.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// Keeps onion services up: makes them again whenever Tor was away.
public struct OnionServices: Sendable {
    /// The first pause before Tor is tried again; it doubles up to ``longestRetry``.
    static let firstRetry: Duration = .seconds(1)
    /// Tor that is back is found within a minute.
    static let longestRetry: Duration = .seconds(60)

    /// What happened.
    public enum Event: Sendable {
        /// A service can be reached, once Tor has published it, as `<serviceID>.onion`. A new key MUST be on the disk
        /// before the callee returns, or the name is lost.
        case up(name: String, serviceID: String, newKey: String?)
        /// One service cannot be made; the others can.
        case refused(name: String, TorControlError)
        /// None can be reached any more, and when Tor is tried again.
        case down(TorControlError, retryIn: Duration)
    }

    private let port: TorControlPort
    private let password: String?
    private let services: [OnionService]

    /// - Parameter password: of `HashedControlPassword` in torrc; `nil` for the cookie.
    public init(at port: TorControlPort, password: String?, services: [OnionService]) {
        self.port = port
        self.password = password
        self.services = services
    }

    /// Runs until the task is cancelled, which ends the services.
    public func run(_ onEvent: @Sendable (Event) async -> Void) async {
        var services = self.services
        var pause = Self.firstRetry
        while !Task.isCancelled {
            let failure: TorControlError
            do throws(TorControlError) {
                let connection = try await TorControlConnection.connect(to: self.port)
                defer { connection.close() }
                try await connection.authenticate(password: self.password)
                for index in services.indices {
                    try await Self.add(&services[index], connection, onEvent)
                }
                pause = Self.firstRetry
                await withTaskCancellationHandler {
                    await connection.waitForEnd()
                } onCancel: {
                    connection.close()
                }
                failure = .closed
            } catch {
                failure = error
            }
            guard !Task.isCancelled else { break }
            await onEvent(.down(failure, retryIn: pause))
            try? await Task.sleep(for: pause)
            pause = min(pause * 2, Self.longestRetry)
        }
    }

    private static func add(
        _ service: inout OnionService, _ connection: TorControlConnection, _ onEvent: @Sendable (Event) async -> Void
    ) async throws(TorControlError) {
        do throws(TorControlError) {
            let (serviceID, newKey) = try await connection.addOnion(
                key: service.key, virtualPort: service.virtualPort, target: service.target,
                protection: service.protection)
            if let newKey { service.key = newKey }
            await onEvent(.up(name: service.name, serviceID: serviceID, newKey: newKey))
        } catch .refused(let command, let status, let text) {
            await onEvent(.refused(name: service.name, .refused(command: command, status: status, text)))
        }
    }
}
