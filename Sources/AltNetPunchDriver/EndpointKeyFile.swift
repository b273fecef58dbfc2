// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDriverKit
internal import AltNetDriverProtocol
internal import Glibc

/// The file with the key of one coordination endpoint, mode 0600, in the driver's data directory: the second from which
/// on it is used, a space, and the key as Tor or I2P's router writes it.
///
/// A new key replaces an old one for good: nobody, not even who gets hold of this machine later, can show that an
/// earlier endpoint was ours.
struct EndpointKeyFile: Sendable {
    /// A key, and since when it is used.
    struct Key: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
        let text: String
        let since: WallClockTime

        /// Never the key.
        var description: String { "Key(redacted)" }
        var customMirror: Mirror { Mirror(self, children: []) }
    }

    /// The largest file that is read. A key of I2P with its destination has some thousand characters.
    private static let maximumSize = 4096

    let path: String

    /// The key on the disk; `nil` when there is none.
    func load() throws(DriverSetupError) -> Key? {
        guard access(self.path, F_OK) == 0 || errno != ENOENT else { return nil }
        let bytes = try SecretFile.read(self.path, maximumSize: Self.maximumSize)
        let line = String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        let words = line.split(separator: " ")
        guard bytes.count < Self.maximumSize, words.count == 2, let seconds = Int64(words[0]) else {
            throw DriverSetupError("\(self.path) holds no key of a coordination endpoint; remove it for a new one")
        }
        return Key(text: String(words[1]), since: WallClockTime(seconds: seconds))
    }

    /// Writes a key; on the disk when this returns.
    func save(_ key: Key) throws(DriverSetupError) {
        // Under another name first, so that a crash leaves no half key behind.
        let temporary = self.path + ".new"
        unlink(temporary)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw self.failure("create", temporary) }
        defer { close(descriptor) }
        let line = Array("\(key.since.seconds) \(key.text)\n".utf8)
        guard write(descriptor, line, line.count) == line.count, fsync(descriptor) == 0,
            rename(temporary, self.path) == 0
        else { throw self.failure("write", self.path) }
        // The new name is on the disk when its directory is.
        let slash = self.path.lastIndex(of: "/") ?? self.path.startIndex
        let parent = String(self.path[..<slash])
        let directory = open(parent.isEmpty ? "." : parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw self.failure("write", self.path) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw self.failure("write", self.path) }
    }

    /// Forgets the key.
    func remove() {
        unlink(self.path)
    }

    private func failure(_ verb: String, _ path: String) -> DriverSetupError {
        DriverSetupError("cannot \(verb) \(path): \(String(cString: strerror(errno)))")
    }
}
