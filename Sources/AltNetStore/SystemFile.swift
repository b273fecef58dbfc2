// SPDX-License-Identifier: MIT

internal import Glibc

/// A file descriptor that closes itself, with the few system calls that the stores need.
///
/// Calls that are interrupted are repeated; every failure becomes a ``StoreError`` that names the file.
final class SystemFile: Sendable {
    let path: String
    private let descriptor: Int32

    /// Opens for reading and writing, and creates with mode 0600: what a node follows is its owner's business.
    init(path: String) throws(StoreError) {
        self.path = path
        self.descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard self.descriptor >= 0 else { throw Self.failure("open", path) }
    }

    deinit {
        close(self.descriptor)
    }

    func size() throws(StoreError) -> Int {
        var status = stat()
        guard fstat(self.descriptor, &status) == 0 else { throw Self.failure("look at", self.path) }
        return Int(status.st_size)
    }

    /// Reads up to `buffer.count` bytes from `offset`; fewer only at the end of the file.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(StoreError) -> Int {
        var done = 0
        while done < buffer.count {
            let count = pread(
                self.descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done, off_t(offset + done))
            if count == 0 { break }
            if count < 0 {
                guard errno == EINTR else { throw Self.failure("read", self.path) }
                continue
            }
            done += count
        }
        return done
    }

    func write(_ bytes: [UInt8], at offset: Int) throws(StoreError) {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                pwrite(
                    self.descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done, off_t(offset + done))
            }
            if count < 0 {
                guard errno == EINTR else { throw Self.failure("write", self.path) }
                continue
            }
            done += count
        }
    }

    func truncate(to size: Int) throws(StoreError) {
        while ftruncate(self.descriptor, off_t(size)) != 0 {
            guard errno == EINTR else { throw Self.failure("shorten", self.path) }
        }
    }

    /// Returns when everything written is on the disk.
    func synchronize() throws(StoreError) {
        while fdatasync(self.descriptor) != 0 {
            guard errno == EINTR else { throw Self.failure("flush", self.path) }
        }
    }

    /// Takes the lock that ends with this process, however it ends.
    func lock() throws(StoreError) {
        guard flock(self.descriptor, LOCK_EX | LOCK_NB) == 0 else {
            guard errno == EWOULDBLOCK else { throw Self.failure("lock", self.path) }
            throw StoreError(.locked, "\(self.path) is held by another process")
        }
    }

    static func failure(_ verb: String, _ path: String) -> StoreError {
        StoreError(.system, "cannot \(verb) \(path): \(String(cString: strerror(errno)))")
    }
}
