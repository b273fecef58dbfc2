// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import Crypto
internal import Glibc

/// A secret of 32 random bytes, kept as its hash: what leaks of the daemon's memory later is no secret then.
struct SecretDigest: Hashable, Sendable {
    private let digest: SHA256Digest

    init(_ secret: String) {
        self.digest = SHA256.hash(data: Array(secret.utf8))
    }

    /// Takes the same time wherever the texts differ: the comparison is of hashes, and swift-crypto's in constant time.
    func matches(_ secret: String) -> Bool { self.digest == SHA256.hash(data: Array(secret.utf8)) }

    /// 64 hexadecimal digits from the system's generator.
    static func newSecret() -> String {
        var generator = SystemRandomNumberGenerator()
        return Hex.encode((0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) })
    }
}

/// The files that let programs of the operator in, made anew at each start as Bitcoin Core's cookie is.
struct AccessTokens: Sendable {
    /// Good for everything.
    static let fullFile = "http.cookie"
    /// Good for questions without side effects.
    static let readOnlyFile = "http.read-only-token"

    let full: SecretDigest
    let readOnly: SecretDigest
    private let directory: String

    /// Writes both files.
    init(in directory: String) throws(WebServerError) {
        self.directory = directory
        self.full = SecretDigest(try Self.write("\(directory)/\(Self.fullFile)"))
        self.readOnly = SecretDigest(try Self.write("\(directory)/\(Self.readOnlyFile)"))
    }

    /// Nothing is let in any more: the files go.
    func remove() {
        unlink("\(self.directory)/\(Self.fullFile)")
        unlink("\(self.directory)/\(Self.readOnlyFile)")
    }

    /// Makes a secret and writes it where only the owner reads it. A reader sees the old file or the new one, never half
    /// of one.
    private static func write(_ path: String) throws(WebServerError) -> String {
        let secret = SecretDigest.newSecret()
        let partial = path + ".new"
        unlink(partial)
        let file = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw Self.failure("create", partial) }
        defer { close(file) }
        let text = Array((secret + "\n").utf8)
        guard text.withUnsafeBytes({ Glibc.write(file, $0.baseAddress, $0.count) }) == text.count else {
            throw Self.failure("write", partial)
        }
        guard rename(partial, path) == 0 else { throw Self.failure("rename", partial) }
        return secret
    }

    private static func failure(_ verb: String, _ path: String) -> WebServerError {
        WebServerError("cannot \(verb) \(path): \(String(cString: strerror(errno)))")
    }
}
