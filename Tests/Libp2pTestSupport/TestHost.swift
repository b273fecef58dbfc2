// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetLibp2pHost
public import AltNetPeerRecords
internal import Logging
internal import Synchronization

/// A peer book that keeps what it hears, and knows what the test says.
public final class NoteBook: PeerBook {
    private let notes = Mutex<[PeerNews]>([])
    private let peers: Mutex<[PeerID: [Multiaddress]]>

    public init(_ peers: [PeerID: [Multiaddress]] = [:]) {
        self.peers = Mutex(peers)
    }

    public var news: [PeerNews] { self.notes.withLock { $0 } }

    /// The records that came, by the peer that they had to be about, as they came.
    public var envelopes: [PeerID: [UInt8]] {
        var envelopes: [PeerID: [UInt8]] = [:]
        for case .record(let envelope, _, let about?, _, _) in self.news { envelopes[about] = envelope }
        return envelopes
    }

    /// The records that came and are genuine.
    public var records: [PeerID: CertifiedPeerRecord] {
        self.envelopes.compactMapValues { try? CertifiedPeerRecord(verifying: $0) }
    }

    /// Plain addresses that peers told of themselves.
    public var addresses: [PeerID: [Multiaddress]] {
        var addresses: [PeerID: [Multiaddress]] = [:]
        for case .addresses(let peer, let news, .identify, _, _, _, _) in self.news { addresses[peer] = news }
        return addresses
    }

    public func know(_ peer: PeerID, at addresses: [Multiaddress]) {
        self.peers.withLock { $0[peer] = addresses }
    }

    public func known(_ peers: [PeerID]) async throws -> [KnownPeer] {
        let time = WallClockTime(seconds: 0)
        return self.peers.withLock { known in
            peers.compactMap { peer in
                guard let addresses = known[peer] else { return nil }
                return KnownPeer(
                    id: peer, record: nil,
                    addresses: addresses.map {
                        KnownAddress(address: $0, sources: .user, firstSeen: time, lastSeen: time, expiry: nil)
                    })
            }
        }
    }

    public func signedPeerRecords(of peers: [PeerID], to network: LocalNetwork?) async throws -> [PeerHandout] { [] }

    public func learn(_ news: [PeerNews]) async throws -> [NewsOutcome] {
        self.notes.withLock { $0 += news }
        return news.map { _ in .stored }
    }
}

/// Counts sequence numbers in memory.
public final class CountingIssuer: RecordIssuer {
    private let key: PeerPrivateKey
    private let last = Mutex<UInt64>(0)

    public init(_ key: PeerPrivateKey) {
        self.key = key
    }

    public func issue(_ addresses: [Multiaddress]) async throws -> CertifiedPeerRecord {
        let sequence = self.last.withLock { last in
            last += 1
            return last
        }
        return try PeerRecord(peer: self.key.peerID, sequence: sequence, addresses: addresses).sealed(by: self.key)
    }
}

/// A host on loopback with its book.
public struct TestHost: Sendable {
    public let host: Libp2pHost
    public let book: NoteBook
    public let addresses: [Multiaddress]

    /// Sends back what comes.
    public static let echo = "/altnet/echo/1.0.0"

    public var peer: PeerID { self.host.peer }

    public static func key(_ seed: UInt8, secp256k1: Bool = false) throws -> PeerPrivateKey {
        let bytes = [UInt8](repeating: seed, count: 32)
        guard let key = secp256k1 ? PeerPrivateKey.secp256k1(bytes) : .ed25519(seed: bytes) else { throw TestFailure() }
        return key
    }

    public static func start(
        _ key: PeerPrivateKey, change: (inout HostConfiguration) -> Void = { _ in }
    ) async throws -> TestHost {
        var configuration = HostConfiguration()
        configuration.recordIssuer = CountingIssuer(key)
        change(&configuration)
        let book = NoteBook()
        var logger = Logger(label: "host")
        logger.logLevel = .critical
        let host = Libp2pHost(key: key, book: book, configuration: configuration, logger: logger)
        host.serve(Self.echo) { stream, _ in
            do {
                while let bytes = try await stream.read() { try await stream.write(bytes) }
                stream.closeWrite()
            } catch {
                stream.reset()
            }
        }
        let addresses = try await host.listen(on: [try Multiaddress(text: "/ip4/127.0.0.1/tcp/0")])
        return TestHost(host: host, book: book, addresses: addresses)
    }
}

/// Something that a test takes for granted is not so.
public struct TestFailure: Error {}
