// SPDX-License-Identifier: MIT

public import AltNetBitcoin
public import AltNetKeys
public import AltNetLightning
public import AltNetLightningAttachment
internal import Logging

/// The Core Lightning node whose plugin we are.
///
/// What it tells comes by hooks and notifications through standard input, what we ask goes over its RPC socket.
public final class CoreLightningAttachment: LightningAttachment {
    public let nodeID: NodeID
    public let network: Network
    public let abilities: Set<AttachmentAbility> = [.onionMessages, .onionsThroughItself, .evenTypes, .connecting]

    /// BOLT 4's `onion_message`, which lightningd sends by another call than custom messages.
    private static let onionMessageType: UInt16 = 513

    private let connection: NodeConnection
    private let queue: EventQueue
    private let logger = Logger(label: "core-lightning")

    /// Connects with the RPC socket and asks who the node is.
    init(_ configuration: PluginConfiguration, queue: EventQueue) async throws(AttachmentError) {
        let connection = try await NodeConnection.connect(path: configuration.socketPath) { queue.close() }
        self.nodeID = try await connection.call(NodeCalls.info()).id.node
        self.network = configuration.network
        self.connection = connection
        self.queue = queue
    }

    deinit {
        self.connection.close()
    }

    public func run(_ onEvent: @escaping @Sendable (AttachmentEvent) async -> Void) async throws {
        self.queue.open()
        defer { self.queue.close() }
        var table = PeerTable()
        while let item = await self.queue.next() {
            let isFull = table.refused > 0
            for event in try await self.events(of: item, &table) { await onEvent(event) }
            if !isFull, table.refused > 0 {
                self.logger.warning(
                    "the Lightning node has more than \(PeerTable.maximumPeers) peers; not all are used")
            }
        }
        if let reason = self.connection.endReason, !self.queue.isFinished { throw reason }
    }

    public func send(_ message: [UInt8], to peer: NodeID) async throws(AttachmentError) {
        guard message.count >= 2 else { throw .unsendable("it has no type") }
        guard message.count <= PluginSession.maximumMessage else {
            throw .unsendable("it has \(message.count) bytes, and \(PluginSession.maximumMessage) are allowed")
        }
        guard UInt16(message[0]) << 8 | UInt16(message[1]) != Self.onionMessageType else {
            throw .unsendable("lightningd sends onion messages only as such")
        }
        _ = try await self.connection.call(NodeCalls.send(message, to: peer), peer: peer)
    }

    public func send(_ onionMessage: AttachedOnionMessage) async throws(AttachmentError) {
        guard onionMessage.firstNode == self.nodeID else {
            throw .unsendable("lightningd must be the first node of an onion message's path")
        }
        guard onionMessage.onion.count <= PluginSession.maximumMessage else {
            throw .unsendable("its onion has \(onionMessage.onion.count) bytes")
        }
        _ = try await self.connection.call(NodeCalls.inject(onionMessage))
    }

    public func connect(to peer: NodeID, host: String, port: UInt16) async throws(AttachmentError) {
        _ = try await self.connection.call(NodeCalls.connect(peer, host: host, port: port), peer: peer)
    }

    public func announcedAddresses(of node: NodeID) async throws(AttachmentError) -> [LightningAddress] {
        try await self.connection.call(NodeCalls.nodes(node)).addresses(of: node)
    }

    // MARK: - What the node told

    private func events(
        of item: EventQueue.Item, _ table: inout PeerTable
    ) async throws(AttachmentError) -> [AttachmentEvent] {
        switch item {
        case .list:
            // Without it we would know nobody: whoever runs us tries again.
            return table.onList(try await self.peers(nil))
        case .event(.connected(let peer)):
            switch table.onConnect(peer) {
            case .known: return []
            case .look(let events): return try await events + self.look(for: peer, by: .notification, &table)
            }
        case .event(.disconnected(let peer)):
            return table.onDisconnect(peer)
        case .event(.channelsChanged(let peer)):
            guard table.knows(peer) else { return [] }
            let channels = try await self.asked { () throws(AttachmentError) in
                try await self.connection.call(NodeCalls.channels(peer)).open[peer] ?? []
            }
            return channels.map { table.onChannels($0, of: peer) } ?? []
        case .event(.message(let peer, let message)):
            var events: [AttachmentEvent] = []
            if !table.knows(peer) { events = try await self.look(for: peer, by: .other, &table) }
            guard table.knows(peer) else {
                self.logger.debug("a message was dropped: its sender is not connected any more")
                return events
            }
            return events + [.message(from: peer, message)]
        case .event(.onionMessage(let delivery)):
            return [.onionMessage(delivery)]
        }
    }

    /// Asks for one peer; nothing when it is not connected.
    private func look(
        for peer: NodeID, by source: PeerTable.Source, _ table: inout PeerTable
    ) async throws(AttachmentError) -> [AttachmentEvent] {
        let found = try await self.asked { () throws(AttachmentError) in try await self.peers(peer) }
        guard let attached = found?.first(where: { $0.id == peer }) else { return [] }
        return table.onFound(attached, by: source)
    }

    /// The peers that are connected, or this one.
    private func peers(_ peer: NodeID?) async throws(AttachmentError) -> [AttachedPeer] {
        let peers = try await self.connection.call(NodeCalls.peers(peer)).peers
        let channels = try await self.connection.call(NodeCalls.channels(peer)).open
        return peers.filter(\.connected).map {
            AttachedPeer(
                id: $0.id.node, features: LightningFeatures(bytes: $0.features?.bytes ?? []),
                channels: channels[$0.id.node] ?? [])
        }
    }

    /// A question about one peer. When the node refuses or forgets it, all peers are listed; a node that is gone ends
    /// everything.
    private func asked<Value: Sendable>(
        _ question: () async throws(AttachmentError) -> Value
    ) async throws(AttachmentError) -> Value? {
        do {
            return try await question()
        } catch .unreachable(let why) {
            throw .unreachable(why)
        } catch {
            self.logger.warning("the peers of the Lightning node are listed anew: \(error)")
            self.queue.listAgain()
            return nil
        }
    }
}
