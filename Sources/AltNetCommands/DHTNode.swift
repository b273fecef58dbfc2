// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetLibp2pHost
internal import AltNetPeerRecords
internal import AltNetPeerStore
internal import AltNetStore
internal import FoundationEssentials
internal import Logging

/// A libp2p host that takes part in a DHT, in this process: what `altnet dht` runs.
struct DHTNode: Sendable {
    let host: Libp2pHost
    let book: StoredPeerBook
    let service: KademliaService
    /// Held for its lock.
    private let directory: DataDirectory?

    /// - Parameter data: where key, peers and sequence number are kept; `nil` for a node that lives as long as the
    ///   command does.
    /// - Parameter kademlia: which DHT, and how.
    init(data: String?, kademlia: KademliaService.Configuration, logger: Logger) throws {
        let key: PeerPrivateKey
        let store: any PeerStoring
        var configuration = HostConfiguration()
        if let data {
            let directory = try DataDirectory(path: data)
            key = try PeerKeyFile.load(directory.file(PeerKeyFile.fileName))
            store = try PeerStore(directory: data)
            configuration.recordIssuer = SequencedIssuer(key: key, sequence: try RecordSequence(directory: data))
            self.directory = directory
        } else {
            key = PeerKeyFile.random()
            store = MemoryPeerStore()
            self.directory = nil
        }
        self.book = StoredPeerBook(store: store, now: { .now })
        self.host = Libp2pHost(key: key, book: self.book, configuration: configuration, logger: logger)
        self.service = self.host.joinKademlia(kademlia)
    }

    /// The addresses that others may give to `--bootstrap`: of a listener on all interfaces, those of the interfaces, as
    /// nobody can connect to `0.0.0.0`. Those that lead nowhere but to this machine come last.
    func bootstrapAddresses() throws -> [Multiaddress] {
        let addresses = self.host.addresses(for: .loopback)
        let sorted = addresses.filter { $0.reach != .loopback } + addresses.filter { $0.reach == .loopback }
        return try sorted.map { try $0.appending(self.host.peer) }
    }

    /// Keeps the node going until it is cancelled, and closes it then.
    func run(publishes: Bool) async {
        await self.host.runKademlia(self.service, publishes: publishes)
        await self.host.shutdown()
    }

    /// Tells the store the addresses that the operator typed, and joins the DHT through them.
    ///
    /// - Returns: how many of them answered.
    func bootstrap(_ addresses: [Multiaddress]) async throws -> Int {
        var byPeer: [PeerID: [Multiaddress]] = [:]
        for address in addresses {
            guard let peer = address.peerID else { continue }
            byPeer[peer, default: []].append(address.withoutPeerID)
        }
        let peers = byPeer.keys.sorted()
        let outcomes = try await self.book.learn(
            peers.map { .addresses($0, byPeer[$0] ?? [], source: .user, lifetime: .zero) })
        for case .refused(let refusal) in outcomes { throw refusal }
        return await self.service.bootstrap(peers)
    }
}

extension WallClockTime {
    /// The system's calendar clock.
    fileprivate static var now: WallClockTime {
        WallClockTime(milliseconds: Int64(Date().timeIntervalSince1970 * 1_000))
    }
}
