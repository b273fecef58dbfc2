// SPDX-License-Identifier: MIT

public import AltNetPeerRecords
internal import Crypto

/// A place in the DHT's key space: the SHA-256 of a peer id, or of a key that is looked for.
public struct KademliaKey: Hashable, Sendable {
    /// The number of bits of a place.
    public static let bits = 256

    /// The hash as four numbers, most significant first, so that comparing distances takes no loop over bytes.
    private let words: (UInt64, UInt64, UInt64, UInt64)

    /// The place of a key.
    public init(hashing key: some Collection<UInt8>) {
        var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        SHA256.hash(data: Array(key)).withUnsafeBytes { bytes in
            words.0 = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
            words.1 = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            words.2 = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
            words.3 = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 24, as: UInt64.self))
        }
        self.words = words
    }

    /// The place of a peer.
    public init(_ peer: PeerID) {
        self.init(hashing: peer.bytes)
    }

    /// How far it is to another place: the exclusive or of both.
    public func distance(to other: Self) -> Distance {
        Distance(
            words: (
                self.words.0 ^ other.words.0, self.words.1 ^ other.words.1, self.words.2 ^ other.words.2,
                self.words.3 ^ other.words.3
            ))
    }

    /// How many leading bits both places have in common: ``bits`` for the same place.
    public func commonPrefixLength(with other: Self) -> Int {
        self.distance(to: other).leadingZeroBits
    }

    public static func == (left: Self, right: Self) -> Bool { left.words == right.words }

    /// A hash is uniform in any of its words.
    public func hash(into hasher: inout Hasher) { hasher.combine(self.words.0) }

    /// The exclusive or of two places, as a number.
    public struct Distance: Comparable, Sendable {
        fileprivate let words: (UInt64, UInt64, UInt64, UInt64)

        public var leadingZeroBits: Int {
            if self.words.0 != 0 { return self.words.0.leadingZeroBitCount }
            if self.words.1 != 0 { return 64 + self.words.1.leadingZeroBitCount }
            if self.words.2 != 0 { return 128 + self.words.2.leadingZeroBitCount }
            return 192 + self.words.3.leadingZeroBitCount
        }

        public static func == (left: Self, right: Self) -> Bool { left.words == right.words }
        public static func < (left: Self, right: Self) -> Bool { left.words < right.words }
    }
}
