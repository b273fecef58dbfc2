// SPDX-License-Identifier: MIT

public import AltNetDriverProtocol

// What the operator asks of a driver itself. The host passes JSON on, and reads none of it.

/// Why an operation has no result.
public enum OperationError: Error, Hashable, Sendable, CustomStringConvertible {
    case notAttached(driver: String)
    case notOffered(String, driver: String)
    case tooMany(driver: String)
    case tooLarge
    case notAnObject
    /// The driver said why, in a sentence.
    case failed(String)
    /// The driver did not answer in time.
    case timedOut(driver: String)
    /// The driver ended before it answered.
    case lost(driver: String)

    public var description: String {
        switch self {
        case .notAttached(let driver): "the driver \(driver) is not attached"
        case .notOffered(let name, let driver): "the driver \(driver) has no operation \(name)"
        case .tooMany(let driver):
            "the driver \(driver) has \(OperationRules.maximumOpen) operations to do already, which is the most; try again later"
        case .tooLarge: "an operation takes at most \(OperationRules.maximumBody) bytes of JSON"
        case .notAnObject: "an operation takes a JSON object"
        case .failed(let sentence): sentence
        case .timedOut(let driver): "the driver \(driver) gave no result within \(OperationRules.deadline)"
        case .lost(let driver): "the driver \(driver) ended before it gave a result"
        }
    }
}

/// Who waits for the result of one operation.
struct OperationWaiter: Sendable {
    let continuation: CheckedContinuation<Result<[UInt8], OperationError>, Never>
    let timer: Task<Void, any Error>

    func succeed(_ result: [UInt8]) { self.end(.success(result)) }

    func fail(_ error: OperationError) { self.end(.failure(error)) }

    private func end(_ result: Result<[UInt8], OperationError>) {
        self.timer.cancel()
        self.continuation.resume(returning: result)
    }
}

extension DriverHost {
    /// Has a driver do something that its capabilities name, and waits for what it came to.
    ///
    /// - Parameter body: a JSON object, at most ``AltNetDriverProtocol/OperationRules/maximumBody`` bytes.
    /// - Returns: the driver's JSON object.
    public func perform(
        _ name: String, _ body: [UInt8], by driver: String
    ) async throws(OperationError) -> [UInt8] {
        guard body.count <= OperationRules.maximumBody else { throw .tooLarge }
        guard OperationRules.isObject(body) else { throw .notAnObject }
        guard var attachment = self.drivers[driver]?.attachment else { throw .notAttached(driver: driver) }
        let id = self.nextOperation
        self.nextOperation += 1
        let command = DriverCommand.operation(id: id, name: name, body: body)
        // Taken out while it changes, so that its tables are not copied.
        self.drivers[driver]?.attachment = nil
        let verdict = attachment.session.onCommand(command)
        self.drivers[driver]?.attachment = attachment
        switch verdict {
        case .pass: break
        case .refuseOperation(.tooMany): throw .tooMany(driver: driver)
        case .refuseOperation(.notOffered): throw .notOffered(name, driver: driver)
        case .drop, .refuse, .refuseStream: throw .notAttached(driver: driver)
        }
        let ticket = Ticket(driver, attachment.id, attachment.outbox)
        return try await withCheckedContinuation { continuation in
            let timer = Task {
                try await Task.sleep(for: self.operationDeadline)
                self.expire(operation: id, of: ticket)
            }
            self.drivers[driver]?.attachment?.operations[id] = OperationWaiter(
                continuation: continuation, timer: timer)
            if !ticket.outbox.send(command) { self.end(driver, because: "it does not read what it is sent") }
        }.get()
    }

    /// A driver answered. One that nobody waits for any more was dropped before.
    func finish(operation id: UInt64, of ticket: Ticket, with outcome: OperationOutcome) {
        guard let waiter = self.waiter(for: id, of: ticket) else { return }
        switch outcome {
        case .success(let result): waiter.succeed(result)
        case .failure(let sentence): waiter.fail(.failed(sentence))
        }
    }

    private func expire(operation id: UInt64, of ticket: Ticket) {
        guard let waiter = self.waiter(for: id, of: ticket) else { return }
        self.drivers[ticket.driver]?.attachment?.session.forget(operation: id)
        waiter.fail(.timedOut(driver: ticket.driver))
    }

    private func waiter(for id: UInt64, of ticket: Ticket) -> OperationWaiter? {
        guard self.attachment(of: ticket) != nil else { return nil }
        return self.drivers[ticket.driver]?.attachment?.operations.removeValue(forKey: id)
    }
}
