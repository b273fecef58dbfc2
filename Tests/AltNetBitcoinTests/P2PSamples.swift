// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin

/// Messages for the tests of the codec: every case, with full and with empty lists.
enum P2PSamples {
    static let hashes = (1...3).map { BlockHash(number: UInt256(UInt64($0), 2, 3, 4)) }

    static let version = P2PVersion(
        protocolVersion: 70016,
        services: 0x0409,
        time: 1_700_000_000,
        nonce: 0x0123_4567_89ab_cdef,
        userAgent: Array("/Satoshi:31.0.0/".utf8),
        startHeight: 900_000,
        relay: false
    )

    static func address(_ medium: NodeAddress.Medium) -> NodeAddress {
        let bytes = (0..<medium.addressLength).map { UInt8($0 + 32) }
        return NodeAddress(
            lastSeen: 1_700_000_000,
            services: 0x0409,
            networkID: medium.rawValue,
            address: bytes,
            port: 8333
        )
    }

    /// From a block that is kept for documentation.
    static let documentationAddress = NodeAddress(
        lastSeen: 1_700_000_000,
        services: 0x0409,
        networkID: 1,
        address: [192, 0, 2, 1],
        port: 8333
    )

    /// `pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion`, the example of BIP 155.
    static let onionAddress = NodeAddress(
        lastSeen: 1_700_000_000,
        services: 0x0409,
        networkID: 4,
        address: Hex.decode("79bcc625184b05194975c28b66b66b0469f7f6556fb1ac3189a79b40dda32f1f") ?? [],
        port: 8333
    )

    static let unknownNetwork = NodeAddress(
        lastSeen: 7,
        services: .max,
        networkID: 200,
        address: [UInt8](repeating: 9, count: 512),
        port: 1
    )

    static let headers = Network.main.genesis.bytes + Network.signet.genesis.bytes

    static let messages: [P2PMessage] = [
        .version(Self.version), .verack, .wtxidrelay, .sendaddrv2, .sendheaders, .getaddr,
        .sendcmpct(highBandwidth: true, version: 2), .sendcmpct(highBandwidth: false, version: 1),
        .feefilter(1000), .feefilter(-1), .ping(1), .pong(.max),
        .getheaders(locator: Self.hashes, stop: .zero), .getheaders(locator: [], stop: Self.hashes[0]),
        .headers([]), .headers(Self.headers),
        .inv([]), .inv([P2PInventory(type: P2PInventory.block, hash: Self.hashes[0])]),
        .getdata([P2PInventory(type: P2PInventory.witnessBlock, hash: Self.hashes[1])]),
        .notfound([P2PInventory(type: 99, hash: Self.hashes[2])]),
        .addr([]), .addr([Self.address(.ipv4), Self.address(.ipv6), Self.address(.torV2)]),
        .addrv2([]), .addrv2(NodeAddress.Medium.allCases.map(Self.address) + [Self.unknownNetwork]),
        .feature(.peerRecords), .feature(P2PFeature(name: Array("BIP434".utf8), data: [1, 2])),
        .getpeerrecs(of: [], limit: 1), .getpeerrecs(of: [[0, 1], [2]], limit: 32),
        .peerrecs([]), .peerrecs([[1, 2, 3]]), .newpeerrec([UInt8](repeating: 5, count: 300)),
        .block(Network.main.genesis.bytes + [0]), .tx([1, 2, 3]),
        .unknown(command: "cmpctblock", size: 5), .unknown(command: "abcdefghijkl", size: 0),
    ]

    /// All samples one after the other, as they would travel.
    static let stream = Self.messages.flatMap { $0.encoded(for: .main) }
}
