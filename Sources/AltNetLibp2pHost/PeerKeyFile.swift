// SPDX-License-Identifier: MIT

public import AltNetPeerRecords
internal import Glibc

/// The file that holds a host's private key: libp2p's `PrivateKey` message, as other implementations write it, mode 0600.
public enum PeerKeyFile {
    /// The usual name in a data directory.
    public static let fileName = "peer.key"

    /// Why there is no key.
    public struct Problem: Error, Hashable, Sendable, CustomStringConvertible {
        public let description: String
    }

    /// Reads the key, or makes an Ed25519 key and writes it when there is no file.
    ///
    /// A file that others can read is refused: the key in it may no longer be ours alone.
    public static func load(_ path: String) throws(Problem) -> PeerPrivateKey {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else {
            guard errno == ENOENT else { throw Self.failure("open", path) }
            return try Self.create(path)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Self.failure("look at", path) }
        guard status.st_mode & S_IFMT == S_IFREG, status.st_uid == geteuid(), status.st_mode & 0o077 == 0 else {
            throw Problem(description: "\(path) is not a file of yours alone; run: chmod 600 \(path)")
        }
        var bytes = [UInt8](repeating: 0, count: PeerPrivateKey.maximumSize + 1)
        let count = read(descriptor, &bytes, bytes.count)
        guard count >= 0 else { throw Self.failure("read", path) }
        do {
            return try PeerPrivateKey(protobuf: bytes.prefix(count))
        } catch {
            throw Problem(description: "\(path) holds no private key that this node can sign with: \(error)")
        }
    }

    /// A new Ed25519 key.
    public static func random() -> PeerPrivateKey {
        var system = SystemRandomNumberGenerator()
        // Every 32 bytes are a seed.
        while true {
            let seed = (0..<32).map { _ in UInt8.random(in: .min ... .max, using: &system) }
            if let key = PeerPrivateKey.ed25519(seed: seed) { return key }
        }
    }

    private static func create(_ path: String) throws(Problem) -> PeerPrivateKey {
        let key = Self.random()
        // Written under another name first, so that a crash leaves no half key behind.
        // Of its own, as another process may do the same now.
        let temporary = "\(path).\(getpid()).\(UInt64.random(in: 0 ... .max)).new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Self.failure("create", temporary) }
        let bytes = key.protobuf
        let isWritten = write(descriptor, bytes, bytes.count) == bytes.count && fsync(descriptor) == 0
        close(descriptor)
        defer { unlink(temporary) }
        guard isWritten else { throw Self.failure("write", path) }
        // Not renamed: who comes second takes the key that is there, and both are the same node.
        guard link(temporary, path) == 0 else {
            guard errno == EEXIST else { throw Self.failure("write", path) }
            return try Self.load(path)
        }
        // The new name is on the disk when its directory is.
        let slash = path.lastIndex(of: "/")
        let parent = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let directory = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw Self.failure("write", path) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw Self.failure("write", path) }
        return key
    }

    private static func failure(_ verb: String, _ path: String) -> Problem {
        Problem(description: "cannot \(verb) \(path): \(String(cString: strerror(errno)))")
    }
}
