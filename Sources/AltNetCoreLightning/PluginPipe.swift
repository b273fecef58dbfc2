// SPDX-License-Identifier: MIT

internal import Dispatch
internal import Glibc
internal import Synchronization

/// Our standard output, which lightningd reads: whole messages, one after the other.
///
/// Writing happens on a queue of its own, so that a lightningd that is busy holds up nobody.
final class PluginOutputPipe: Sendable {
    /// The most lines for the log that wait; further ones are dropped. Answers to hooks are never dropped: there is one
    /// for each request, and lightningd has few open at a time.
    static let maximumWaitingLines = 256

    private let descriptor: Int32
    private let queue = DispatchQueue(label: "standard output")
    private let waitingLines = Mutex(0)

    init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    /// Writes a message.
    func write(_ bytes: [UInt8]) {
        self.queue.async { self.writeNow(bytes) }
    }

    /// Writes a line for the log, unless too many wait.
    func writeLogLine(_ bytes: [UInt8]) {
        let hasRoom = self.waitingLines.withLock { waiting in
            guard waiting < Self.maximumWaitingLines else { return false }
            waiting += 1
            return true
        }
        guard hasRoom else { return }
        self.queue.async {
            self.writeNow(bytes)
            self.waitingLines.withLock { $0 -= 1 }
        }
    }

    /// Returns when everything that was given so far is written.
    func flush() {
        self.queue.sync {}
    }

    private func writeNow(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(self.descriptor, $0.baseAddress, $0.count) }
            if count > 0 {
                rest = rest.dropFirst(count)
            } else if errno != EINTR {
                // Nobody reads any more. The end of standard input tells the rest of us.
                return
            }
        }
    }
}

/// Reading from descriptors. Our standard input, which lightningd writes to: read on a thread that does nothing else, so that hooks are answered
/// whatever the rest of the program does.
enum PluginInputPipe {
    private static let chunk = 65_536

    /// The bytes of a file; `nil` when it cannot be read, or has more than `maximumSize` bytes.
    static func file(_ path: String, maximumSize: Int) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        while bytes.count <= maximumSize {
            switch Self.readOnce(descriptor) {
            case .bytes(let more): bytes += more
            case .end: return bytes.count <= maximumSize ? bytes : nil
            case .failed: return nil
            }
        }
        return nil
    }

    private enum Reading {
        case bytes([UInt8])
        case end
        case failed
    }

    private static func readOnce(_ descriptor: Int32) -> Reading {
        while true {
            var count = 0
            let bytes = [UInt8](unsafeUninitializedCapacity: Self.chunk) { buffer, used in
                count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
                used = max(0, count)
            }
            if count < 0, errno == EINTR { continue }
            return count > 0 ? .bytes(bytes) : count == 0 ? .end : .failed
        }
    }

    /// Reads until the end, on another thread.
    ///
    /// - Parameters:
    ///   - onBytes: whether to go on.
    ///   - onEnd: called when there is nothing more, but not when `onBytes` ended it.
    static func read(
        descriptor: Int32, onBytes: @escaping @Sendable ([UInt8]) -> Bool, onEnd: @escaping @Sendable () -> Void
    ) {
        DispatchQueue(label: "standard input").async {
            while case .bytes(let bytes) = Self.readOnce(descriptor) {
                guard onBytes(bytes) else { return }
            }
            onEnd()
        }
    }
}
