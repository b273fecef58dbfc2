// SPDX-License-Identifier: MIT

internal import Crypto

/// An onion (BOLT 4, "Packet Structure"), version 0: payloads for the nodes of a route, each of which can read its own
/// and learns only who comes next.
public struct OnionPacket: Hashable, Sendable {
    /// The only version that there is.
    public static let version: UInt8 = 0
    /// The bytes of a packet beside its payloads: version, key and authentication code.
    public static let overhead = 1 + 33 + Self.hmacSize
    /// The size of `hop_payloads` in payments, directed messages and ordinary onion messages.
    public static let standardPayloadsSize = 1300
    /// The size of `hop_payloads` in large onion messages (BOLT 4: `len` SHOULD be 1366 or 32834).
    public static let largePayloadsSize = 32_768
    /// The size of the packet of payments, directed messages and ordinary onion messages: 1,366 bytes.
    public static let standardSize = Self.overhead + Self.standardPayloadsSize
    /// The most bytes that a packet can have, because an `onion_message` is at most 65,535 bytes with its type (2), path
    /// key (33) and length (2).
    public static let maximumSize = 65_535 - 2 - 33 - 2

    /// The size of an authentication code, HMAC-SHA-256, in bytes.
    static let hmacSize = 32
    /// The shortest payload, in bytes: lengths 0 and 1 are reserved (BOLT 4).
    public static let minimumPayload = 2

    /// The key that the receiving node shares a secret with: 33 bytes, unchecked until the packet is peeled.
    public let publicKey: [UInt8]
    /// The encrypted payloads, for this node and all that follow.
    public let hopPayloads: [UInt8]
    /// The authentication code of `hopPayloads` and the associated data: 32 bytes.
    public let hmac: [UInt8]

    /// Reads a packet, whose payloads are all that is neither key nor code. Checks the version first, as a later
    /// version may have any length.
    public init(bytes: some Collection<UInt8>) throws(OnionError) {
        if let version = bytes.first, version != Self.version { throw .unknownVersion(version) }
        guard bytes.count > Self.overhead, bytes.count <= Self.maximumSize else { throw .badLength(bytes.count) }
        self.publicKey = Array(bytes.dropFirst().prefix(33))
        self.hopPayloads = Array(bytes.dropFirst(34).dropLast(Self.hmacSize))
        self.hmac = Array(bytes.suffix(Self.hmacSize))
    }

    init(publicKey: [UInt8], hopPayloads: [UInt8], hmac: [UInt8]) {
        self.publicKey = publicKey
        self.hopPayloads = hopPayloads
        self.hmac = hmac
    }

    /// The packet as it is sent.
    public var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.overhead + self.hopPayloads.count)
        bytes.append(Self.version)
        bytes.append(contentsOf: self.publicKey)
        bytes.append(contentsOf: self.hopPayloads)
        bytes.append(contentsOf: self.hmac)
        return bytes
    }

    /// SHA-256 of the packet, by which a `directed_reply` names what it answers.
    public var sha256: [UInt8] { Array(SHA256.hash(data: self.bytes)) }
}
