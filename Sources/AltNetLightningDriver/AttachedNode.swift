// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDriverProtocol
internal import AltNetKeys
internal import AltNetLightning
internal import AltNetLightningAttachment
internal import AltNetLightningSession
internal import AltNetObjects
internal import AltNetStreamDriver
internal import AltNetTransport
internal import Logging
internal import Synchronization

/// The first pauses after something over an attached node has failed; each doubles.
struct AttachedPauses: Sendable {
    /// Between two links over one connection.
    var link = Duration.seconds(1)
    /// Before a peer that has left is called: most come back by themselves in this time.
    var call = Duration.seconds(5)
}

/// The connections of the operator's own Lightning node, as links and neighbours of ours.
///
/// Every peer of the node is a neighbour; a link is made only of those that offer to carry objects, so that a hub with
/// hundreds of channel partners does not show hundreds of links that can do nothing.
actor AttachedNode {
    private struct Peer {
        let neighbour: Neighbour
        /// What a link's session hears; `nil` when the peer carries no objects.
        var connection: MessageConnection?
        /// Makes one link after another over the peer's connection.
        var links: Task<Void, Never>?
    }

    /// The longest pause between two links over one connection. One that stood longer was no failure.
    private static let longestPause = Duration.seconds(60)

    private let attachment: any LightningAttachment
    private let firstPause: Duration
    private let hub: MessageHub
    private let takesMessages: Bool
    private let makeSession: @Sendable (NodeID, LightningFeatures) -> LightningLink
    private let onPeer: @Sendable (NodeID, _ channels: [[UInt8]]?) async -> Void
    private let logger = Logger(label: "attached")
    private var peers: [NodeID: Peer] = [:]
    private var nextID: UInt64 = 0

    /// - Parameters:
    ///   - takesMessages: whether onion messages are sent and taken.
    ///   - firstPause: between two links over one connection; it doubles with each failure.
    ///   - makeSession: a session over the connection with a peer that offers these features.
    ///   - onPeer: told of each peer that connects with its channels, or changes them; `nil` when it leaves.
    init(
        _ attachment: any LightningAttachment, hub: MessageHub, takesMessages: Bool, firstPause: Duration,
        makeSession: @escaping @Sendable (NodeID, LightningFeatures) -> LightningLink,
        onPeer: @escaping @Sendable (NodeID, _ channels: [[UInt8]]?) async -> Void
    ) {
        self.attachment = attachment
        self.hub = hub
        self.takesMessages = takesMessages
        self.firstPause = firstPause
        self.makeSession = makeSession
        self.onPeer = onPeer
    }

    /// Works until the node goes away or the task is cancelled. All links are gone when it returns, and everyone was
    /// told that the peers have left.
    func run(_ links: LinkAcceptor<LightningLink>) async throws {
        let outcome: Result<Void, any Error>
        do {
            outcome = .success(try await self.attachment.run { await self.handle($0, links) })
        } catch {
            outcome = .failure(error)
        }
        await self.forgetAll()
        try outcome.get()
    }

    private func handle(_ event: AttachmentEvent, _ links: LinkAcceptor<LightningLink>) async {
        switch event {
        case .peerConnected(let peer):
            await self.forget(peer.id)
            await self.add(peer, links)
            await self.onPeer(peer.id, peer.channels)
        case .peerDisconnected(let id):
            await self.forget(id)
            await self.onPeer(id, nil)
        case .channels(let id, let channels): await self.onPeer(id, channels)
        case .message(let id, let message): await self.received(message, from: id)
        case .onionMessage(let delivery):
            if self.carriesOnions { await self.hub.delivered(delivery) }
        }
    }

    private func add(_ peer: AttachedPeer, _ links: LinkAcceptor<LightningLink>) async {
        let outbox = AttachedOutbox(self.attachment, peer.id)
        var takes: Set<UInt16> = [PeerAltAddr.type]
        if peer.features.offers(OnionMessage.featureBit), self.carriesOnions { takes.insert(OnionMessage.type) }
        let neighbour = Neighbour(
            id: self.nextID, takes: takes,
            hasRoom: { outbox.hasRoom }, send: { outbox.send($0) })
        self.nextID += 1
        self.peers[peer.id] = Peer(neighbour: neighbour)
        await self.hub.neighbourOpened(peer.id, neighbour)
        guard peer.features.offers(BitcoinOverLightning.featureBit) else { return }
        let number = neighbour.id
        // The first link's connection has to be there before the peer's first message is: waited for here.
        await withCheckedContinuation { (made: CheckedContinuation<Void, Never>) in
            let once = ResumeOnce(made)
            self.peers[peer.id]?.links = Task {
                await self.keepLinked(peer, number: number, links, once)
                once.resume()
            }
        }
    }

    /// Onion messages need somebody who peels what comes back, and says over which path it came.
    private var carriesOnions: Bool {
        let abilities = self.attachment.abilities
        return self.takesMessages && abilities.contains(.onionMessages)
            && (abilities.contains(.onionsThroughItself) || abilities.contains(.sharedSecret))
    }

    /// Keeps a link over a peer's connection for as long as that stands: a link may end before, when either side breaks
    /// the rules or the node is busy.
    private func keepLinked(
        _ peer: AttachedPeer, number: UInt64, _ links: LinkAcceptor<LightningLink>, _ once: ResumeOnce
    ) async {
        let attachment = self.attachment
        var pause = self.firstPause
        while !Task.isCancelled, self.peers[peer.id]?.neighbour.id == number {
            let started = MonotonicInstant.now
            let session = self.makeSession(peer.id, peer.features)
            let reason = await links.runLink { dialer in
                let connection = dialer.messages(
                    remote: peer.id.description, onWrite: { try await attachment.send($0, to: peer.id) })
                await self.linkMade(connection, with: peer.id, number: number)
                once.resume()
                return DialedLink(connection, session, exposure: .pseudonym)
            }
            guard self.peers[peer.id]?.neighbour.id == number else { return }
            self.logger.info(
                "a link over the attached node ended", metadata: ["peer": "\(peer.id)", "reason": "\(reason)"])
            if MonotonicInstant.now - started > Self.longestPause { pause = self.firstPause }
            try? await Task.sleep(for: pause)
            pause = min(pause * 2, Self.longestPause)
        }
    }

    private func linkMade(_ connection: MessageConnection, with peer: NodeID, number: UInt64) {
        guard self.peers[peer]?.neighbour.id == number else { return connection.end("the peer has left") }
        self.peers[peer]?.connection = connection
    }

    private func received(_ message: [UInt8], from id: NodeID) async {
        guard let peer = self.peers[id], message.count >= 2 else { return }
        let type = UInt16(message[0]) << 8 | UInt16(message[1])
        if type == PeerAltAddr.type {
            await self.hub.received(message, from: id)
        } else if BitcoinMessage.TypeNumber.all.contains(type), peer.connection?.deliver(message) == false {
            // A session that misses a part of an answer cannot go on.
            peer.connection?.end("more messages came than the link could take")
            self.peers[id]?.connection = nil
        }
    }

    private func forget(_ id: NodeID) async {
        guard let peer = self.peers.removeValue(forKey: id) else { return }
        peer.links?.cancel()
        peer.connection?.end("the Lightning node is no longer connected with the peer")
        await self.hub.neighbourClosed(peer.neighbour.id)
    }

    private func forgetAll() async {
        let links = self.peers.values.compactMap(\.links)
        for id in Array(self.peers.keys) {
            await self.forget(id)
            await self.onPeer(id, nil)
        }
        for link in links { await link.value }
    }
}

