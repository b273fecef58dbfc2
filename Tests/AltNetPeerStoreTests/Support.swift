// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetKeys
import AltNetLightning
import AltNetPeerRecords
import AltNetTestKit
import Foundation
import Testing

@testable import AltNetPeerStore

/// Runs long work on a thread of its own, so that tests that wait for something are not held up.
func onThread<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        Thread { continuation.resume(with: Swift.Result { try work() }) }.start()
    }
}

/// The stores that the same suite runs against.
enum StoreKind: CaseIterable, Sendable {
    case memory, sqlite

    func make(
        capacity: Int = 100_000, filter: AddressFilter = .none, salt: UInt64 = 7,
        in directory: String = TemporaryDirectory.make()
    ) throws -> any PeerStoring {
        let settings = PeerStoreSettings(capacity: capacity, filter: filter, chain: Network.regtest.chainHash)
        return switch self {
        case .memory: MemoryPeerStore(settings: settings, salt: salt)
        case .sqlite: try PeerStore(directory: directory, settings: settings, salt: salt)
        }
    }
}

enum Sample {
    static let start = WallClockTime(seconds: 1_800_000_000)
    static let home = LocalNetwork("home") ?? .loopback
    static let work = LocalNetwork("work") ?? .loopback
    static let hour = Duration.seconds(3_600)
    static let day = Duration.seconds(86_400)

    static func key(_ number: Int) throws -> PeerPrivateKey {
        var random = SeededRandom(seed: UInt64(number))
        return try #require(PeerPrivateKey.ed25519(seed: random.bytes(32)))
    }

    /// A peer without a key.
    static func peer(_ number: Int) throws -> PeerID {
        var random = SeededRandom(seed: UInt64(number))
        return try PeerID(bytes: [0x12, 32] + random.bytes(32))
    }

    static func address(_ text: String) throws -> Multiaddress { try Multiaddress(text: text) }

    /// Addresses in as many network groups as there are numbers below 1,000.
    static func address(_ number: Int) throws -> Multiaddress {
        try Multiaddress(
            text: "/ip4/\(20 + number / 250 % 100).\(number % 250).\(number / 25_000 % 250).7/tcp/4001")
    }

    static func envelope(_ key: PeerPrivateKey, _ sequence: UInt64, _ addresses: [Multiaddress]) throws -> [UInt8] {
        try PeerRecord(peer: key.peerID, sequence: sequence, addresses: addresses).sealed(by: key).envelope
    }

    /// The key of a Lightning node.
    static func nodeKey(_ number: Int) throws -> PeerPrivateKey {
        var random = SeededRandom(seed: UInt64(number))
        return PeerPrivateKey(try #require(NodePrivateKey(bytes: random.bytes(32))))
    }

    static func nodeEnvelope(
        _ key: PeerPrivateKey, _ sequence: UInt64, lightning: [String], bitcoin: [String] = [],
        network: Network = .regtest
    ) throws -> [UInt8] {
        try NodeAddressRecord(
            peer: key.peerID, sequence: sequence, chain: network.chainHash,
            bitcoin: try bitcoin.map { try BitcoinEndpoint(text: $0, services: 9) },
            lightning: try lightning.map { try LightningAddress(text: $0) }
        ).sealed(by: key).envelope
    }

    static func nodeRecord(
        _ key: PeerPrivateKey, _ sequence: UInt64, lightning: [String], bitcoin: [String] = [],
        on network: LocalNetwork? = nil, toldBy group: String? = nil
    ) throws -> PeerNews {
        .record(
            envelope: try Self.nodeEnvelope(key, sequence, lightning: lightning, bitcoin: bitcoin), source: .link,
            learnedOn: network, toldBy: group.map { NewsOrigin(networkGroup: $0) })
    }

    static func record(
        _ key: PeerPrivateKey, _ sequence: UInt64, _ addresses: [Multiaddress], on network: LocalNetwork? = nil,
        toldBy group: String? = nil
    ) throws -> PeerNews {
        .record(
            envelope: try Self.envelope(key, sequence, addresses), source: .dht, learnedOn: network,
            toldBy: group.map { NewsOrigin(networkGroup: $0) })
    }

    static func told(
        _ peer: PeerID, _ addresses: [Multiaddress], _ source: AddressSources = .dht, for lifetime: Duration = hour,
        on network: LocalNetwork? = nil, by group: String? = nil
    ) -> PeerNews {
        .addresses(
            peer, addresses, source: source, lifetime: lifetime, learnedOn: network,
            toldBy: group.map { NewsOrigin(networkGroup: $0) })
    }
}

extension NewsOutcome {
    /// Why it was refused, if it was.
    var code: PeerNewsRefusal.Code? {
        if case .refused(let refusal) = self { refusal.code } else { nil }
    }

    var leftOut: [PeerNewsRefusal.Code] {
        if case .storedInPart(let leftOut) = self { leftOut.map(\.refusal.code) } else { [] }
    }
}

extension PeerStoring {
    func learn(_ news: PeerNews, _ now: WallClockTime = Sample.start) throws -> NewsOutcome {
        try #require(try self.learn([news], now: now).first)
    }

    func known(_ peer: PeerID, _ now: WallClockTime = Sample.start) throws -> KnownPeer? {
        try self.known([peer], now: now).first
    }

    func told(
        _ peer: PeerID, to network: LocalNetwork? = nil, _ now: WallClockTime = Sample.start
    ) throws -> PeerHandout? {
        try self.signedPeerRecords(of: [peer], to: network, now: now).first
    }

    /// The texts of the addresses of a peer's nodes with their use and sources.
    func nodeTexts(_ peer: PeerID, _ now: WallClockTime = Sample.start) throws -> [String: String] {
        let addresses = try self.known(peer, now)?.node?.addresses ?? []
        return Dictionary(
            addresses.map {
                ("\($0.use.name) \($0.address)\($0.network.map { " \($0)" } ?? "")", "\($0.sources)")
            },
            uniquingKeysWith: { "\($0), \($1)" })
    }

    /// The texts of a peer's addresses with their sources.
    func texts(_ peer: PeerID, _ now: WallClockTime = Sample.start) throws -> [String: String] {
        let addresses = try self.known(peer, now)?.addresses ?? []
        return Dictionary(
            addresses.map { ("\($0.address)\($0.network.map { " \($0)" } ?? "")", "\($0.sources)") },
            uniquingKeysWith: { "\($0), \($1)" })
    }
}
