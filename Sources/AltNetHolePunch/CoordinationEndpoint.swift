// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import Crypto

/// Where a node can be asked for a punched connection: an endpoint of an anonymous network that serves nothing else.
public enum CoordinationEndpoint: Hashable, Sendable, CustomStringConvertible {
    /// An onion service, version 3: its public key of 32 bytes, and the virtual port.
    case onion(publicKey: [UInt8], port: UInt16)
    /// An I2P destination: the SHA-256 of it, 32 bytes. SAM 3.1 knows no ports.
    case i2p(hash: [UInt8])
    /// An ordinary TCP address: for labs, tests, and overlays with addresses of their own. Never announced.
    case direct(host: String, port: UInt16)

    /// The length of an onion service's key and of an I2P hash, in bytes.
    static let keyLength = 32
    /// A longer text is no endpoint: a DNS name has 253 characters at most. In bytes.
    static let maximumTextLength = 280

    /// Reads `<56 characters>.onion:port`, `<52 characters>.b32.i2p`, or `direct:host:port`.
    ///
    /// Throws ``CoordinationEndpointError`` with a sentence for the operator.
    public init(_ text: String) throws(CoordinationEndpointError) {
        guard text.utf8.count <= Self.maximumTextLength else { throw .unknownForm }
        if text.hasPrefix("direct:") {
            self = try Self.direct(text.dropFirst("direct:".count))
            return
        }
        let lower = text.lowercased()
        if lower.hasSuffix(".b32.i2p") {
            let label = lower.dropLast(".b32.i2p".count)
            guard let hash = Base32.decode(label), hash.count == Self.keyLength else { throw .badI2P }
            self = .i2p(hash: hash)
            return
        }
        guard let colon = lower.lastIndex(of: ":"), lower[..<colon].hasSuffix(".onion") else {
            throw lower.hasSuffix(".onion") ? .badPort : .unknownForm
        }
        guard let bytes = Base32.decode(lower[..<colon].dropLast(".onion".count)), bytes.count == Self.keyLength + 3,
            bytes.last == Self.onionVersion
        else { throw .badOnion }
        let key = Array(bytes.prefix(Self.keyLength))
        guard Array(bytes[Self.keyLength..<Self.keyLength + 2]) == Self.checksum(of: key) else { throw .badOnion }
        self = .onion(publicKey: key, port: try Self.port(lower[lower.index(after: colon)...]))
    }

    private static func direct(_ text: Substring) throws(CoordinationEndpointError) -> Self {
        guard let colon = text.lastIndex(of: ":") else { throw .badPort }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = String(host.dropFirst().dropLast())
            guard IPAddressText.ipv6(host) != nil else { throw .badHost }
        } else {
            guard !host.isEmpty, host.utf8.allSatisfy(Self.isHostByte) else { throw .badHost }
        }
        return .direct(host: host, port: try Self.port(text[text.index(after: colon)...]))
    }

    private static func port(_ text: Substring) throws(CoordinationEndpointError) -> UInt16 {
        guard (1...5).contains(text.utf8.count), text.utf8.allSatisfy(IPAddressText.isDigit), let port = UInt16(text),
            port > 0
        else { throw .badPort }
        return port
    }

    private static func isHostByte(_ byte: UInt8) -> Bool {
        IPAddressText.isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
            || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
    }

    public var description: String {
        switch self {
        case .onion(let key, let port):
            Base32.encode(key + Self.checksum(of: key) + [Self.onionVersion]) + ".onion:\(port)"
        case .i2p(let hash): Base32.encode(hash) + ".b32.i2p"
        case .direct(let host, let port): "direct:" + (host.contains(":") ? "[\(host)]" : host) + ":\(port)"
        }
    }

    /// Whether the endpoint may be told to others.
    public var isAnnounced: Bool {
        if case .direct = self { return false }
        return true
    }

    // MARK: - Tor's rend-spec-v3, section 6: what a name is made of

    private static let onionVersion: UInt8 = 3

    private static func checksum(of publicKey: [UInt8]) -> [UInt8] {
        Array(SHA3_256.hash(data: Array(".onion checksum".utf8) + publicKey + [Self.onionVersion]).prefix(2))
    }
}

/// Why a text is no coordination endpoint. For the operator.
public enum CoordinationEndpointError: Error, Hashable, Sendable, CustomStringConvertible {
    case unknownForm, badOnion, badI2P, badHost, badPort

    public var description: String {
        switch self {
        case .unknownForm: "A coordination endpoint is <name>.onion:<port>, <name>.b32.i2p or direct:<host>:<port>."
        case .badOnion: "The name before .onion is not that of an onion service of version 3."
        case .badI2P: "The name before .b32.i2p is not the 52 characters of an I2P destination."
        case .badHost: "The host after direct: is neither a name nor an address."
        case .badPort: "The port is not a number between 1 and 65535."
        }
    }
}
