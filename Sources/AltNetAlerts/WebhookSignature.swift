// SPDX-License-Identifier: MIT

internal import Crypto
internal import FoundationEssentials
internal import Glibc

/// The key of a webhook's signature: `whsec_` and base64, as the Standard Webhooks specification writes symmetric
/// secrets.
public struct WebhookSecret: Sendable {
    /// The specification's bounds, in bytes.
    public static let lengths = 24...64
    /// A file with more bytes holds something else.
    static let maximumFileSize = 256

    private let key: SymmetricKey

    public init(_ text: String) throws(AlertError) {
        guard text.hasPrefix("whsec_"), let bytes = Data(base64Encoded: String(text.dropFirst(6))),
            Self.lengths.contains(bytes.count)
        else {
            throw AlertError(
                "a secret must be whsec_ and the base64 of \(Self.lengths.lowerBound) to \(Self.lengths.upperBound) bytes; make one with: echo \"whsec_$(openssl rand -base64 32)\""
            )
        }
        self.key = SymmetricKey(data: bytes)
    }

    /// Reads a file that only its owner can read.
    public static func read(_ path: String) throws(AlertError) -> WebhookSecret {
        let name = AlertMessage.clean(path, 200)
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw AlertError("the secret file \(name) cannot be opened: \(String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw AlertError("the secret file \(name) is no regular file")
        }
        guard status.st_mode & 0o077 == 0 else {
            throw AlertError("others may read the secret file \(name); run: chmod 600 \(name)")
        }
        var buffer = [UInt8](repeating: 0, count: Self.maximumFileSize + 1)
        let count = Glibc.read(descriptor, &buffer, buffer.count)
        guard count >= 0, count <= Self.maximumFileSize else {
            throw AlertError("the secret file \(name) cannot be read, or holds more than a secret")
        }
        let text = String(decoding: buffer.prefix(count), as: UTF8.self)
        do throws(AlertError) {
            return try WebhookSecret(String(text.drop(while: \.isWhitespace).prefix { !$0.isWhitespace }))
        } catch {
            throw AlertError("the secret file \(name): \(error)")
        }
    }

    /// The value of `webhook-signature`.
    ///
    /// - Parameter timestamp: seconds since 1970, of this attempt.
    public func signature(id: String, timestamp: Int64, body: [UInt8]) -> String {
        let signed = Data("\(id).\(timestamp).".utf8) + Data(body)
        let code = HMAC<SHA256>.authenticationCode(for: signed, using: self.key)
        return "v1," + Data(code).base64EncodedString()
    }
}
