// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetKeys
public import AltNetLightning
internal import AltNetOnion

// Other nodes' messages, and the answers to ours.
extension OnionMessages {
    /// A neighbour sent an onion message: it is delivered, passed on, or dropped, as BOLT 4 demands.
    public mutating func onMessage(
        _ body: OnionMessage, from neighbour: NodeID, now: MonotonicInstant, canSend: (NodeID) -> NeighbourState,
        using random: inout some RandomNumberGenerator
    ) -> [Directive] {
        guard case .key(let key) = self.identity else { return self.drop(.noKey) }
        // Before anything is computed: peeling is what a flood would cost us.
        guard self.rates.take(neighbour, now: now) else { return self.drop(.rateLimited) }
        guard var pathKey = NodeID(bytes: body.pathKey), var packet = try? OnionPacket(bytes: body.onion) else {
            return self.drop(.malformedOnions)
        }
        for layer in 0..<Self.maximumOwnLayers {
            guard let peeled = try? packet.peel(key: key, pathKey: pathKey) else { return self.drop(.malformedOnions) }
            // Whoever records onions sees the outermost layer only.
            if layer == 0, !self.seen.insert(peeled.secret) { return self.drop(.replays) }
            guard let payload = try? OnionMessagePayload(decoding: peeled.payload, known: Self.payloadFields),
                let (data, followingPathKey) = Self.open(payload, key: key, pathKey: pathKey),
                // We know no feature that a message could use, and must not pass on what asks for one.
                data.allowedFeatures.map({ LightningFeatures(bytes: $0).bits.isEmpty }) ?? true
            else { return self.drop(.invalidPayloads) }
            guard let nextPacket = peeled.next else {
                return self.receive(
                    payload.fields, replyPath: payload.replyPath, pathID: data.pathID, neighbour: neighbour, now: now,
                    using: &random)
            }
            guard payload.fields.isEmpty, payload.replyPath == nil, data.pathID == nil else {
                return self.drop(.invalidPayloads)
            }
            // A next node that is named by a channel cannot be found: we have no channels.
            guard let next = data.nextNode else { return self.drop(.unknownNextNodes) }
            let nextPathKey = data.nextPathKeyOverride ?? followingPathKey
            if next == key.publicKey {
                (packet, pathKey) = (nextPacket, nextPathKey)
                continue
            }
            switch canSend(next) {
            case .ready: break
            case .busy: return self.drop(.busyNextNodes)
            case .absent: return self.drop(.unknownNextNodes)
            }
            self.counters.count(.forwarded)
            return Self.send(nextPacket, pathKey: nextPathKey, to: next)
        }
        return self.drop(.invalidPayloads)
    }

    /// The attached node has read a message that ends at it: its records, the `reply_path` that came with it, and the
    /// `path_id` of the blinded path that it came over. The neighbour of a delivery is then the attached node.
    ///
    /// Which neighbour of that node it came from is not known, so one rate holds for all of them together:
    /// ``RelayLimits/attachedFactor`` times that of one. The answers to messages of ours do not count.
    public mutating func onDelivered(
        fields: [UInt64: [UInt8]], replyPath: [UInt8]?, pathID: [UInt8]?, now: MonotonicInstant,
        using random: inout some RandomNumberGenerator
    ) -> [Directive] {
        if pathID.map({ self.pathIDs[$0] == nil }) ?? true {
            // Before anything is computed: reading a path means to check its points.
            guard self.attachedRate.take(self.limits, now: now) else { return self.drop(.rateLimited) }
        }
        var path: BlindedPath?
        if let replyPath {
            guard let decoded = try? BlindedPath(decoding: replyPath) else { return self.drop(.invalidPayloads) }
            path = decoded
        }
        return self.receive(
            fields, replyPath: path, pathID: pathID, neighbour: self.identity.node, now: now, using: &random)
    }

    /// The records that BOLT 12 gives to last nodes: known, and not for us.
    private static let payloadFields: Set<UInt64> = [64, 66, 68]
    /// Records from here on are payloads for the last node.
    private static let firstPayloadField: UInt64 = 64

    private static func open(
        _ payload: OnionMessagePayload, key: NodePrivateKey, pathKey: NodeID
    ) -> (data: EncryptedRecipientData, nextPathKey: NodeID)? {
        guard let encrypted = payload.encryptedRecipientData,
            let (bytes, next) = try? RouteBlinding.unblind(encrypted, key: key, pathKey: pathKey),
            let data = try? EncryptedRecipientData(decoding: bytes)
        else { return nil }
        return (data, next)
    }

    /// A message has ended at us: it answers one of ours, or asks.
    private mutating func receive(
        _ fields: [UInt64: [UInt8]], replyPath: BlindedPath?, pathID: [UInt8]?, neighbour: NodeID,
        now: MonotonicInstant, using random: inout some RandomNumberGenerator
    ) -> [Directive] {
        guard let payload = fields[Self.fieldType],
            fields.keys.allSatisfy({ $0 < Self.firstPayloadField || $0 == Self.fieldType })
        else { return self.drop(.foreignMessages) }
        if let pathID {
            // Whoever comes over a path of ours answers, and whoever answers comes over it.
            guard let id = self.pathIDs.removeValue(forKey: pathID) else { return self.drop(.unknownReplies) }
            self.originated[id] = nil
            self.counters.count(.answered)
            return [.replied(id: id, payload)]
        }
        let handle = self.nextHandle
        self.nextHandle += 1
        // Without a way back there is nothing to wait for; answering it changes nothing.
        if let replyPath {
            let delivery = Delivery(
                key: handle, neighbour: neighbour, replyPath: replyPath, deadline: now + self.limits.forwardLifetime)
            if self.deliveries.insert(delivery, using: &random) { self.counters.count(.deliveriesReplaced) }
        }
        self.counters.count(.delivered)
        return [.deliver(handle: handle, payload: payload, neighbour: neighbour)]
    }
}
