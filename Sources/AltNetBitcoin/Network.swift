// SPDX-License-Identifier: MIT

/// One of Bitcoin's block chains and the consensus parameters that concern its headers.
public enum Network: String, CaseIterable, Sendable, Hashable, Codable {
    case main, testnet3, testnet4, signet, regtest

    /// The network of a name as people write it; `mainnet` and `test` are understood too.
    public init?(name: String) {
        switch name {
        case "mainnet", "bitcoin": self = .main
        case "test", "testnet": self = .testnet3
        default: self.init(rawValue: name)
        }
    }
}

extension Network {
    /// The first four bytes of every P2P message.
    public var magic: [UInt8] {
        switch self {
        case .main: [0xf9, 0xbe, 0xb4, 0xd9]
        case .testnet3: [0x0b, 0x11, 0x09, 0x07]
        case .testnet4: [0x1c, 0x16, 0x3f, 0x28]
        case .signet: [0x0a, 0x03, 0xcf, 0x40]
        case .regtest: [0xfa, 0xbf, 0xb5, 0xda]
        }
    }

    /// The TCP port that Bitcoin nodes listen on unless told otherwise.
    public var defaultPort: UInt16 {
        switch self {
        case .main: 8333
        case .testnet3: 18333
        case .testnet4: 48333
        case .signet: 38333
        case .regtest: 18444
        }
    }

    /// The first header of the chain.
    public var genesis: BlockHeader {
        let satoshi = "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"
        let testnet4 = "7aa0a7ae1e223414cb807e40cd57e667b718e42aaf9306db9102fe28912b7b4e"
        return switch self {
        case .main: Self.genesis(satoshi, time: 1_231_006_505, bits: 0x1d00_ffff, nonce: 2_083_236_893)
        case .testnet3: Self.genesis(satoshi, time: 1_296_688_602, bits: 0x1d00_ffff, nonce: 414_098_458)
        case .testnet4: Self.genesis(testnet4, time: 1_714_777_860, bits: 0x1d00_ffff, nonce: 393_743_547)
        case .signet: Self.genesis(satoshi, time: 1_598_918_400, bits: 0x1e03_77ae, nonce: 52_613_770)
        case .regtest: Self.genesis(satoshi, time: 1_296_688_602, bits: 0x207f_ffff, nonce: 2)
        }
    }

    private static func genesis(_ merkleRoot: String, time: UInt32, bits: UInt32, nonce: UInt32) -> BlockHeader {
        BlockHeader(
            version: 1,
            previous: .zero,
            merkleRoot: BlockHash(hex: merkleRoot) ?? .zero,
            time: time,
            bits: CompactTarget(bits),
            nonce: nonce
        )
    }

    /// The hash that names the chain in BOLT messages and everywhere else: that of its first header.
    public var chainHash: BlockHash { self.genesis.hash }

    /// The easiest target that the network allows.
    public var proofOfWorkLimit: CompactTarget {
        switch self {
        case .main, .testnet3, .testnet4: CompactTarget(0x1d00_ffff)
        case .signet: CompactTarget(0x1e03_77ae)
        case .regtest: CompactTarget(0x207f_ffff)
        }
    }

    /// The easiest target as the number that consensus compares with, which has more digits than its compact form.
    public var proofOfWorkLimitTarget: UInt256 {
        switch self {
        case .main, .testnet3, .testnet4: UInt256.max >> 32
        case .signet: UInt256(0, 0, 0, 0x0000_0377_ae00_0000)
        case .regtest: UInt256.max >> 1
        }
    }

    /// Blocks are meant to come this many seconds apart.
    public static let targetSpacing: UInt32 = 600
    /// The target changes every this many blocks: two weeks of them.
    public static let retargetInterval: UInt32 = 2016
    /// What one retarget period is meant to take, in seconds.
    public static let targetTimespan: UInt32 = 1_209_600

    /// Whether the target never changes.
    public var neverRetargets: Bool { self == .regtest }

    /// Whether a header more than twenty minutes after its predecessor may carry the easiest target.
    public var allowsMinimumDifficultyBlocks: Bool { self == .testnet3 || self == .testnet4 }

    /// BIP 94: the retarget starts from the bits of the period's first block, and that block's time may lie at most
    /// ten minutes before its predecessor's.
    public var enforcesBIP94: Bool { self == .testnet4 }

    /// The height from which a header's version must be at least 2 (BIP 34), 3 (BIP 66) and 4 (BIP 65).
    public var versionHeights: (bip34: UInt32, bip66: UInt32, bip65: UInt32) {
        switch self {
        case .main: (227_931, 363_725, 388_381)
        case .testnet3: (21_111, 330_776, 581_885)
        case .testnet4, .signet, .regtest: (1, 1, 1)
        }
    }

    /// From this height on, a block has the witnesses that it commits to (BIP 141, as Bitcoin Core's `SegwitHeight`).
    public var witnessHeight: UInt32 {
        switch self {
        case .main: 481_824
        case .testnet3: 834_624
        case .testnet4, .signet: 1
        case .regtest: 0
        }
    }

    /// A chain with less work than this is not worth memory: the work of the honest chain at the time of writing, as
    /// Bitcoin Core 31 has it.
    public var minimumChainWork: Work {
        switch self {
        case .main: Work(0x2f4c_3661_53a3_a030, 0x0000_0001_1287_50f8, 0, 0)
        case .testnet3: Work(0xe1c6_49f3_708d_14b6, 0x17dd, 0, 0)
        case .testnet4: Work(0xfe15_d017_7d08_6304, 0x09a0, 0, 0)
        case .signet: Work(0x0000_0b46_3ea0_a4b8, 0, 0, 0)
        case .regtest: .zero
        }
    }
}
