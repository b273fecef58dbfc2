// SPDX-License-Identifier: MIT

public import AltNetBase
internal import Glibc

/// The sequence numbers of our own records: never the same twice and never a lower one, also after a crash or after the
/// clock was set back.
///
/// Each number is on the disk before it is returned. Numbers follow the clock in nanoseconds, as those of go-libp2p and
/// py-libp2p do, so that a node that lost this file soon passes its old numbers.
public struct RecordSequence: Sendable, ~Copyable {
    /// The name of the file in a data directory.
    public static let fileName = "record-sequence"
    /// The longest content that is looked at, in bytes: 2^64 - 1 has 20 digits, then comes a line break.
    private static let maximumSize = 21

    private let directory: String
    private let path: String
    /// Held for its lock alone.
    private let lock: Int32
    private var last: UInt64

    /// Opens or creates the file. One process at a time: another one waits for nobody and is refused.
    public init(directory: String) throws(PeerStoreError) {
        self.directory = directory
        self.path = "\(directory)/\(Self.fileName)"
        let lockPath = "\(path).lock"
        let lock = open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard lock >= 0 else { throw Self.failure("open", lockPath) }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            let error: PeerStoreError =
                errno == EWOULDBLOCK
                ? PeerStoreError(.locked, "\(self.path) is held by another process") : Self.failure("lock", lockPath)
            close(lock)
            throw error
        }
        do throws(PeerStoreError) {
            self.last = try Self.read(self.path)
        } catch {
            close(lock)
            throw error
        }
        self.lock = lock
    }

    deinit {
        close(self.lock)
    }

    /// The last number that was issued; 0 when none was.
    public var lastIssued: UInt64 { self.last }

    /// Issues the next number.
    ///
    /// - Parameter now: the calendar's clock; the number follows it when it has gone on.
    public mutating func next(now: WallClockTime) throws(PeerStoreError) -> UInt64 {
        // Peer stores refuse 2^64 - 1.
        guard self.last < .max - 1 else {
            throw PeerStoreError(.system, "\(self.path) holds the highest number there can be; make a new key")
        }
        let (clock, overflow) = UInt64(max(0, now.milliseconds)).multipliedReportingOverflow(by: 1_000_000)
        let number = max(self.last + 1, overflow ? 0 : clock)
        try self.issue(number)
        return number
    }

    /// Issues this number, if it is a later one. The next one is higher.
    public mutating func issue(_ number: UInt64) throws(PeerStoreError) {
        guard number > self.last else {
            throw PeerStoreError(.system, "\(self.path): the number has to be above \(self.last), the last one issued")
        }
        guard number < .max else {
            throw PeerStoreError(.system, "\(self.path): there is no number after \(number), so that stores refuse it")
        }
        try self.write(number)
        self.last = number
    }

    private static func failure(_ verb: String, _ path: String) -> PeerStoreError {
        PeerStoreError(.system, "cannot \(verb) \(path): \(String(cString: strerror(errno)))")
    }

    private static func read(_ path: String) throws(PeerStoreError) -> UInt64 {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else {
            guard errno == ENOENT else { throw Self.failure("open", path) }
            return 0
        }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: Self.maximumSize + 1)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        guard count >= 0 else { throw Self.failure("read", path) }
        let text = String(decoding: bytes.prefix(count), as: UTF8.self)
        guard count <= Self.maximumSize, text.hasSuffix("\n"), let number = UInt64(text.dropLast()) else {
            throw PeerStoreError(
                .damaged, "\(path) is damaged; write the sequence number of your last record into it, and a line break")
        }
        return number
    }

    /// Replaces the file: it holds the former number or this one, whatever happens.
    private func write(_ number: UInt64) throws(PeerStoreError) {
        let temporary = "\(self.path).new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw Self.failure("open", temporary) }
        let text = Array("\(number)\n".utf8)
        let isWritten = Glibc.write(descriptor, text, text.count) == text.count && fsync(descriptor) == 0
        let failure = isWritten ? nil : Self.failure("write", temporary)
        close(descriptor)
        if let failure { throw failure }
        guard rename(temporary, self.path) == 0 else { throw Self.failure("replace", self.path) }
        let parent = open(self.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard parent >= 0 else { throw Self.failure("open", self.directory) }
        defer { close(parent) }
        guard fsync(parent) == 0 else { throw Self.failure("flush", self.directory) }
    }
}
