// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDriverKit
internal import AltNetDriverProtocol
internal import AltNetKeys
internal import Glibc

/// The file that holds our Lightning node's private key: 64 hexadecimal digits, mode 0600.
enum NodeKeyFile {
    /// The largest file that is read: the digits and a line end.
    private static let maximumSize = 66

    /// Reads the key, or makes one and writes it when there is no file.
    ///
    /// A file that others can read is refused: the key in it may no longer be ours alone.
    static func load(_ path: String) throws(DriverSetupError) -> NodePrivateKey {
        guard access(path, F_OK) == 0 || errno != ENOENT else { return try Self.create(path) }
        let bytes = try SecretFile.read(path, maximumSize: Self.maximumSize)
        let text = String(decoding: bytes.filter { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        guard let secret = Hex.decode(text), let key = NodePrivateKey(bytes: secret) else {
            throw DriverSetupError("\(path) holds no private key: 64 hexadecimal digits are expected")
        }
        return key
    }

    private static func create(_ path: String) throws(DriverSetupError) -> NodePrivateKey {
        let key = Self.random()
        // Written under another name first, so that a crash leaves no half key behind.
        let temporary = path + ".new"
        unlink(temporary)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Self.failure("create", temporary) }
        defer { close(descriptor) }
        let line = Array((Hex.encode(key.secretBytes) + "\n").utf8)
        guard write(descriptor, line, line.count) == line.count, fsync(descriptor) == 0,
            rename(temporary, path) == 0
        else { throw Self.failure("write", path) }
        // The new name is on the disk when its directory is.
        let directory = open(Self.directory(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw Self.failure("write", path) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw Self.failure("write", path) }
        return key
    }

    private static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// A random key. Nearly every 32 bytes are one.
    static func random() -> NodePrivateKey {
        while true {
            if let key = NodePrivateKey(bytes: (0..<NodePrivateKey.size).map { _ in UInt8.random(in: 0...255) }) {
                return key
            }
        }
    }

    private static func failure(_ verb: String, _ path: String) -> DriverSetupError {
        DriverSetupError("cannot \(verb) \(path): \(String(cString: strerror(errno)))")
    }
}
