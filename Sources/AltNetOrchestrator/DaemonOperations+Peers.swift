// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetControl
internal import AltNetPeerRecords
internal import AltNetPeerStore
internal import AltNetWeb

// What the operator asks of the peer store.
extension DaemonOperations {
    /// How long addresses are kept whose addition does not say it, and of which the operator is not the source.
    private static let defaultLifetime: Duration = .seconds(86_400)

    func peers(after: String?, limit: Int) async throws(ControlRefusal) -> PeerListReport {
        let start = try after.map { text throws(ControlRefusal) in try Self.peerID(text) }
        return try await self.ask { store, now in
            let page = try store.list(after: start, limit: limit, now: now)
            return PeerListReport(
                peers: page.peers.map(PeerReport.init), total: try store.counts().peers,
                next: page.next?.description,
                damaged: page.damaged.isEmpty ? nil : page.damaged.map(\.description))
        }
    }

    func peer(_ id: String) async throws(ControlRefusal) -> PeerReport? {
        let peer = try Self.peerID(id)
        return try await self.ask { store, now in try store.known([peer], now: now).first.map(PeerReport.init) }
    }

    func forgetPeer(_ id: String, address: String?) async throws(ControlRefusal) -> Bool {
        let peer = try Self.peerID(id)
        guard let address else {
            let wasKnown = try await self.ask { store, _ in try store.forget(peer) }
            await self.daemon.peers.tellDrivers(of: [peer])
            return wasKnown
        }
        let place = try Self.multiaddress(address)
        // The store takes the peer's own id away; the address of another one is not this one's without it.
        if let named = place.peerID, named != peer {
            throw ControlRefusal(.badRequest, "the address leads to another peer, \(named)")
        }
        let wasKnown = try await self.ask { store, now in try store.forget(place, of: peer, now: now) }
        await self.daemon.peers.tellDrivers(of: [peer])
        return wasKnown
    }

    func addPeers(_ additions: [PeerAddition]) async throws(ControlRefusal) -> [PeerAdditionReport] {
        var (news, positions): ([PeerNews], [Int]) = ([], [])
        var reports: [PeerAdditionReport] = []
        for (index, addition) in additions.enumerated() {
            do throws(ControlRefusal) {
                for item in try Self.news(of: addition) {
                    news.append(item)
                    positions.append(index)
                }
                reports.append(PeerAdditionReport(peer: Self.subject(of: addition), outcome: .unchanged))
            } catch {
                reports.append(
                    PeerAdditionReport(
                        peer: addition.peer, outcome: .refused, code: "malformed", details: [error.description]))
            }
        }
        do {
            for (position, outcome) in zip(positions, try await self.daemon.peers.add(news)) {
                reports[position].add(outcome)
            }
        } catch {
            throw ControlRefusal(.insufficientStorage, "\(error)")
        }
        return reports
    }

    /// Whom an addition is about: it says so, or its record does.
    private static func subject(of addition: PeerAddition) -> String? {
        if let peer = addition.peer { return peer }
        return addition.record.flatMap { Hex.decode($0) }.flatMap {
            SealedRecord(unverified: $0)?.subject.description
        }
    }

