// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDriverProtocol
internal import AltNetObjects
internal import GRPCCore

// What is said on the stream of a driver that is attached.

extension DriverHost {
    /// A driver said Hello: checks it, and gives its stream what it needs.
    func admit(_ hello: DriverHello) async throws(RPCError) -> Ticket {
        guard hello.protocolVersion == DriverProtocol.version else {
            throw RPCError(
                code: .failedPrecondition,
                message: "protocol version \(hello.protocolVersion), this orchestrator speaks \(DriverProtocol.version)"
            )
        }
        guard let driver = self.drivers[hello.name], !driver.secret.isEmpty,
            Self.isEqual(driver.secret, hello.secret)
        else { throw RPCError(code: .unauthenticated, message: "name or secret is wrong") }
        guard driver.attachment == nil else {
            throw RPCError(code: .alreadyExists, message: "a driver of that name is attached")
        }
        let traffic = driver.specification.traffic ?? Set(ObjectKind.allCases)
        let outbox = DriverOutbox()
        let ticket = Ticket(hello.name, self.nextAttachment, outbox)
        self.nextAttachment += 1
        self.drivers[hello.name]?.attachment = Attachment(
            id: ticket.attachment, outbox: outbox, process: driver.process,
            session: DriverSession(capabilities: hello.capabilities, traffic: traffic), lastPong: .system)
        // A process's fault is its own until it ends; a driver that somebody else starts begins anew.
        if driver.specification.program == nil { self.drivers[hello.name]?.fault = nil }
        self.drivers[hello.name]?.status = .attached(
            software: hello.software, identity: hello.identity, hello.capabilities)
        _ = outbox.send(.welcome(software: self.software))
        await self.delegate.driverAttached(
            hello.name, capabilities: hello.capabilities, identity: hello.identity)
        return ticket
    }

    /// What the stream of an attached driver names itself with. One that is no longer attached is ignored.
    struct Ticket: Sendable {
        let driver: String
        let attachment: UInt64
        let outbox: DriverOutbox

        init(_ driver: String, _ attachment: UInt64, _ outbox: DriverOutbox) {
            self.driver = driver
            self.attachment = attachment
            self.outbox = outbox
        }
    }

    func attachment(of ticket: Ticket) -> Attachment? {
        self.drivers[ticket.driver]?.attachment.flatMap { $0.id == ticket.attachment ? $0 : nil }
    }

    /// The budget of an attached driver.
    func budget(of name: String) -> (messages: TokenBucket, bytes: TokenBucket) {
        let specification = self.drivers[name]?.specification
        return (
            TokenBucket(perSecond: specification?.messagesPerSecond ?? 1, now: .system),
            TokenBucket(perSecond: specification?.bytesPerSecond ?? 1, now: .system)
        )
    }

    /// An attached driver said something.
    func on(_ event: DriverEvent, from ticket: Ticket) async throws(RPCError) {
        guard var attachment = self.attachment(of: ticket) else { return }
        let name = ticket.driver
        // Taken out while it changes, so that its tables are not copied.
        self.drivers[name]?.attachment = nil
        let verdict: DriverSession.Verdict
        do throws(DriverProtocolError) {
            defer { self.drivers[name]?.attachment = attachment }
            if case .pong = event { attachment.lastPong = .system }
            verdict = try attachment.session.onEvent(event)
        } catch {
            throw RPCError(code: .invalidArgument, message: error.description)
        }
        switch verdict {
        case .drop: break
        case .refuse(let link, let id, let refusal):
            _ = attachment.outbox.send(.answer(link, id: id, .refused(refusal)))
        case .refuseStream(let link, let id, let refusal):
            _ = attachment.outbox.send(.stream(link, id, .refused(refusal)))
        case .refuseOperation: break  // Only commands are.
        case .pass:
            switch event {
            case .pong: return
            case .operationResult(let id, let outcome): self.finish(operation: id, of: ticket, with: outcome)
            default: await self.delegate.driver(name, said: event)
            }
        }
    }

    /// Pings a driver, or ends it when it has not answered for too long.
    func ping(_ ticket: Ticket, number: UInt64) {
        guard let attachment = self.attachment(of: ticket) else { return }
        guard MonotonicInstant.system - attachment.lastPong < DriverProtocol.pongDeadline else {
            return self.end(ticket.driver, because: "it answered no ping for \(DriverProtocol.pongDeadline)")
        }
        _ = attachment.outbox.send(.ping(number))
    }

    /// A driver's stream ended.
    func leave(_ ticket: Ticket, reason: String) async {
        guard let attachment = self.attachment(of: ticket) else { return }
        let name = ticket.driver
        attachment.outbox.close()
        self.drivers[name]?.attachment = nil
        for waiter in attachment.operations.values { waiter.fail(.lost(driver: name)) }
        for continuation in attachment.onEnd { continuation.resume() }
        let reason = self.drivers[name]?.fault ?? reason
        let isExternal = self.drivers[name]?.specification.program == nil
        if case .attached = self.drivers[name]?.status {
            self.drivers[name]?.status = isExternal ? .waiting(reason: reason) : .starting
        }
        await self.delegate.driverDetached(name, reason: reason)
        guard !isExternal else { return }
        // A process without a stream is of no use; one that stops by itself is left to it.
        if self.drivers[name]?.status != .stopping {
            Task {
                try await Task.sleep(for: DriverProtocol.stopDeadline)
                attachment.process?.cancel()
            }
        }
    }

    /// A driver's stream is about to be ended because it broke a rule, or was refused for it.
    func note(fault: String, of name: String) {
        self.drivers[name]?.fault = fault
        if case .waiting = self.drivers[name]?.status { self.drivers[name]?.status = .waiting(reason: fault) }
    }

    func end(_ name: String, because reason: String) {
        guard let attachment = self.drivers[name]?.attachment else { return }
        self.drivers[name]?.fault = reason
        attachment.outbox.close()
        attachment.process?.cancel()
    }

    /// Compares in a time that does not depend on where two secrets differ.
    private static func isEqual(_ left: String, _ right: String) -> Bool {
        let left = Array(left.utf8)
        let right = Array(right.utf8)
        guard left.count == right.count else { return false }
        return zip(left, right).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
