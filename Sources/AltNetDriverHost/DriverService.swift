// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDriverProtocol
internal import GRPCCore

/// The gRPC end of the driver protocol: one call per driver, decoded, budgeted and handed to the host.
struct DriverService: ProtobufOrchestrator.SimpleServiceProtocol {
    let host: DriverHost

    func attach(
        request: RPCAsyncSequence<ProtobufFromDriver, any Error>, response: RPCWriter<ProtobufToDriver>,
        context: ServerContext
    ) async throws {
        var messages = request.makeAsyncIterator()
        guard let first = try await messages.next(), case .hello(let hello) = try Self.decode(first) else {
            throw RPCError(code: .invalidArgument, message: "the first message must be Hello")
        }
        let ticket: DriverHost.Ticket
        do {
            ticket = try await self.host.admit(hello)
        } catch {
            await self.note(error, of: hello.name)
            throw error
        }
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    for await waiting in ticket.outbox.waiting {
                        try await response.write(waiting.command.protobuf)
                        ticket.outbox.written(waiting)
                        if case .stop = waiting.command { return }
                    }
                }
                group.addTask {
                    for number in UInt64(1)... {
                        try await Task.sleep(for: DriverProtocol.pingInterval)
                        await self.host.ping(ticket, number: number)
                    }
                }
                var (messageBudget, byteBudget) = await self.host.budget(of: hello.name)
                while let message = try await messages.next() {
                    let event = try Self.decode(message)
                    let pause = max(
                        messageBudget.take(event.cost, now: .system), byteBudget.take(event.weight, now: .system))
                    if pause > .zero { try await Task.sleep(for: pause) }
                    try await self.host.on(event, from: ticket)
                }
                group.cancelAll()
            }
            await self.host.leave(ticket, reason: "the driver ended its call")
        } catch {
            await self.note(error, of: hello.name)
            await self.host.leave(ticket, reason: error is CancellationError ? "it was stopped" : "\(error)")
            throw error
        }
    }

    /// Remembers the rule that a driver broke; an end of the stream for any other reason is not its fault.
    private func note(_ error: any Error, of driver: String) async {
        guard let error = error as? RPCError,
            [.invalidArgument, .failedPrecondition, .unauthenticated, .alreadyExists, .resourceExhausted].contains(
                error.code)
        else { return }
        await self.host.note(fault: "it broke the driver protocol: \(error.message)", of: driver)
    }

    private static func decode(_ message: ProtobufFromDriver) throws(RPCError) -> DriverEvent {
        do throws(DriverProtocolError) {
            return try DriverEvent(message)
        } catch {
            throw RPCError(code: .invalidArgument, message: error.description)
        }
    }
}