    /// What an addition is to the store.
    private static func news(of addition: PeerAddition) throws(ControlRefusal) -> [PeerNews] {
        let peer = try addition.peer.map { text throws(ControlRefusal) in try Self.peerID(text) }
        var network: LocalNetwork?
        if let name = addition.network {
            guard let known = LocalNetwork(name) else {
                throw ControlRefusal(.badRequest, "a network has a name of 1 to \(LocalNetwork.maximumSize) bytes")
            }
            network = known
        }
        var news: [PeerNews] = []
        if let record = addition.record {
            guard let envelope = Hex.decode(record) else {
                throw ControlRefusal(.badRequest, "a record is written in hexadecimal digits")
            }
            news.append(.record(envelope: envelope, source: .user, about: peer, learnedOn: network))
        }
        if !addition.addresses.isEmpty {
            guard let peer else { throw ControlRefusal(.badRequest, "it is not said whose the addresses are") }
            var sources: AddressSources = addition.sources == nil ? .user : []
            for name in addition.sources ?? [] {
                guard let source = AddressSources(name: name), source != .certified, source != .connection else {
                    throw ControlRefusal(.badRequest, "\(UntrustedText(name)) is no source that can be given")
                }
                sources.formUnion(source)
            }
            let lifetime = addition.lifetimeSeconds.map { Duration.seconds(Int64($0)) } ?? Self.defaultLifetime
            var addresses: [Multiaddress] = []
            for text in addition.addresses { addresses.append(try Self.multiaddress(text)) }
            var use = AddressUse.libp2p
            if let name = addition.use {
                guard let named = AddressUse(name: name) else {
                    throw ControlRefusal(.badRequest, "\(UntrustedText(name)) is nothing that addresses are for")
                }
                use = named
            }
            news.append(.addresses(peer, addresses, source: sources, lifetime: lifetime, learnedOn: network, use: use))
        }
        guard !news.isEmpty else { throw ControlRefusal(.badRequest, "there is neither a record nor an address") }
        return news
    }

    private func ask<Answer: Sendable>(
        _ question: @escaping @Sendable (any PeerStoring, WallClockTime) throws -> Answer
    ) async throws(ControlRefusal) -> Answer {
        do {
            return try await self.daemon.peers.book.ask(question)
        } catch {
            throw ControlRefusal(.insufficientStorage, "\(error)")
        }
    }

    /// A peer id, or the key of a Lightning node.
    private static func peerID(_ text: String) throws(ControlRefusal) -> PeerID {
        if let peer = PeerID(identity: text) { return peer }
        do throws(PeerIDError) {
            return try PeerID(text: text)
        } catch {
            throw ControlRefusal(.badRequest, error.description)
        }
    }

    private static func multiaddress(_ text: String) throws(ControlRefusal) -> Multiaddress {
        do throws(MultiaddressError) {
            return try Multiaddress(text: text)
        } catch {
            throw ControlRefusal(.badRequest, "\(UntrustedText(text)): \(error)")
        }
    }
}

extension PeerAdditionReport {
    /// Counts the outcome of one of several pieces of news: the worst one stands, and all that was said of them.
    fileprivate mutating func add(_ outcome: NewsOutcome) {
        switch outcome {
        case .stored: if self.outcome == .unchanged { self.outcome = .stored }
        case .storedInPart(let leftOut):
            if self.outcome != .refused { self.outcome = .storedInPart }
            self.details += leftOut.map { "\($0.address): \($0.refusal)" }
        case .unchanged: break
        case .refused(let refusal):
            self.outcome = .refused
            self.code = refusal.code.rawValue
            self.details.append(refusal.description)
        }
    }
}

extension PeerReport {
    init(_ peer: KnownPeer) {
        self.init(
            id: peer.id.description, sequence: peer.record.map { "\($0.record.sequence)" },
            record: peer.record.map { Hex.encode($0.envelope) }, addresses: peer.addresses.map(PeerAddressReport.init),
            node: peer.node.map { PeerNodeReport($0, of: peer.id) })
    }
}

extension PeerNodeReport {
    init(_ node: KnownNode, of peer: PeerID) {
        self.init(
            lightningNode: peer.lightningNode.map { "\($0)" }, sequence: node.record.map { "\($0.record.sequence)" },
            record: node.record.map { Hex.encode($0.envelope) }, addresses: node.addresses.map(PeerAddressReport.init))
    }
}

extension PeerAddressReport {
    init(_ known: KnownAddress) {
        self.init(
            address: known.address.description, sources: known.sources.names, firstSeen: Timestamp(known.firstSeen),
            lastSeen: Timestamp(known.lastSeen), failures: known.failures)
        self.expires = known.expiry.map(Timestamp.init)
        self.lastSuccess = known.lastSuccess.map(Timestamp.init)
        self.lastFailure = known.lastFailure.map(Timestamp.init)
        self.latencyMilliseconds = known.latency.map { $0.inSeconds * 1_000 }
        self.network = known.network?.name
        self.use = known.use == .libp2p ? nil : known.use.name
    }
}
