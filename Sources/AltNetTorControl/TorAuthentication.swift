// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import Crypto
internal import Glibc

/// What `PROTOCOLINFO` says about authentication, and the proofs that it asks for.
struct TorAuthentication: Hashable, Sendable {
    /// The size of a cookie and of both nonces, in bytes.
    static let size = 32

    let methods: [String]
    let cookieFile: String?

    /// Reads a reply to `PROTOCOLINFO 1`.
    init(_ reply: TorReply) throws(TorControlError) {
        guard let line = reply.lines.first(where: { $0.hasPrefix("AUTH METHODS=") }) else {
            throw .malformed("PROTOCOLINFO names no methods")
        }
        let rest = line.dropFirst("AUTH METHODS=".count)
        self.methods = rest.prefix { $0 != " " }.split(separator: ",").map(String.init)
        guard let marker = rest.firstRange(of: " COOKIEFILE=\"") else {
            self.cookieFile = nil
            return
        }
        guard let path = Self.unquoted(rest[marker.upperBound...]) else {
            throw .malformed("the name of the cookie file has no end")
        }
        self.cookieFile = path
    }

    /// Reads up to the closing quote; backslashes escape as in C.
    private static func unquoted(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: bytes, as: UTF8.self)
            case UInt8(ascii: "\\"):
                let octal = rest.prefix(3)
                if octal.count == 3, let value = UInt8(String(decoding: octal, as: UTF8.self), radix: 8) {
                    bytes.append(value)
                    rest = rest.dropFirst(3)
                } else {
                    guard let escaped = rest.popFirst() else { return nil }
                    let controls: [UInt8: UInt8] = [UInt8(ascii: "n"): 10, UInt8(ascii: "r"): 13, UInt8(ascii: "t"): 9]
                    bytes.append(controls[escaped] ?? escaped)
                }
            default: bytes.append(byte)
            }
        }
        return nil
    }

    /// Reads the cookie. The specification wants exactly 32 bytes, so that a false control port cannot make us read it
    /// any file.
    static func cookie(_ path: String) throws(TorControlError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw .cookie(path: path, "cannot be read: \(String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw .cookie(path: path, "is no file")
        }
        var bytes = [UInt8](repeating: 0, count: Self.size + 1)
        let count = read(descriptor, &bytes, bytes.count)
        guard count == Self.size else { throw .cookie(path: path, "has not 32 bytes") }
        return Array(bytes.prefix(count))
    }

    /// What Tor proves to us with, and what we prove with to Tor (control-spec, "AUTHCHALLENGE").
    static func proofs(
        cookie: [UInt8], clientNonce: [UInt8], serverNonce: [UInt8]
    ) -> (server: [UInt8], client: [UInt8]) {
        func proof(_ direction: String) -> [UInt8] {
            let key = SymmetricKey(data: Array("Tor safe cookie authentication \(direction) hash".utf8))
            return Array(
                HMAC<SHA256>.authenticationCode(for: cookie + clientNonce + serverNonce, using: key))
        }
        return (proof("server-to-controller"), proof("controller-to-server"))
    }
}
