// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import Crypto

/// Names that DNS can have, in lower case.
enum HostName {
    /// Labels of letters, digits, hyphens and underscores, 63 bytes at most (RFC 1035, section 2.3.4).
    ///
    /// A name whose last label is a number is refused: resolvers read `10.1` or `0x7f000001` as IPv4 addresses, and so
    /// one could pass a private address off as a name. So is `.onion`, which is no matter of DNS (RFC 7686).
    static func read(_ bytes: some Collection<UInt8>) throws(LightningAddressError) -> String {
        guard bytes.count <= LightningAddress.maximumNameLength else { throw .badName }
        let name = String(decoding: bytes, as: UTF8.self).lowercased()
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        guard labels.allSatisfy(Self.isLabel), let last = labels.last else { throw .badName }
        guard last != "onion" else { throw .badOnion }
        guard !last.utf8.allSatisfy(IPAddressText.isDigit), !last.hasPrefix("0x") else { throw .badName }
        return name
    }

    private static func isLabel(_ label: Substring) -> Bool {
        (1...63).contains(label.utf8.count) && !label.hasPrefix("-") && !label.hasSuffix("-")
            && label.utf8.allSatisfy { byte in
                IPAddressText.isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                    || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
            }
    }
}

/// Onion services of version 3: `publicKey ‖ checksum ‖ version` in base 32 (Tor's rend-spec-v3, section 6).
public enum OnionAddress {
    /// Public key, checksum and version, in bytes.
    static let size = 35
    private static let version: UInt8 = 3

    static func bytes(of publicKey: [UInt8]) -> [UInt8] {
        publicKey + Self.checksum(publicKey) + [Self.version]
    }

    static func publicKey(of bytes: [UInt8]) throws(LightningAddressError) -> [UInt8] {
        guard bytes.count == Self.size, let version = bytes.last else { throw .badOnion }
        guard version == Self.version else { throw .onionVersion(version) }
        let key = Array(bytes.prefix(32))
        guard Array(bytes[32..<34]) == Self.checksum(key) else { throw .badOnion }
        return key
    }

    /// The key behind a name in lower case; `nil` when the name is of another kind.
    public static func publicKey(name: String) throws(LightningAddressError) -> [UInt8]? {
        guard name.hasSuffix(".onion") else { return nil }
        let label = name.dropLast(6)
        // 80 bits: version 2.
        guard label.utf8.count != 16 else { throw .torV2 }
        guard label.utf8.count == 56, let bytes = Base32.decode(label) else { throw .badOnion }
        return try Self.publicKey(of: bytes)
    }

    /// The name of the service with a public key of 32 bytes, with `.onion` at its end.
    public static func name(of publicKey: [UInt8]) -> String {
        Base32.encode(Self.bytes(of: publicKey)) + ".onion"
    }

    private static func checksum(_ publicKey: [UInt8]) -> [UInt8] {
        Array(SHA3_256.hash(data: Array(".onion checksum".utf8) + publicKey + [Self.version]).prefix(2))
    }
}
