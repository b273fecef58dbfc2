// SPDX-License-Identifier: MIT

public import AltNetDriverProtocol

/// A driver: what it is, and what it does between its start and its end.
///
/// ```swift
/// @main struct Main {
///     static func main() async { await DriverMain.run(software: "my-driver 1.0") { start in try MyDriver(start) } }
/// }
/// ```
public protocol Driver: Sendable {
    var capabilities: DriverCapabilities { get }
    /// What the medium calls us; empty where it has no name for us.
    var identity: String { get }
    /// Works until the orchestrator's commands end. What is thrown is told to the operator, and the driver is started
    /// again unless it is a ``DriverSetupError``.
    func run(_ orchestrator: OrchestratorConnection) async throws
}

/// A driver's end of the stream to the orchestrator.
public struct OrchestratorConnection: Sendable {
    /// What the orchestrator says, pings and the stop excepted: the kit answers those. Ends when the driver must stop.
    public let commands: AsyncStream<DriverCommand>
    private let write: @Sendable (DriverEvent) async -> Void

    init(commands: AsyncStream<DriverCommand>, write: @escaping @Sendable (DriverEvent) async -> Void) {
        self.commands = commands
        self.write = write
    }

    /// Tells the orchestrator something; waits while it has no room. After the end it does nothing.
    public func send(_ event: DriverEvent) async {
        await self.write(event)
    }
}