/// Messages of the driver for a peer of the attached node, on their way to that node, one after the other: of two
/// addresses, the newer one must arrive last.
private final class AttachedOutbox: Sendable {
    private struct State {
        var count = 0
        var last: Task<Void, Never>?
        /// The trouble that was logged last.
        var trouble: AttachmentError?
    }

    /// The most that may be on their way: the node takes them in milliseconds, or has a problem of its own.
    private static let maximumWaiting = 64

    private let attachment: any LightningAttachment
    private let peer: NodeID
    private let state = Mutex(State())
    private let logger = Logger(label: "attached")

    init(_ attachment: any LightningAttachment, _ peer: NodeID) {
        self.attachment = attachment
        self.peer = peer
    }

    var hasRoom: Bool { self.state.withLock { $0.count < Self.maximumWaiting } }

    func send(_ message: [UInt8]) -> Bool {
        self.state.withLock { state in
            guard state.count < Self.maximumWaiting else { return false }
            state.count += 1
            state.last = Task { [previous = state.last] in
                await previous?.value
                await self.handOver(message)
            }
            return true
        }
    }

    /// Unreliable by nature, so that nobody waits for the outcome; but the operator may be able to mend what is wrong.
    private func handOver(_ message: [UInt8]) async {
        var trouble: AttachmentError?
        do throws(AttachmentError) {
            try await self.attachment.send(message, to: self.peer)
        } catch {
            trouble = error
        }
        let isNew = self.state.withLock { state in
            state.count -= 1
            if state.count == 0 { state.last = nil }
            defer { state.trouble = trouble }
            return state.trouble != trouble
        }
        guard isNew, let trouble else { return }
        self.logger.notice(
            "a message could not be handed to the attached node",
            metadata: ["peer": "\(self.peer)", "reason": "\(trouble)"])
    }
}
