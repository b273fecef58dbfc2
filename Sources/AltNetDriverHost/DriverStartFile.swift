// SPDX-License-Identifier: MIT

internal import AltNetDriverProtocol
internal import Glibc

/// The file that tells a driver which the host does not start how to attach.
enum DriverStartFile {
    /// Writes the file where only the owner reads it. A reader sees the old file or the new one, never half of one.
    static func write(_ start: DriverStart, to path: String) throws(DriverHostError) {
        let partial = path + ".new"
        unlink(partial)
        let file = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw Self.failure("create", partial) }
        defer { close(file) }
        var rest = Array(start.line.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
            guard count >= 0 || errno == EINTR else { throw Self.failure("write", partial) }
            rest = rest.dropFirst(max(0, count))
        }
        guard rename(partial, path) == 0 else { throw Self.failure("rename", partial) }
    }

    static func remove(_ path: String) {
        unlink(path)
    }

    private static func failure(_ verb: String, _ path: String) -> DriverHostError {
        DriverHostError("cannot \(verb) \(path): \(String(cString: strerror(errno)))")
    }
}
