// SPDX-License-Identifier: MIT

public import AltNetDriverProtocol
public import AltNetObjects

/// A driver as the operator wants it.
public struct DriverSpecification: Hashable, Sendable {
    /// The name under which it is attached.
    public var name: String
    /// The program to start: a path; `nil` for a driver that somebody else starts.
    public var program: String?
    /// The driver's own settings.
    public var settings: [String: SettingValue]
    /// The kinds of object that it may carry; `nil` for all it can.
    public var traffic: Set<ObjectKind>?
    /// How many messages it may send in a second.
    public var messagesPerSecond: Int
    /// How many bytes of objects it may send in a second.
    public var bytesPerSecond: Int
    /// A directory for the driver alone.
    public var dataDirectory: String

    public init(
        name: String, program: String?, settings: [String: SettingValue], traffic: Set<ObjectKind>?,
        messagesPerSecond: Int, bytesPerSecond: Int, dataDirectory: String
    ) {
        self.name = name
        self.program = program
        self.settings = settings
        self.traffic = traffic
        self.messagesPerSecond = messagesPerSecond
        self.bytesPerSecond = bytesPerSecond
        self.dataDirectory = dataDirectory
    }

    /// Where a driver that somebody else starts finds what others find on standard input.
    public var startFile: String { "\(self.dataDirectory)/\(DriverStart.fileName)" }
}

/// Where a driver is in its life.
public enum DriverStatus: Hashable, Sendable {
    /// Its process runs, and has not said Hello.
    case starting
    /// Somebody else starts it, and it has not said Hello, or its stream ended for the reason.
    case waiting(reason: String?)
    /// It works.
    case attached(software: String, identity: String, DriverCapabilities)
    /// It ended; it is started again after a pause.
    case restarting(reason: String, pause: Duration)
    /// It ended in a way that a restart cannot help.
    case failed(reason: String)
    /// It is being stopped.
    case stopping
}

/// What the orchestrator hears of its drivers. Calls for one driver come one after the other.
public protocol DriverHostDelegate: Sendable {
    /// A driver said Hello. Until the matching `driverDetached`, its events follow.
    func driverAttached(_ driver: String, capabilities: DriverCapabilities, identity: String) async
    /// A driver's event, one that keeps the protocol and may pass. The driver's next one waits until this returns.
    func driver(_ driver: String, said event: DriverEvent) async
    /// A driver's stream ended: its links are gone.
    func driverDetached(_ driver: String, reason: String) async
}

/// Why a driver cannot be attached or detached.
public struct DriverHostError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}
