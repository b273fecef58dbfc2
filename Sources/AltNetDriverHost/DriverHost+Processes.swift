// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDriverProtocol
internal import Logging

// The life of a driver's process, from start to start.

extension DriverHost {
    func supervise(_ specification: DriverSpecification, program: String) async {
        let name = specification.name
        var logger = self.logger
        logger[metadataKey: "driver"] = "\(name)"
        var pause = Self.firstPause
        while !Task.isCancelled, self.drivers[name] != nil {
            let secret = Self.newSecret()
            let start = self.start(of: specification, secret: secret)
            self.drivers[name]?.secret = secret
            self.drivers[name]?.fault = nil
            self.drivers[name]?.status = .starting
            let began = MonotonicInstant.system
            let driverLogger = logger
            let process = Task {
                await DriverProcess.run(program: program, start: start, logger: driverLogger)
            }
            self.drivers[name]?.process = process
            let helloDeadline = Task {
                try await Task.sleep(for: DriverProtocol.helloDeadline)
                self.checkHello(name, secret: secret)
            }
            let ending = await process.value
            helloDeadline.cancel()
            self.drivers[name]?.secret = ""
            if let attachment = self.drivers[name]?.attachment {
                // What is still in its stream is of nobody any more.
                await self.leave(Ticket(name, attachment.id, attachment.outbox), reason: "its process ended")
            }
            guard self.drivers[name]?.status != .stopping, !Task.isCancelled else { return }
            let (ended, restartHelps) = Self.explain(ending)
            let reason = self.drivers[name]?.fault ?? ended
            guard restartHelps else {
                logger.error("driver failed", metadata: ["reason": "\(reason)"])
                self.drivers[name]?.status = .failed(reason: reason)
                return
            }
            if MonotonicInstant.system - began > Self.healthyAfter { pause = Self.firstPause }
            logger.warning("driver ended", metadata: ["reason": "\(reason)", "restart in": "\(pause)"])
            self.drivers[name]?.status = .restarting(reason: reason, pause: pause)
            self.drivers[name]?.restarts += 1
            try? await Task.sleep(for: pause)
            pause = min(pause * 2, Self.longestPause)
        }
    }

    private func checkHello(_ name: String, secret: String) {
        guard let driver = self.drivers[name], driver.secret == secret, driver.attachment == nil else { return }
        self.drivers[name]?.fault = driver.fault ?? "it said no Hello within \(DriverProtocol.helloDeadline)"
        driver.process?.cancel()
    }

    /// What a driver is told at its start.
    func start(of specification: DriverSpecification, secret: String) -> DriverStart {
        DriverStart(
            name: specification.name, socket: self.socketPath, secret: secret, network: self.network,
            dataDirectory: specification.dataDirectory, settings: specification.settings, serves: self.serves)
    }

    func stop(_ driver: Supervised) async {
        guard driver.specification.program != nil else { return await self.dismiss(driver.specification) }
        let name = driver.specification.name
        self.drivers[name]?.status = .stopping
        _ = driver.attachment?.outbox.send(.stop)
        let deadline = Task {
            try await Task.sleep(for: DriverProtocol.stopDeadline)
            driver.process?.cancel()
        }
        if driver.attachment == nil { driver.process?.cancel() }
        _ = await driver.process?.value
        deadline.cancel()
        driver.supervisor?.cancel()
        await driver.supervisor?.value
    }

    private static func explain(_ ending: DriverProcess.Ending) -> (reason: String, restartHelps: Bool) {
        switch ending {
        case .exited(DriverProtocol.configurationErrorStatus, let lastWords):
            (lastWords.isEmpty ? "its settings are wrong" : lastWords, false)
        case .exited(let status, let lastWords):
            (
                lastWords.isEmpty ? "it ended with status \(status)" : "it ended with status \(status): \(lastWords)",
                true
            )
        case .killed(let signal, let lastWords):
            (
                lastWords.isEmpty
                    ? "signal \(signal) ended it" : "signal \(signal) ended it; it last said: \(lastWords)", true
            )
        case .notStarted(let reason): ("it could not be started: \(reason)", true)
        }
    }

    static func newSecret() -> String {
        var generator = SystemRandomNumberGenerator()
        return Hex.encode((0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) })
    }
}
