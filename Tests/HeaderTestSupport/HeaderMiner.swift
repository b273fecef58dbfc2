// SPDX-License-Identifier: MIT

public import AltNetBitcoin

/// Makes headers that are valid on regtest, where every second nonce is proof enough.
public enum HeaderMiner {
    /// A header on another one; `salt` makes siblings differ.
    public static func header(
        on previous: BlockHash, time: UInt32, salt: UInt64 = 0, version: Int32 = 0x2000_0000,
        bits: CompactTarget = Network.regtest.proofOfWorkLimit
    ) -> BlockHeader {
        let root = BlockHash(number: UInt256(salt, UInt64(time), 0, 0))
        return Self.mined(
            BlockHeader(version: version, previous: previous, merkleRoot: root, time: time, bits: bits, nonce: 0))
    }

    /// The same header with the next nonce that proves its work, or that does not.
    public static func mined(_ header: BlockHeader, isProven: Bool = true) -> BlockHeader {
        let limit = Network.regtest.proofOfWorkLimitTarget
        var bytes = header.bytes
        var nonce = header.nonce
        while true {
            withUnsafeBytes(of: nonce.littleEndian) { bytes.replaceSubrange(76..<80, with: $0) }
            if (DoubleSHA256.hash(bytes).number <= limit) == isProven { break }
            nonce &+= 1
        }
        var found = header
        found.nonce = nonce
        return found
    }

    /// Consecutive headers on another one, `spacing` seconds apart.
    public static func chain(
        _ count: Int, on parent: BlockHeader = Network.regtest.genesis, spacing: UInt32 = 600, salt: UInt64 = 0
    ) -> [BlockHeader] {
        Self.bytes(count, on: parent, spacing: spacing, salt: salt).withUnsafeBytes { bytes in
            stride(from: 0, to: bytes.count, by: BlockHeader.size).map {
                BlockHeader(unaligned: UnsafeRawBufferPointer(rebasing: bytes[$0..<$0 + BlockHeader.size]))
            }
        }
    }

    /// The same as they travel: made in place, because tests want hundreds of thousands.
    public static func bytes(
        _ count: Int, on parent: BlockHeader = Network.regtest.genesis, spacing: UInt32 = 600, salt: UInt64 = 0
    ) -> [UInt8] {
        let limit = Network.regtest.proofOfWorkLimitTarget.limbs.3
        var template = Self.header(on: parent.hash, time: parent.time + spacing, salt: salt)
        template.nonce = 0
        var bytes = [UInt8](repeating: 0, count: count * BlockHeader.size)
        let first = template.bytes
        bytes.withUnsafeMutableBytes { bytes in
            var previous = parent.hash.number
            var time = template.time
            for start in stride(from: 0, to: bytes.count, by: BlockHeader.size) {
                let header = UnsafeMutableRawBufferPointer(rebasing: bytes[start..<start + BlockHeader.size])
                header.copyBytes(from: first)
                header.storeBytes(of: previous.limbs.0.littleEndian, toByteOffset: 4, as: UInt64.self)
                header.storeBytes(of: previous.limbs.1.littleEndian, toByteOffset: 12, as: UInt64.self)
                header.storeBytes(of: previous.limbs.2.littleEndian, toByteOffset: 20, as: UInt64.self)
                header.storeBytes(of: previous.limbs.3.littleEndian, toByteOffset: 28, as: UInt64.self)
                header.storeBytes(of: time.littleEndian, toByteOffset: 68, as: UInt32.self)
                var nonce: UInt32 = 0
                repeat {
                    header.storeBytes(of: nonce.littleEndian, toByteOffset: 76, as: UInt32.self)
                    previous = DoubleSHA256.hash(UnsafeRawBufferPointer(header)).number
                    nonce += 1
                } while previous.limbs.3 > limit
                time += spacing
            }
        }
        return bytes
    }
}

extension [BlockHeader] {
    /// The headers as they travel and as they are stored.
    public var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(self.count * BlockHeader.size)
        for header in self { header.append(to: &bytes) }
        return bytes
    }
}
