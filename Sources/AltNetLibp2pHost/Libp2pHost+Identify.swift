// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetLibp2p
public import AltNetPeerRecords
internal import Logging
internal import Synchronization

extension Libp2pHost {
    /// Pushes to which peers at once; py-libp2p's number.
    private static let concurrentPushes = 10

    // MARK: Others

    /// Asks a peer who it is.
    func identify(_ link: Libp2pLink) async {
        do {
            let message = try await withTimeLimit(self.configuration.identifyTimeout) {
                let stream = try await link.openStream(protocols: [ProtocolName.identify])
                stream.closeWrite()
                return try await Self.readMessage(stream)
            }
            await self.take(message, of: link, isPush: false)
        } catch {
            self.logger.debug("\(link.peer) does not say who it is: \(error)")
        }
    }

    /// A peer says that something about it has changed.
    func takePush(_ stream: Libp2pStream) async {
        let link = stream.link
        do {
            guard link.takePush() else { throw LinkFailure.limit("the peer pushes identify messages too often") }
            let message = try await withTimeLimit(self.configuration.identifyTimeout) {
                try await Self.readMessage(stream)
            }
            stream.closeWrite()
            await self.take(message, of: link, isPush: true)
        } catch {
            self.logger.debug("an identify push of \(link.peer) is refused: \(error)")
        }
    }

    private static func readMessage(_ stream: Libp2pStream) async throws -> IdentifyMessage {
        var reader = IdentifyReader()
        while let bytes = try await stream.read() { try reader.onBytes(bytes) }
        return try reader.onEnd()
    }

    /// What a peer says about itself, and only about itself.
    private func take(_ message: IdentifyMessage, of link: Libp2pLink, isPush: Bool) async {
        if let key = message.publicKey {
            // Missing is allowed, and told from another: this would be somebody who speaks in another's name.
            guard let key = try? PeerPublicKey(protobuf: key), PeerID(key) == link.peer else {
                return self.logger.notice("\(link.peer) shows the key of somebody else in identify; nothing is taken")
            }
        }
        var known = isPush ? link.identify ?? IdentifyMessage() : IdentifyMessage()
        known.replace(with: message)
        link.learn(known)
        let origin = NewsOrigin(networkGroup: link.networkGroup)
        var news: [PeerNews] = []
        if let envelope = message.signedPeerRecord {
            news.append(
                .record(
                    envelope: envelope, source: .identify, about: link.peer, learnedOn: link.network, toldBy: origin))
        }
        if !message.listenAddresses.isEmpty {
            news.append(
                .addresses(
                    link.peer, message.listenAddresses, source: .identify,
                    lifetime: self.configuration.identifyLifetime, learnedOn: link.network, toldBy: origin))
        }
        if !news.isEmpty { await self.learn(news) }
        if let observed = message.observedAddress, !isPush { await self.take(observed: observed, by: link) }
        self.tell(.identified(link, known))
    }

    // MARK: Ourselves

    /// Answers a peer that asks who we are.
    func answerIdentify(_ stream: Libp2pStream) async {
        do {
            try await withTimeLimit(self.configuration.identifyTimeout) {
                try await stream.write(try self.message(for: stream.link))
                stream.closeWrite()
            }
        } catch {
            stream.reset()
            self.logger.debug("\(stream.link.peer) does not hear who we are: \(error)")
        }
    }

    /// Tells all peers who serve it that something about us has changed.
    public func pushIdentify() async {
        await withDiscardingTaskGroup { group in
            let waiting = PushQueue(
                self.links.filter { $0.identify?.protocols.contains(ProtocolName.identifyPush) == true })
            for _ in 0..<Self.concurrentPushes {
                group.addTask { while let link = waiting.next() { await self.push(to: link) } }
            }
        }
    }

    private func push(to link: Libp2pLink) async {
        do {
            try await withTimeLimit(self.configuration.identifyTimeout) {
                let stream = try await link.openStream(protocols: [ProtocolName.identifyPush])
                try await stream.write(try self.message(for: link))
                stream.closeWrite()
            }
        } catch {
            self.logger.debug("\(link.peer) takes no identify push: \(error)")
        }
    }

