// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import Glibc

/// The two files that LND keeps for its clients.
enum LNDFiles {
    /// The largest certificate file that is read: room for a chain of certificates, which are some 1,000 bytes each.
    static let maximumCertificateSize = 65_536
    /// The largest macaroon that is read, in bytes. One that names every call of LND is below 4,000.
    static let maximumMacaroonSize = 8_192

    /// The certificate file in PEM form.
    static func certificate(_ path: String) throws(LNDSetupError) -> [UInt8] {
        let bytes = try Self.read(path, atMost: Self.maximumCertificateSize, secret: false)
        let text = String(decoding: bytes, as: UTF8.self)
        guard !text.contains("PRIVATE KEY-----") else {
            throw LNDSetupError("\(path) holds a private key; name LND's tls.cert, and keep its tls.key to LND")
        }
        guard text.contains("-----BEGIN CERTIFICATE-----") else {
            throw LNDSetupError("\(path) holds no certificate in PEM form; name LND's tls.cert")
        }
        return bytes
    }

    /// The macaroon as LND wants it beside every call: in hexadecimal digits.
    ///
    /// A file that others can read is refused: whoever has a macaroon can do with LND what it allows.
    static func macaroon(_ path: String) throws(LNDSetupError) -> String {
        let bytes = try Self.read(path, atMost: Self.maximumMacaroonSize, secret: true)
        // `lncli bakemacaroon` without --save_to prints digits, and people put those into files too.
        let text = String(decoding: bytes.filter { !$0.isSpace }, as: UTF8.self)
        let binary = Hex.decode(text) ?? bytes
        // The binary form begins with its version; all of LND's are of version 2.
        guard binary.first == 2 else { throw LNDSetupError("\(path) holds no macaroon of LND") }
        return Hex.encode(binary)
    }

    private static func read(_ path: String, atMost limit: Int, secret: Bool) throws(LNDSetupError) -> [UInt8] {
        // Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw Self.failure("read", path) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Self.failure("look at", path) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw LNDSetupError("\(path) is not a file") }
        if secret, status.st_mode & 0o077 != 0 {
            throw LNDSetupError(
                "\(path) can be read by others; bake a macaroon for AltNet alone into a file of mode 0600")
        }
        var bytes = [UInt8](repeating: 0, count: limit + 1)
        var count = 0
        while count < bytes.count {
            let more = bytes.withUnsafeMutableBytes { buffer in
                Glibc.read(descriptor, buffer.baseAddress.map { $0 + count }, buffer.count - count)
            }
            if more < 0, errno == EINTR { continue }
            guard more >= 0 else { throw Self.failure("read", path) }
            if more == 0 { break }
            count += more
        }
        guard count <= limit else { throw LNDSetupError("\(path) is larger than \(limit) bytes") }
        return Array(bytes.prefix(count))
    }

    private static func failure(_ verb: String, _ path: String) -> LNDSetupError {
        LNDSetupError("cannot \(verb) \(path): \(String(cString: strerror(errno)))")
    }
}

extension UInt8 {
    fileprivate var isSpace: Bool { self == 0x20 || (0x09...0x0d).contains(self) }
}
