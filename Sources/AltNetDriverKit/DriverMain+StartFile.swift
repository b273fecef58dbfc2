// SPDX-License-Identifier: MIT

public import AltNetDriverProtocol
internal import Glibc

/// Why a start file cannot be used, in one sentence. It may be there later: `altnetd` writes it when it starts.
public struct StartFileError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// For programs that `altnetd` does not start, such as plugins of a Lightning node. Nothing here ends the process, and
/// nothing touches standard input or output.
extension DriverMain {
    /// The pauses of ``keepAttached(startFile:software:onEnding:_:)``: doubling, from one second to a minute.
    static let firstPause: Duration = .seconds(1)
    static let longestPause: Duration = .seconds(60)
    /// A driver that was attached this long has recovered: the pauses begin anew.
    static let healthyAfter: Duration = .seconds(60)

    /// Attaches once, as the start file says, and works until either side ends it.
    ///
    /// - Parameters:
    ///   - path: the `start.json` in the driver's data directory, which `altnet drivers` shows. It is another one after
    ///     each start of `altnetd`: read it again before every attempt, as this does.
    ///   - software: name and version, for people.
    ///   - make: builds the driver from what the file says.
    /// - Returns: why it ended. After `stopped` too `altnetd` may come back.
    /// - Throws: a ``StartFileError``; a ``DriverSetupError``, and another attempt does not help; what the driver throws;
    ///   a `CancellationError` when the task is cancelled, which closes the connection.
    public static func attach<Instance: Driver>(
        startFile path: String, software: String, _ make: @Sendable (DriverStart) async throws -> Instance
    ) async throws -> DriverEnding {
        let start = try Self.read(startFile: path)
        return try await DriverAttachment.run(try await Self.make(start, make), start: start, software: software)
    }

    /// Attaches again and again, with growing pauses, until the task is cancelled.
    ///
    /// - Parameter onEnding: hears of the end of each attempt, in a sentence, and of the pause before the next one.
    public static func keepAttached<Instance: Driver>(
        startFile path: String, software: String, onEnding: @Sendable (String, Duration) async -> Void,
        _ make: @Sendable (DriverStart) async throws -> Instance
    ) async {
        var pause = Self.firstPause
        while !Task.isCancelled {
            let began = ContinuousClock.now
            let sentence: String
            do {
                switch try await Self.attach(startFile: path, software: software, make) {
                case .stopped: sentence = "altnetd stopped the driver"
                case .lost(let reason): sentence = reason
                }
            } catch is CancellationError {
                return
            } catch {
                sentence = "\(error)"
            }
            if ContinuousClock.now - began > Self.healthyAfter { pause = Self.firstPause }
            await onEnding(sentence, pause)
            try? await Task.sleep(for: pause)
            pause = min(pause * 2, Self.longestPause)
        }
    }

    private static func read(startFile path: String) throws(StartFileError) -> DriverStart {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw StartFileError("cannot read \(path): \(String(cString: strerror(errno))); is altnetd running?")
        }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: DriverStart.maximumFileSize + 1)
        var length = 0
        while length < bytes.count {
            let count = bytes.withUnsafeMutableBytes { buffer in
                Glibc.read(descriptor, buffer.baseAddress.map { $0 + length }, buffer.count - length)
            }
            guard count >= 0 || errno == EINTR else {
                throw StartFileError("cannot read \(path): \(String(cString: strerror(errno)))")
            }
            if count == 0 { break }
            length += max(0, count)
        }
        guard length <= DriverStart.maximumFileSize else { throw StartFileError("\(path) is too large") }
        guard let start = DriverStart(line: String(decoding: bytes[..<length], as: UTF8.self)) else {
            throw StartFileError("\(path) is not the JSON that altnetd writes")
        }
        return start
    }
}
