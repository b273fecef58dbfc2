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
        // A task of its own reads, so that we can end the call while it waits for the driver.
        let (admitted, admission) = AsyncStream.makeStream(of: DriverHost.Ticket.self)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                defer { admission.finish() }
                try await self.read(request) { admission.yield($0) }
            }
            if let ticket = await admitted.first(where: { _ in true }) {
                group.addTask { try await self.write(to: response, from: ticket) }
                group.addTask {
                    for number in UInt64(1)... {
                        try await Task.sleep(for: DriverProtocol.pingInterval)
                        await self.host.ping(ticket, number: number)
                    }
                }
            }
            // The driver ends its call, or we end it: it broke a rule, or is not wanted any more.
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// Hears what the driver says, within its budget, until it ends its call or breaks a rule.
    private func read(
        _ request: RPCAsyncSequence<ProtobufFromDriver, any Error>, onAdmitted: (DriverHost.Ticket) -> Void
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
        onAdmitted(ticket)
        do {
            var (messageBudget, byteBudget) = await self.host.budget(of: hello.name)
            while let message = try await messages.next() {
                let event = try Self.decode(message)
                let pause = max(
                    messageBudget.take(event.cost, now: .system), byteBudget.take(event.weight, now: .system))
                if pause > .zero { try await Task.sleep(for: pause) }
                try await self.host.on(event, from: ticket)
            }
            await self.host.leave(ticket, reason: "the driver ended its call")
        } catch {
            await self.note(error, of: hello.name)
            await self.host.leave(ticket, reason: error is CancellationError ? "it was stopped" : "\(error)")
            throw error
        }
    }

    /// Says what waits to be said, until nothing may be said any more; that ends the call.
    private func write(to response: RPCWriter<ProtobufToDriver>, from ticket: DriverHost.Ticket) async throws {
        var isStopped = false
        for await waiting in ticket.outbox.waiting where !isStopped {
            try await response.write(waiting.command.protobuf)
            ticket.outbox.written(waiting)
            // Nothing follows. The driver has a while to end its call.
            if case .stop = waiting.command { isStopped = true }
        }
        throw RPCError(code: .aborted, message: "altnetd ends the call")
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
