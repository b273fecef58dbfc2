// SPDX-License-Identifier: MIT

internal import Glibc

/// How to reach the operator's LND: its address and the two files that it keeps for its clients.
public struct LNDSettings: Hashable, Sendable {
    /// Where its gRPC interface listens.
    public let address: LNDAddress
    /// The path of LND's certificate, `tls.cert`: the only one that is trusted, for this connection only.
    public let certificate: String
    /// The path of the macaroon that is sent with every call.
    public let macaroon: String

    /// Takes what the operator configured; the files are read when a connection is made, each time anew.
    public init(address: String, certificate: String, macaroon: String) throws(LNDSetupError) {
        self.address = try LNDAddress(address)
        self.certificate = certificate
        self.macaroon = macaroon
    }
}

/// Why the attachment to LND cannot work as it is configured, in one sentence for the operator. A restart does not help.
public struct LNDSetupError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// A host and a port: `127.0.0.1:10009`, `[::1]:10009` or `localhost:10009`.
public struct LNDAddress: Hashable, Sendable, CustomStringConvertible {
    enum Host: Hashable, Sendable {
        case ipv4(String)
        case ipv6(String)
        case name(String)
    }

    let host: Host
    let port: Int

    /// Reads the address; LND's own default port is 10009, but it must be said.
    init(_ text: String) throws(LNDSetupError) {
        let failure = LNDSetupError("the address of LND must be a host and a port, such as 127.0.0.1:10009")
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0,
            text[text.index(after: colon)...].first != "+"
        else { throw failure }
        let host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            let inner = String(host.dropFirst().dropLast())
            guard Self.isAddress(inner, of: AF_INET6) else { throw failure }
            self.host = .ipv6(inner)
        } else if Self.isAddress(String(host), of: AF_INET) {
            self.host = .ipv4(String(host))
        } else {
            // 253 bytes is the longest name in the DNS.
            guard (1...253).contains(host.utf8.count), host.utf8.allSatisfy(Self.isPartOfName) else { throw failure }
            self.host = .name(String(host))
        }
        self.port = Int(port)
    }

    /// The host alone, as a certificate must name it.
    var hostText: String {
        switch self.host {
        case .ipv4(let host), .ipv6(let host), .name(let host): host
        }
    }

    public var description: String {
        switch self.host {
        case .ipv4(let host), .name(let host): "\(host):\(self.port)"
        case .ipv6(let host): "[\(host)]:\(self.port)"
        }
    }

    private static func isPartOfName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    private static func isAddress(_ text: String, of family: Int32) -> Bool {
        // Large enough for both kinds.
        var binary = in6_addr()
        return inet_pton(family, text, &binary) == 1
    }
}
