// SPDX-License-Identifier: MIT

internal import AltNetDriverProtocol

// Drivers that somebody else starts: a plugin of a Lightning node, a service of the system. There is no process to
// supervise, and nothing is started again. They are told apart by the missing program.

extension DriverHost {
    /// Tells a driver how to attach, and waits for it.
    func expect(_ specification: DriverSpecification) throws(DriverHostError) {
        // The same until we stop: it attaches as often as it likes, one stream at a time.
        let secret = Self.newSecret()
        try DriverStartFile.write(self.start(of: specification, secret: secret), to: specification.startFile)
        self.drivers[specification.name] = Supervised(
            specification: specification, status: .waiting(reason: nil), secret: secret)
    }

    /// Asks a driver to stop, and ends its stream when it does not.
    func dismiss(_ specification: DriverSpecification) async {
        let name = specification.name
        DriverStartFile.remove(specification.startFile)
        self.drivers[name]?.status = .stopping
        self.drivers[name]?.secret = ""
        guard let outbox = self.drivers[name]?.attachment?.outbox else { return }
        _ = outbox.send(.stop)
        let deadline = Task {
            try await Task.sleep(for: DriverProtocol.stopDeadline)
            outbox.close()
        }
        await withCheckedContinuation { continuation in
            guard self.drivers[name]?.attachment?.onEnd.append(continuation) == nil else { return }
            continuation.resume()
        }
        deadline.cancel()
    }
}
