// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetKeys
public import AltNetLightning
internal import AltNetOnion
internal import Crypto

// Other nodes' onions and replies.
extension DirectedMessages {
    /// A neighbour sent an onion: it is delivered, passed on, or answered with the reason why not.
    public mutating func onMessage(
        _ body: DirectedMessage, from neighbour: NodeID, now: MonotonicInstant,
        canSend: (NodeID) -> NeighbourState, using random: inout some RandomNumberGenerator
    ) -> [Directive] {
        guard let key = self.key else { return self.drop(.noKey) }
        // Before anything is computed: peeling is what a flood would cost us.
        guard self.rates.take(neighbour, now: now) else { return self.drop(.rateLimited) }
        let peeled: PeeledOnion
        do throws(OnionError) {
            peeled = try OnionPacket(bytes: body.onion).peel(key: key)
        } catch {
            switch error {
            case .unknownVersion: return self.reportUnreadable(body, .invalidOnionVersion, to: neighbour)
            case .badKey: return self.reportUnreadable(body, .invalidOnionKey, to: neighbour)
            case .badHMAC: return self.reportUnreadable(body, .invalidOnionHMAC, to: neighbour)
            case .badPayload, .badEncryptedData, .tooLong, .tooManyHops, .emptyPath, .badLength:
                // Only an origin that builds wrongly gets here, and nothing says whether we are its last node, whose
                // replies would be read as a message.
                return self.drop(.invalidPayloads)
            }
        }
        guard self.seen.insert(peeled.secret) else { return self.drop(.replays) }
        let received = SentOnion(neighbour: neighbour, hash: body.onionHash)
        guard let packet = peeled.next else {
            return self.deliver(peeled, received: received, now: now, using: &random)
        }
        return self.forward(packet, peeled, received: received, now: now, canSend: canSend, using: &random)
    }

    /// A neighbour sent a reply: to a message of ours, or to one that we passed on.
    public mutating func onReply(_ body: DirectedReply, from neighbour: NodeID, now: MonotonicInstant) -> [Directive] {
        let sent = SentOnion(neighbour: neighbour, hash: body.onionHash)
        let code = body.reply.count == 2 ? FailureCode(body.reply[...]) : nil
        // No encrypted reply has two bytes, so these can only say that the onion was unreadable.
        if let code, !code.isBadOnion { return self.drop(.malformedReplies) }
        if let id = self.origins[sent], let origin = self.originated[id] {
            return self.finish(id, Self.outcome(body.reply, code, secrets: origin.secrets))
        }
        guard let forward = self.forwards.remove(sent) else { return self.drop(.unknownReplies) }
        self.counters.count(.repliesForwarded)
        if let code {
            // The next node has no secret to encrypt its finding with: we say it in our own name.
            return self.fail(
                code, data: body.onionHash, secret: forward.secret, answering: forward.received)
        }
        return self.send(OnionReply.wrap(body.reply, secret: forward.secret), answering: forward.received)
    }

    // MARK: - Steps

    private mutating func deliver(
        _ peeled: PeeledOnion, received: SentOnion, now: MonotonicInstant,
        using random: inout some RandomNumberGenerator
    ) -> [Directive] {
        let handle = self.nextHandle
        self.nextHandle += 1
        let delivery = Delivery(
            key: handle, received: received, secret: peeled.secret, deadline: now + self.limits.forwardLifetime)
        if self.deliveries.insert(delivery, using: &random) { self.counters.count(.deliveriesReplaced) }
        self.counters.count(.delivered)
        return [.deliver(handle: handle, payload: peeled.payload, neighbour: received.neighbour)]
    }

