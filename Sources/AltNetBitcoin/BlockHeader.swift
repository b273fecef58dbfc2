// SPDX-License-Identifier: MIT

internal import AltNetBase

/// A block header: 80 bytes that commit to a block and carry its proof of work.
public struct BlockHeader: Hashable, Sendable {
    /// The size of every header on the wire and in files, in bytes.
    public static let size = 80

    /// The block version; signed, and compared as signed (BIP 34, BIP 66, BIP 65).
    public var version: Int32
    /// The hash of the block this one builds on.
    public var previous: BlockHash
    /// The root of the tree of transaction hashes, 32 bytes in the order of the wire.
    public var merkleRoot: BlockHash
    /// The miner's clock, in seconds since 1970.
    public var time: UInt32
    /// The target that the header's hash must not exceed.
    public var bits: CompactTarget
    /// What the miner varies.
    public var nonce: UInt32

    public init(
        version: Int32,
        previous: BlockHash,
        merkleRoot: BlockHash,
        time: UInt32,
        bits: CompactTarget,
        nonce: UInt32
    ) {
        self.version = version
        self.previous = previous
        self.merkleRoot = merkleRoot
        self.time = time
        self.bits = bits
        self.nonce = nonce
    }

    /// Reads 80 bytes at the start of a buffer that is at least that long.
    @inlinable
    public init(unaligned bytes: UnsafeRawBufferPointer) {
        self.version = Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: Int32.self))
        self.previous = BlockHash(unaligned: UnsafeRawBufferPointer(rebasing: bytes[4..<36]))
        self.merkleRoot = BlockHash(unaligned: UnsafeRawBufferPointer(rebasing: bytes[36..<68]))
        self.time = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 68, as: UInt32.self))
        self.bits = CompactTarget(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 72, as: UInt32.self)))
        self.nonce = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 76, as: UInt32.self))
    }

    /// Reads exactly 80 bytes; `nil` for any other count.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == Self.size else { return nil }
        let array = Array(bytes)
        self = array.withUnsafeBytes { Self(unaligned: $0) }
    }

    /// The 80 bytes of the wire.
    public var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.size)
        self.append(to: &bytes)
        return bytes
    }

    /// Appends the 80 bytes of the wire.
    public func append(to bytes: inout [UInt8]) {
        bytes.appendLittleEndian(self.version)
        Self.append(self.previous, to: &bytes)
        Self.append(self.merkleRoot, to: &bytes)
        bytes.appendLittleEndian(self.time)
        bytes.appendLittleEndian(self.bits.rawValue)
        bytes.appendLittleEndian(self.nonce)
    }

    /// The double SHA-256 of the 80 bytes.
    public var hash: BlockHash { DoubleSHA256.hash(self.bytes) }

    private static func append(_ hash: BlockHash, to bytes: inout [UInt8]) {
        bytes.appendLittleEndian(hash.number.limbs.0)
        bytes.appendLittleEndian(hash.number.limbs.1)
        bytes.appendLittleEndian(hash.number.limbs.2)
        bytes.appendLittleEndian(hash.number.limbs.3)
    }
}
