// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetObjects

/// What the other side asked us for.
struct ServerState: Hashable, Sendable {
    enum Wanted: Hashable, Sendable {
        /// Headers after a locator.
        case headers
        /// One header, by a `getheaders` without locator.
        case header(BlockHash)
        /// One block.
        case block(P2PInventory)

        var isBlock: Bool { if case .block = self { true } else { false } }
        /// Peer records.
        case records
    }

    struct PeerRequest: Hashable, Sendable {
        let wanted: Wanted
        let deadline: MonotonicInstant
    }

    /// Requests handed to the orchestrator, at most ``BitcoinPeerLimits/openPeerRequests``.
    var open: [UInt64: PeerRequest] = [:]
    var lastID: UInt64 = 0
    var headerRequests = TokenBucket(BitcoinPeerLimits.servedHeaderRequests)
    var recordRequests = TokenBucket(BitcoinPeerLimits.servedRecordRequests)
    var blocks = TokenBucket(BitcoinPeerLimits.servedBlocks)
    /// Blocks that the other side wants and that wait their turn; with those open at most
    /// ``BitcoinPeerLimits/blocksInFlight``.
    var blockQueue: [P2PInventory] = []
    var openBlocks: Int { self.open.values.count { $0.wanted.isBlock } }
    /// BIP 130: the other side wants tips as headers.
    var peerPrefersHeaders = false
    /// BIP 155: the other side reads `addrv2`.
    var peerWantsAddressV2 = false
    /// Whether a tip has been announced on this connection.
    var hasAnnounced = false

    var deadline: MonotonicInstant? { self.open.values.map(\.deadline).min() }
}

extension BitcoinPeerSession {
    /// Whether a `getheaders` is taken on. One too many is not: the other side has its answers to come, and asks again.
    mutating func receiveGetHeaders(locator: [BlockHash], stop: BlockHash, now: MonotonicInstant) -> Bool {
        guard !locator.isEmpty || stop != .zero else { return false }
        guard self.configuration.serves.contains(.headers) else {
            self.write(.headers([]))
            return false
        }
        guard self.server.open.count < BitcoinPeerLimits.openPeerRequests,
            self.server.headerRequests.take(now: now)
        else { return false }
        self.ask(
            .headers(
                locator: locator,
                stop: stop,
                heightHint: 0,
                limit: locator.isEmpty ? 1 : UInt32(P2PMessage.maximumHeaders)
            ),
            wanted: locator.isEmpty ? .header(stop) : .headers,
            now: now
        )
        return true
    }

    /// Whether at least one block is taken on. The rest is not found, as far as the other side is concerned: also a block
    /// without its witnesses (BIP 144), which no node asks for any more that we could take out.
    mutating func receiveGetData(_ inventory: [P2PInventory], now: MonotonicInstant) -> Bool {
        var missing: [P2PInventory] = []
        for entry in inventory {
            if entry.type == P2PInventory.witnessBlock, self.configuration.serves.contains(.blocks),
                self.server.blockQueue.count + self.server.openBlocks < BitcoinPeerLimits.blocksInFlight,
                self.server.blocks.take(now: now)
            {
                self.server.blockQueue.append(entry)
            } else {
                missing.append(entry)
            }
        }
        if !missing.isEmpty { self.write(.notfound(missing)) }
        self.askForQueuedBlocks(now: now)
        return missing.count < inventory.count
    }

    private mutating func askForQueuedBlocks(now: MonotonicInstant) {
        while !self.server.blockQueue.isEmpty, self.server.openBlocks < BitcoinPeerLimits.servedBlocksAtOnce {
            let entry = self.server.blockQueue.removeFirst()
            self.ask(.block(entry.hash), wanted: .block(entry), now: now)
        }
    }

    /// Whether a request for peer records is taken on.
    mutating func receiveGetRecords(of peers: [[UInt8]], limit: UInt8, now: MonotonicInstant) -> Bool {
        guard self.exchangesRecords else { return false }
        // One at a time, as its sender must have it. One who gave the first up takes its answer for that of the second.
        guard !self.server.open.values.contains(where: { $0.wanted == .records }),
            self.server.open.count < BitcoinPeerLimits.openPeerRequests, self.server.recordRequests.take(now: now)
        else { return false }
        self.ask(.peerRecords(of: peers, limit: UInt32(limit)), wanted: .records, now: now)
        return true
    }

    /// Passes on the orchestrator's answer.
    mutating func reply(id: UInt64, _ answer: ObjectAnswer, now: MonotonicInstant) {
        guard let request = self.server.open.removeValue(forKey: id) else { return }
        defer { self.askForQueuedBlocks(now: now) }
        switch (request.wanted, answer) {
        case (.headers, .headers(let headers)):
            let count = min(headers.count / BlockHeader.size, P2PMessage.maximumHeaders)
            self.write(.headers(Array(headers.prefix(count * BlockHeader.size))))
        case (.headers, _):
            // An empty answer says "nothing from me" without making us look dead. Bitcoin Core does the same while its
            // own chain has too little work to be worth following.
            self.write(.headers([]))
        case (.header(let hash), .headers(let headers)):
            let first = BlockHeader(bytes: headers.prefix(BlockHeader.size))
            // Bitcoin Core is silent where it does not know the block.
            if let first, first.hash == hash { self.write(.headers(first.bytes)) }
        case (.header, _): break
        case (.block, .objects(.blocks, let blocks))
        where blocks.count == 1 && blocks[0].count <= P2PMessageHeader.maximumPayloadLength:
            self.write(.block(blocks[0]))
        case (.block(let entry), _): self.write(.notfound([entry]))
        case (.records, .objects(.peerRecords, let records)):
            self.write(.peerrecs(Array(records.prefix(P2PMessage.maximumPeerRecords))))
        case (.records, _): self.write(.peerrecs([]))
        }
    }

    /// Treats what the orchestrator did not answer in time as refused, so that its place is free again.
    mutating func expirePeerRequests(now: MonotonicInstant) {
        let expired = self.server.open.filter { now >= $0.value.deadline }.keys.sorted()
        for id in expired { self.reply(id: id, .refused(.unavailable), now: now) }
    }

    private mutating func ask(_ request: ObjectRequest, wanted: ServerState.Wanted, now: MonotonicInstant) {
        self.server.lastID += 1
        let timeouts = self.configuration.timeouts
        // Records are not waited for that long: who asks for them asks again.
        let deadline = now + (wanted == .records ? timeouts.records / 2 : timeouts.peerRequest)
        self.server.open[self.server.lastID] = .init(wanted: wanted, deadline: deadline)
        self.outbox.append(.request(id: self.server.lastID, request))
    }
}
