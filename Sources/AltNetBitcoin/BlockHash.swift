// SPDX-License-Identifier: MIT

internal import Crypto

/// The double SHA-256 of a block header: what identifies a block.
///
/// Kept as four 64-bit words, so that comparing it with a target costs no conversion.
public struct BlockHash: Hashable, Sendable {
    /// The hash read as a little-endian integer, as proof of work does.
    public let number: UInt256

    @inlinable
    public init(number: UInt256) {
        self.number = number
    }

    /// Thirty-two zero bytes: the previous hash of a genesis block, and "no stop" in a locator.
    public static let zero = BlockHash(number: .zero)

    /// Takes 32 bytes in the order of the wire.
    @inlinable
    public init(unaligned bytes: UnsafeRawBufferPointer) {
        self.number = UInt256(
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self)),
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 24, as: UInt64.self))
        )
    }

    /// Takes 32 bytes in the order of the wire; `nil` for any other count.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 32 else { return nil }
        let array = Array(bytes)
        self = array.withUnsafeBytes { Self(unaligned: $0) }
    }

    /// Reads the usual text form: 64 hexadecimal digits with the last byte of the wire first.
    public init?(hex text: some StringProtocol) {
        guard text.utf8.count == 64, let number = UInt256(hex: text) else { return nil }
        self.init(number: number)
    }

    /// The 32 bytes in the order of the wire.
    public var bytes: [UInt8] { self.number.bigEndianBytes.reversed() }

    @inlinable
    public static func == (left: Self, right: Self) -> Bool { left.number == right.number }

    /// A block hash is already uniform in its low bits, so one word is enough for a hash table.
    @inlinable
    public func hash(into hasher: inout Hasher) {
        hasher.combine(self.number.limbs.0)
    }
}

extension BlockHash: CustomStringConvertible {
    /// 64 hexadecimal digits with the last byte of the wire first, as explorers and Bitcoin Core print it.
    public var description: String { self.number.description }
}

/// SHA-256 applied twice, Bitcoin's general-purpose hash.
public enum DoubleSHA256 {
    /// The hash of some bytes as a number whose least significant byte is the first of the digest.
    @inline(__always)
    public static func hash(_ bytes: UnsafeRawBufferPointer) -> BlockHash {
        var first = SHA256()
        first.update(bufferPointer: bytes)
        let inner = first.finalize()
        var second = SHA256()
        inner.withUnsafeBytes { second.update(bufferPointer: $0) }
        return second.finalize().withUnsafeBytes { BlockHash(unaligned: $0) }
    }

    /// The hash of some bytes.
    public static func hash(_ bytes: [UInt8]) -> BlockHash {
        bytes.withUnsafeBytes { Self.hash($0) }
    }
}
