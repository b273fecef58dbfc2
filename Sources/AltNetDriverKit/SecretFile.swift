// SPDX-License-Identifier: MIT

public import AltNetDriverProtocol
internal import Glibc

/// Files with secrets, such as keys and passwords.
///
/// Here rather than where it is used: beside Foundation, which has a module with the same system header, the compiler
/// does not always find the members of `stat` in `Glibc`.
public enum SecretFile {
    /// Reads a file that nobody but its owner may read: of any other, the secret may no longer be ours alone.
    ///
    /// - Parameter maximumSize: no more bytes than these are read.
    public static func read(_ path: String, maximumSize: Int) throws(DriverSetupError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failure("read", path) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Self.failure("look at", path) }
        guard status.st_mode & 0o077 == 0 else {
            throw DriverSetupError("\(path) can be read by others; run: chmod 600 \(path)")
        }
        var bytes = [UInt8](repeating: 0, count: maximumSize)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        guard count >= 0 else { throw Self.failure("read", path) }
        return Array(bytes.prefix(count))
    }

    private static func failure(_ verb: String, _ path: String) -> DriverSetupError {
        DriverSetupError("cannot \(verb) \(path): \(String(cString: strerror(errno)))")
    }
}
