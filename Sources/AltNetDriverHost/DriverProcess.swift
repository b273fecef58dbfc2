// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDriverProtocol
internal import Logging
internal import Subprocess
internal import SystemPackage

/// Runs a driver's program once: gives it its start line, logs what it says on standard error, tells how it ended.
enum DriverProcess {
    /// How a process ended.
    enum Ending: Hashable, Sendable {
        case exited(status: Int32, lastWords: String)
        case killed(signal: Int32, lastWords: String)
        case notStarted(String)
    }

    /// A line on standard error is cut here; the `.proto` file promises it.
    static let maximumLineLength = 1000
    /// More lines in one second are dropped; the `.proto` file promises it.
    static let maximumLinesPerSecond = 100

    /// Runs until the process ends. Cancelling the task ends the process: SIGTERM, and SIGKILL when that does not help.
    static func run(program: String, start: DriverStart, logger: Logger) async -> Ending {
        var options = PlatformOptions()
        options.teardownSequence = [
            .gracefulShutDown(toProcessGroup: true, allowedDurationToNextStep: .seconds(2))
        ]
        // A process group of its own, so that a wrapper's children end with it, and so that a driver outlives an interrupt at the terminal: it is stopped in order.
        options.processGroupID = 0
        do {
            let result = try await Subprocess.run(
                .path(FilePath(program)), platformOptions: options, input: .inputWriter, output: .discarded,
                error: .sequence
            ) { execution in
                _ = try await execution.standardInputWriter.write(start.line)
                // Standard input stays open: its end tells the driver that we are gone.
                return await Self.log(execution.standardError, logger: logger)
            }
            switch result.terminationStatus {
            case .exited(let status): return .exited(status: status, lastWords: result.closureResult)
            case .signaled(let signal): return .killed(signal: signal, lastWords: result.closureResult)
            }
        } catch {
            return .notStarted(UntrustedText("\(error)").description)
        }
    }

    /// Logs line by line, and returns the last one.
    private static func log(_ output: SubprocessOutputSequence, logger: Logger) async -> String {
        var line: [UInt8] = []
        var lastWords = ""
        var bucket = TokenBucket(perSecond: Self.maximumLinesPerSecond, now: .system)
        do {
            for try await chunk in output {
                let bytes = chunk.withUnsafeBytes { Array($0) }
                for byte in bytes {
                    guard byte == UInt8(ascii: "\n") else {
                        if line.count < Self.maximumLineLength { line.append(byte) }
                        continue
                    }
                    lastWords = Self.printable(line)
                    line = []
                    if bucket.takeOne(now: .system) { logger.info("driver: \(lastWords)") }
                }
            }
        } catch {
            logger.debug("standard error of the driver ended: \(error)")
        }
        return line.isEmpty ? lastWords : Self.printable(line)
    }

    private static func printable(_ line: [UInt8]) -> String {
        String(decoding: line.map { (0x20...0x7e).contains($0) ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
    }
}

extension MonotonicInstant {
    /// The system's monotonic clock.
    static var system: MonotonicInstant {
        MonotonicInstant(nanoseconds: (ContinuousClock.now - Self.epoch).wholeNanoseconds)
    }

    private static let epoch = ContinuousClock.now
}
