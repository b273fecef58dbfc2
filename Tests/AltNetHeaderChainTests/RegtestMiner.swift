// SPDX-License-Identifier: MIT

import AltNetBitcoin

/// Makes headers that are valid on regtest, where every second nonce is proof enough.
enum RegtestMiner {
    /// A header on another one; `salt` makes siblings differ.
    static func header(
        on previous: BlockHash, time: UInt32, salt: UInt64 = 0, version: Int32 = 0x2000_0000,
        bits: CompactTarget = Network.regtest.proofOfWorkLimit
    ) -> BlockHeader {
        let root = BlockHash(number: UInt256(salt, UInt64(time), 0, 0))
        return Self.mined(
            BlockHeader(version: version, previous: previous, merkleRoot: root, time: time, bits: bits, nonce: 0))
    }

    /// The same header with the next nonce that proves its work, or that does not.
    static func mined(_ header: BlockHeader, isProven: Bool = true) -> BlockHeader {
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
    static func chain(
        _ count: Int, on parent: BlockHeader = Network.regtest.genesis, spacing: UInt32 = 600, salt: UInt64 = 0
    ) -> [BlockHeader] {
        var headers: [BlockHeader] = []
        headers.reserveCapacity(count)
        var previous = parent.hash
        var time = parent.time
        for _ in 0..<count {
            time += spacing
            let header = Self.header(on: previous, time: time, salt: salt)
            previous = header.hash
            headers.append(header)
        }
        return headers
    }
}

extension [BlockHeader] {
    /// The headers as they travel and as they are stored.
    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(self.count * BlockHeader.size)
        for header in self { header.append(to: &bytes) }
        return bytes
    }
}