    private func message(for link: Libp2pLink) throws -> [UInt8] {
        var message = IdentifyMessage()
        message.publicKey = self.key.publicKey.protobuf
        message.listenAddresses = self.addresses(for: link.network)
        message.protocols = self.protocols
        // Also of those that we called: it is where others can reach them, too.
        message.observedAddress = self.observed(link)
        message.protocolVersion = self.configuration.protocolVersion
        message.agentVersion = self.configuration.agentVersion
        if let record = self.record, record.record.addresses.allSatisfy({ self.mayTell($0, to: link.network) }) {
            message.signedPeerRecord = record.envelope
        }
        guard let framed = message.framed else { throw IdentifyError.tooLong(IdentifyMessage.maximumSize) }
        return framed
    }

    /// Where we see a peer; `nil` when a name or a proxy stands between.
    private func observed(_ link: Libp2pLink) -> Multiaddress? {
        guard link.isInbound || self.configuration.proxy == nil, link.networkGroup != LinkPlace.forwarded else {
            return nil
        }
        switch link.address.endpoint?.host {
        case .ip4, .ip6: return link.address.withoutPeerID
        case .name, .onion3, .garlic, nil: return nil
        }
    }

    // MARK: Our addresses

    /// Our own signed record, when there is one.
    public var record: CertifiedPeerRecord? { self.state.withLock { $0.record } }

    /// The addresses that we listen on, as they were bound.
    public var listenAddresses: [Multiaddress] { self.state.withLock { $0.listening } }

    /// Our addresses as somebody on that network may use them (nil: somebody on the open network).
    public func addresses(for network: LocalNetwork?) -> [Multiaddress] {
        Array(self.ownAddresses.filter { self.mayTell($0, to: network) }.prefix(IdentifyMessage.maximumAddresses))
    }

    /// Replaces what enough peers have seen us at; a new record is signed and told.
    public func confirm(_ addresses: [Multiaddress]) async {
        let hasChanged = self.state.withLock { state in
            defer { state.confirmed = addresses }
            return state.confirmed != addresses
        }
        guard hasChanged else { return }
        await self.refreshRecord()
        await self.pushIdentify()
    }

    /// Signs a new record when our addresses have changed.
    public func refreshRecord() async {
        guard let issuer = self.configuration.recordIssuer else { return }
        // Each looks at our addresses when the one before has signed: otherwise the higher number could be that of the
        // older look.
        let turn = self.state.withLock { state in
            let before = state.signing
            let turn = Task {
                await before?.value
                await self.signRecord(issuer)
            }
            state.signing = turn
            return turn
        }
        await turn.value
    }

    private func signRecord(_ issuer: any RecordIssuer) async {
        // Addresses that mean the same everywhere; the others only where there are no such, because a record with one of
        // those can be told on one network only.
        let all = self.ownAddresses
        let everywhere = all.filter { !$0.isAmbiguous }
        let addresses = Array((everywhere.isEmpty ? all : everywhere).prefix(PeerRecord.maximumAddresses))
        guard !addresses.isEmpty, self.record?.record.addresses != addresses else { return }
        do {
            let record = try await issuer.issue(addresses)
            self.state.withLock { $0.record = record }
        } catch {
            self.logger.warning("no record of our addresses could be signed: \(error)")
        }
    }

    private var ownAddresses: [Multiaddress] {
        let (listening, confirmed) = self.state.withLock { ($0.listening, $0.confirmed) }
        var seen: Set<Multiaddress> = []
        return (self.configuration.announced + confirmed + listening.flatMap(self.localNetworks.expand))
            .filter { $0.reach != .nowhere && seen.insert($0).inserted }
    }

    private func mayTell(_ address: Multiaddress, to network: LocalNetwork?) -> Bool {
        guard address.isAmbiguous else { return true }
        // Somebody on this machine reaches all of its networks.
        return network == .loopback || network != nil && network == self.localNetworks.network(of: address)
    }
}

/// Connections that wait for a push.
private final class PushQueue: Sendable {
    private let links: Mutex<[Libp2pLink]>

    init(_ links: [Libp2pLink]) {
        self.links = Mutex(links)
    }

    func next() -> Libp2pLink? {
        self.links.withLock { $0.popLast() }
    }
}
