// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import Dispatch
internal import FoundationEssentials
internal import Glibc
internal import Synchronization

/// What was done to the operator's node, and why: a file of JSON lines that is only ever appended to.
///
/// Two lines per change, each on the disk before we go on: one with `"phase":"asked"` before the node is called, one
/// with `"phase":"done"` after it. An `asked` without its `done` means that we ended between the two, so that nobody
/// knows the outcome. A change whose first line cannot be written is not made.
///
/// When the file would grow beyond ``maximumSize`` it becomes `<path>.1`, in place of the one that had this name.
public final class NodeAuditLog: Sendable {
    /// Bytes of one file: some ten thousand lines, months of a node that is healed every hour.
    public static let maximumSize = 4 * 1024 * 1024

    /// Where the file is.
    public let path: String

    private struct State {
        var descriptor: Int32
        var size: Int
    }

    private let limit: Int
    /// Touched on the queue only, apart from opening and closing: the lock is never waited for.
    private let state: Mutex<State>
    private let lastID: Mutex<UInt64>
    /// Flushing waits for the disk, which Swift's own threads should not.
    private let queue = DispatchQueue(label: "org.altnet.node-audit-log")

    /// Opens or creates the file with mode 0600, in a directory that exists.
    ///
    /// Throws ``NodeError/refused(_:)`` when that is impossible, or when others could write to the file.
    public convenience init(path: String) throws(NodeError) {
        try self.init(path: path, maximumSize: Self.maximumSize)
    }

    /// For tests, which cannot write megabytes.
    init(path: String, maximumSize: Int) throws(NodeError) {
        self.path = path
        self.limit = maximumSize
        let (descriptor, size) = try Self.open(path)
        // Numbers need only tell the two lines of a change together, also across a restart in the same file.
        self.lastID = Mutex(UInt64(Date().timeIntervalSince1970))
        self.state = Mutex(State(descriptor: descriptor, size: size))
    }

    deinit {
        _ = self.state.withLock { Glibc.close($0.descriptor) }
    }

    /// One line of the file. All texts are printable ASCII.
    private struct Line: Encodable {
        let time: String
        let id: UInt64
        let phase: String
        let call: String
        let argument: String
        let reason: String
        var outcome: String?
    }

    /// A change that stands in the log and waits for its outcome.
    struct Entry: Sendable {
        fileprivate let id: UInt64
        fileprivate let call: String
        fileprivate let argument: String
        fileprivate let reason: String
    }

    /// Writes that a change is about to be made. Throws ``NodeError/refused(_:)`` when it cannot be written.
    func begin(call: String, argument: String, reason: String) async throws(NodeError) -> Entry {
        let id = self.lastID.withLock { last in
            last += 1
            return last
        }
        let entry = Entry(
            id: id, call: call, argument: UntrustedText(argument).description,
            reason: UntrustedText(reason).description)
        try await self.append(entry, phase: "asked", outcome: nil)
        return entry
    }

    /// Writes how it ended.
    func end(_ entry: Entry, outcome: String) async throws(NodeError) {
        try await self.append(entry, phase: "done", outcome: UntrustedText(outcome).description)
    }

    private func append(_ entry: Entry, phase: String, outcome: String?) async throws(NodeError) {
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<Void, NodeError>, Never>) in
            self.queue.async {
                let line = Line(
                    time: Date().formatted(.iso8601), id: entry.id, phase: phase, call: entry.call,
                    argument: entry.argument, reason: entry.reason, outcome: outcome)
                continuation.resume(
                    returning: Result { () throws(NodeError) in
                        try self.write(try Self.encode(line))
                    })
            }
        }
        try result.get()
    }

    private static func encode(_ line: Line) throws(NodeError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return Array(try encoder.encode(line)) + [UInt8(ascii: "\n")]
        } catch {
            throw .refused("the audit log's line cannot be written as JSON: \(error)")
        }
    }

    private func write(_ bytes: [UInt8]) throws(NodeError) {
        let failure: NodeError? = self.state.withLock { state in
            do throws(NodeError) {
                if state.size + bytes.count > self.limit { try self.rotate(&state) }
                try self.write(bytes, &state)
                return nil
            } catch {
                return error
            }
        }
        if let failure { throw failure }
    }

    private func write(_ bytes: [UInt8], _ state: inout State) throws(NodeError) {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                Glibc.write(state.descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done)
            }
            if count < 0 {
                guard errno == EINTR else {
                    let failure = self.failure("write")
                    // Half a line would make the next one unreadable.
                    _ = ftruncate(state.descriptor, off_t(state.size))
                    throw failure
                }
                continue
            }
            done += count
        }
        state.size += bytes.count
        guard fdatasync(state.descriptor) == 0 else { throw self.failure("flush") }
    }

    private func rotate(_ state: inout State) throws(NodeError) {
        guard rename(self.path, self.path + ".1") == 0 else { throw self.failure("rename") }
        let (descriptor, size) = try Self.open(self.path)
        close(state.descriptor)
        state.descriptor = descriptor
        state.size = size
    }

    private static func open(_ path: String) throws(NodeError) -> (descriptor: Int32, size: Int) {
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw Self.failure("open", path) }
        do throws(NodeError) {
            return (descriptor, try Self.prepare(descriptor, path))
        } catch {
            close(descriptor)
            throw error
        }
    }

    /// Checks who may write, and ends a line that a crash cut off; the size.
    private static func prepare(_ descriptor: Int32, _ path: String) throws(NodeError) -> Int {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Self.failure("look at", path) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .refused("the audit log \(path) is no plain file") }
        guard status.st_uid == geteuid(), status.st_mode & 0o022 == 0 else {
            throw .refused("others can write to the audit log \(path); run: chmod 600 \(path)")
        }
        let size = Int(status.st_size)
        var last = UInt8(ascii: "\n")
        if size > 0, pread(descriptor, &last, 1, off_t(size - 1)) != 1 { throw Self.failure("read", path) }
        guard last != UInt8(ascii: "\n") else { return size }
        guard Glibc.write(descriptor, "\n", 1) == 1 else { throw Self.failure("write", path) }
        return size + 1
    }

    private func failure(_ verb: String) -> NodeError { Self.failure(verb, self.path) }

    private static func failure(_ verb: String, _ path: String) -> NodeError {
        .refused("cannot \(verb) the audit log \(path), so nothing is changed: \(String(cString: strerror(errno)))")
    }
}
