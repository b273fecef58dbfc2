// SPDX-License-Identifier: MIT

internal import Glibc

/// A directory that one daemon at a time works in. Only its owner can enter it.
///
/// Holds the lock for as long as the value lives; the system releases it when the process ends, however it ends.
public struct DataDirectory: Sendable {
    public let path: String
    private let lock: SystemFile

    /// Creates the directory with its parents where they are missing, and takes its lock.
    public init(path: String) throws(StoreError) {
        self.path = path
        try Self.create(path)
        self.lock = try SystemFile(path: path + "/lock")
        do throws(StoreError) {
            try self.lock.lock()
        } catch {
            guard error.code == .locked else { throw error }
            throw StoreError(.locked, "another altnet process works in \(path); stop it or use another data directory")
        }
    }

    /// The file of that name inside.
    public func file(_ name: String) -> String { "\(self.path)/\(name)" }

    /// Returns when the names of new files are on the disk.
    func synchronize() throws(StoreError) {
        let descriptor = open(self.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemFile.failure("open", self.path) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw SystemFile.failure("flush", self.path) }
    }

    /// Makes a directory that only its owner can enter. One that is there and open to others is refused, not changed:
    /// others may have reasons to enter it.
    public static func create(_ path: String) throws(StoreError) {
        var partial = ""
        for component in path.split(separator: "/", omittingEmptySubsequences: true) {
            partial += path.hasPrefix("/") || !partial.isEmpty ? "/\(component)" : String(component)
            if mkdir(partial, 0o700) != 0, errno != EEXIST { throw SystemFile.failure("create", partial) }
        }
        var status = stat()
        guard stat(path, &status) == 0 else { throw SystemFile.failure("look at", path) }
        guard status.st_uid == geteuid(), status.st_mode & 0o077 == 0 else {
            throw StoreError(
                .system, "\(path) can be entered by others; use another directory, or run: chmod 700 \(path)")
        }
    }
}