    private mutating func forward(
        _ packet: OnionPacket, _ peeled: PeeledOnion, received: SentOnion, now: MonotonicInstant,
        canSend: (NodeID) -> NeighbourState, using random: inout some RandomNumberGenerator
    ) -> [Directive] {
        guard let next = NodeID(bytes: peeled.payload) else {
            self.counters.count(.invalidPayloads)
            // BOLT 4 names the record at fault and its place; here there are no records, so both are zero.
            return self.fail(.invalidOnionPayload, data: [0, 0, 0], secret: peeled.secret, answering: received)
        }
        switch next == self.key?.publicKey ? .absent : canSend(next) {
        case .ready: break
        case .busy:
            self.counters.count(.busyNextNodes)
            return self.fail(.temporaryNodeFailure, secret: peeled.secret, answering: received)
        case .absent:
            self.counters.count(.unknownNextNodes)
            return self.fail(.unknownNextPeer, secret: peeled.secret, answering: received)
        }
        let sent = SentOnion(neighbour: next, hash: packet.sha256)
        // Another onion with the same next one cannot come about by itself.
        guard !self.forwards.contains(sent), self.origins[sent] == nil else { return self.drop(.replays) }
        let forward = RememberedForward(
            sent: sent, received: received, secret: peeled.secret, deadline: now + self.limits.forwardLifetime)
        if self.forwards.insert(forward, using: &random) { self.counters.count(.forwardsReplaced) }
        self.counters.count(.forwarded)
        return self.send(packet, to: next)
    }

    /// What a reply to a message of ours says.
    private static func outcome(
        _ reply: [UInt8], _ code: FailureCode?, secrets: [OnionSecret]
    ) -> Result<[UInt8], RelayFailure> {
        if let code { return .failure(.unreadableOnion(node: 0, code)) }
        let (node, contents): (Int, [UInt8])
        do throws(OnionError) {
            (node, contents) = try OnionReply.open(reply, secrets: secrets)
        } catch {
            return .failure(.unreadableReply)
        }
        // The last node's contents are its message; another node's are a BOLT 4 failure.
        guard node + 1 < secrets.count else { return .success(contents) }
        guard let code = FailureCode(contents[...]) else { return .failure(.unreadableReply) }
        return .failure(code.isBadOnion ? .unreadableOnion(node: node + 1, code) : .reported(node: node, code))
    }

    private mutating func drop(_ event: RelayCounters.Event) -> [Directive] {
        self.counters.count(event)
        return []
    }

    // MARK: - Messages

    /// Tells a neighbour that its onion cannot be read. There is no secret to encrypt that with, so it is the bare
    /// code, as in `update_fail_malformed_htlc`.
    private mutating func reportUnreadable(
        _ body: DirectedMessage, _ code: FailureCode, to neighbour: NodeID
    ) -> [Directive] {
        self.counters.count(.malformedOnions)
        return self.send(code.bytes, answering: SentOnion(neighbour: neighbour, hash: body.onionHash))
    }

    /// Answers with a failure in our own name.
    func fail(
        _ code: FailureCode, data: [UInt8] = [], secret: OnionSecret, answering received: SentOnion
    ) -> [Directive] {
        self.send(OnionReply.make(code.bytes + data, secret: secret), answering: received)
    }

    func send(_ packet: OnionPacket, to neighbour: NodeID) -> [Directive] {
        DirectedMessage(onion: packet.bytes).map { [.send($0.encoded, to: neighbour)] } ?? []
    }

    func send(_ reply: [UInt8], answering received: SentOnion) -> [Directive] {
        DirectedReply(onionHash: received.hash, reply: reply).map { [.send($0.encoded, to: received.neighbour)] } ?? []
    }
}

extension FailureCode {
    /// Reads the two bytes in front of a failure's data; `nil` when there are fewer.
    init?(_ failure: ArraySlice<UInt8>) {
        var reader = ByteReader(failure)
        guard let value = try? reader.bigEndian(UInt16.self) else { return nil }
        self.init(rawValue: value)
    }

    /// The code as it is sent.
    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendBigEndian(self.rawValue)
        return bytes
    }
}

extension DirectedMessage {
    /// What a `directed_reply` to this message names.
    var onionHash: [UInt8] { Array(SHA256.hash(data: self.onion)) }
}
