// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDialing
internal import AltNetKademlia
internal import AltNetLibp2p
public import AltNetPeerRecords
internal import AltNetTransport
internal import Logging

/// Peers that called us and say that they serve the DHT, until they are asked whether they do. Saying so costs nothing.
struct MembershipClaims: Sendable {
    /// Peers that are asked at once.
    static let maximumChecks = 8
    /// Peers that wait to be asked. More are not taken in; searches may still find them.
    static let maximumWaiting = 64

    private var waiting: [PeerID] = []
    private var checked: Set<PeerID> = []

    /// - Returns: false when too many wait.
    mutating func add(_ peer: PeerID) -> Bool {
        guard !self.checked.contains(peer), !self.waiting.contains(peer) else { return true }
        guard self.waiting.count < Self.maximumWaiting else { return false }
        self.waiting.append(peer)
        return true
    }

    /// Who is to be asked now; call ``done(_:)`` then.
    mutating func next() -> PeerID? {
        guard self.checked.count < Self.maximumChecks, !self.waiting.isEmpty else { return nil }
        let peer = self.waiting.removeFirst()
        self.checked.insert(peer)
        return peer
    }

    mutating func done(_ peer: PeerID) { self.checked.remove(peer) }

    mutating func remove(_ peer: PeerID) { self.waiting.removeAll { $0 == peer } }
}

extension KademliaService {
    /// When somebody was heard not longer ago, the network is there, and a peer that cannot be reached is gone.
    static let evidenceOfNetwork = Duration.seconds(60)

    /// A peer to which we have connected serves this DHT, as its identify message says.
    public func met(_ contact: KademliaContact) {
        self.heard(contact)
    }

    /// A peer that called us says in its identify message that it serves this DHT. It becomes a member when it answers a
    /// request.
    public func claimed(by contact: KademliaContact) {
        guard !self.table.contains(contact.peer) else { return self.heard(contact) }
        guard self.claims.add(contact.peer) else {
            return self.logger.debug(
                "too many peers say that they serve the DHT", metadata: ["peer": "\(contact.peer)"])
        }
        self.checkClaims()
    }

    /// A peer serves this DHT no longer, as its identify message says.
    public func left(_ peer: PeerID) {
        self.claims.remove(peer)
        self.table.remove(peer)
    }

    private func checkClaims() {
        while let peer = self.claims.next() {
            Task {
                await self.check(peer)
                self.claims.done(peer)
                self.checkClaims()
            }
        }
    }

    /// Asks peers that are known by address only, so that they become members: they need not be looked up. They are
    /// remembered, and asked again whenever nobody else answers: they may be down now, or we be cut off later.
    ///
    /// - Returns: how many answered.
    @discardableResult
    public func bootstrap(_ peers: [PeerID]) async -> Int {
        let others = peers.filter { $0 != self.ourselves }
        let given = Set(others)
        self.entrances = Array((self.entrances.filter { !given.contains($0) } + others).suffix(Self.maximumEntrances))
        return await self.ask(others)
    }

    /// Asks each, and returns how many answered.
    func ask(_ peers: [PeerID]) async -> Int {
        await withTaskGroup(of: Bool.self) { group in
            for peer in peers { group.addTask { await self.check(peer) } }
            var count = 0
            for await isAlive in group where isAlive { count += 1 }
            return count
        }
    }

    /// Asks a peer for those closest to us, and takes it in if it answers.
    @discardableResult
    func check(_ peer: PeerID) async -> Bool {
        let request = KademliaMessage(kind: .findNode, key: self.ourselves.bytes)
        switch await self.ask(peer, request) {
        case .success(let (answer, contact)) where answer.kind == .findNode:
            self.heard(contact)
            self.table.checked(peer, isAlive: true, now: .now)
            let news = answer.closerPeers.prefix(RoutingTable.bucketSize).compactMap(KademliaNews.init)
            _ = await self.learn(news, from: contact)
            return true
        case .success:
            self.table.checked(peer, isAlive: false, now: .now)
            return false
        case .failure(let error):
            self.logger.debug("a node of the DHT does not answer", metadata: ["peer": "\(peer)", "reason": "\(error)"])
            let hasNetwork = self.lastHeard.map { .now - $0 < Self.evidenceOfNetwork } ?? false
            if hasNetwork, Self.isOfPeer(error) {
                self.table.checked(peer, isAlive: false, now: .now)
            } else {
                self.table.unchecked(peer)
            }
            return false
        }
    }

    /// Takes a peer that has just shown that it serves the DHT into the table.
    func heard(_ contact: KademliaContact) {
        self.lastHeard = .now
        guard case .full(let oldest) = self.table.heard(contact.peer, group: contact.group, now: .now) else { return }
        // At most one for each bucket at a time.
        Task { await self.check(oldest) }
    }

    /// Whether a failure says something about the peer. Our own limits, a policy, a peer store that does not answer and
    /// a back-off, which is about what was counted before, do not: they would empty the table of peers that are there.
    static func isOfPeer(_ error: any Error) -> Bool {
        switch error {
        case let error as LinkFailure: error.isOfAddress
        case let error as PeerUnreachable: error.isOfPeer
        case let error as StreamReset: error != .byUs && error != .tooMuchUnread
        case is KademliaError, is Libp2pStreamError, is MultistreamError: true
        default: false
        }
    }
}
