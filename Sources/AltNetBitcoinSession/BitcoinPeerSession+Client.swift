// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetObjects

/// What we asked the other side for.
struct ClientState: Hashable, Sendable {
    /// A request for headers. The protocol has no request numbers, so only one is under way at a time.
    struct HeaderRequest: Hashable, Sendable {
        let id: UInt64
        let locator: [BlockHash]
        let stop: BlockHash
        let limit: UInt32
    }

    struct BlockRequest: Hashable, Sendable {
        let id: UInt64
        let hash: BlockHash
        let deadline: MonotonicInstant
    }

    struct AddressRequest: Hashable, Sendable {
        let id: UInt64
        let limit: UInt32
        let deadline: MonotonicInstant
    }

    struct RecordRequest: Hashable, Sendable {
        let id: UInt64
        let limit: UInt32
        let deadline: MonotonicInstant
    }

    struct HeadersInFlight: Hashable, Sendable {
        let request: HeaderRequest
        let deadline: MonotonicInstant
    }

    var headers: HeadersInFlight?
    /// Requests for headers that wait their turn, at most ``BitcoinPeerLimits/queuedHeaderRequests``.
    var queue: [HeaderRequest] = []
    /// At most ``BitcoinPeerLimits/blocksInFlight``.
    var blocks: [BlockRequest] = []
    var addresses: AddressRequest?
    /// The protocol has no request numbers here either: one at a time.
    var records: RecordRequest?
    /// Bitcoin Core answers one `getaddr` in the life of a connection.
    var hasAskedForAddresses = false
    /// The block of the last `inv`, whose header we asked for.
    var lastProbe: BlockHash?

    var deadline: MonotonicInstant? {
        (self.blocks.map(\.deadline)
            + [self.headers?.deadline, self.addresses?.deadline, self.records?.deadline].compactMap { $0 }).min()
    }
}

extension BitcoinPeerSession {
    mutating func send(id: UInt64, _ request: ObjectRequest, now: MonotonicInstant) {
        guard case .established(let peer) = self.stage else { return self.refuse(id, .unavailable) }
        switch request {
        case .headers(let locator, let stop, _, let limit):
            self.askForHeaders(.init(id: id, locator: locator, stop: stop, limit: limit), now: now)
        case .block(let hash):
            guard peer.servesBlocks else { return self.refuse(id, .unsupported) }
            self.askForBlock(id: id, hash, now: now)
        case .addresses(let limit):
            self.askForAddresses(id: id, limit: limit, now: now)
        case .peerRecords(let peers, let limit):
            self.askForRecords(id: id, of: peers, limit: limit, now: now)
        case .filterHeaders, .filters, .transaction:
            self.refuse(id, .unsupported)
        }
    }

    /// Gives up what was not answered in time. Silence is no reason to disconnect: Bitcoin Core does not answer
    /// `getheaders` while it imports or reindexes, and older versions not before they are in sync.
    mutating func expireRequests(now: MonotonicInstant) {
        if let headers = self.client.headers, now >= headers.deadline {
            self.client.headers = nil
            self.refuse(headers.request.id, .unavailable)
            self.askForNextHeaders(now: now)
        }
        for request in self.client.blocks where now >= request.deadline { self.refuse(request.id, .unavailable) }
        self.client.blocks.removeAll { now >= $0.deadline }
        if let request = self.client.addresses, now >= request.deadline {
            // It may know none, or think it is none of our business. Neither is a fault.
            self.client.addresses = nil
            self.answer(request.id, .addresses([]))
        }
        if let request = self.client.records, now >= request.deadline {
            self.client.records = nil
            self.refuse(request.id, .unavailable)
        }
    }

    /// The last thing before the connection ends.
    mutating func refuseEverythingUnanswered() {
        if let headers = self.client.headers { self.refuse(headers.request.id, .unavailable) }
        for request in self.client.queue { self.refuse(request.id, .unavailable) }
        for request in self.client.blocks { self.refuse(request.id, .unavailable) }
        if let request = self.client.addresses { self.refuse(request.id, .unavailable) }
        if let request = self.client.records { self.refuse(request.id, .unavailable) }
        self.client = ClientState()
    }

    // MARK: - Headers

    private mutating func askForHeaders(_ request: ClientState.HeaderRequest, now: MonotonicInstant) {
        guard request.limit > 0, request.locator.count <= P2PMessage.maximumLocatorLength,
            !request.locator.isEmpty || request.stop != .zero
        else { return self.refuse(request.id, .invalid) }
        guard self.client.queue.count < BitcoinPeerLimits.queuedHeaderRequests else {
            return self.refuse(request.id, .busy)
        }
        self.client.queue.append(request)
        self.askForNextHeaders(now: now)
    }

    private mutating func askForNextHeaders(now: MonotonicInstant) {
        guard self.client.headers == nil, !self.client.queue.isEmpty else { return }
        let request = self.client.queue.removeFirst()
        self.client.headers = .init(request: request, deadline: now + self.configuration.timeouts.headers)
        self.write(.getheaders(locator: request.locator, stop: request.stop))
    }

    /// Whether a `headers` message answers the request under way, and if so, does.
    ///
    /// Announcements come as `headers` too, and nothing marks either. An answer is empty, or its first header follows
    /// a hash of the locator, or follows the first block of the chain when the peer knew none of them, or is itself
    /// the `stop` of a request without locator. An announcement of the block after our tip passes for an answer when
    /// it comes first; it is a right one, only shorter than it might be, and the real answer then passes for an
    /// announcement.
    mutating func receiveAnswer(headers: [UInt8], now: MonotonicInstant) -> Bool {
        guard let request = self.client.headers?.request, self.isAnswer(headers, to: request) else { return false }
        self.client.headers = nil
        // The limit is the requester's; the protocol has no field for it.
        let count = min(headers.count / BlockHeader.size, Int(request.limit))
        self.answer(request.id, .headers(Array(headers.prefix(count * BlockHeader.size))))
        self.askForNextHeaders(now: now)
        return true
    }

    private func isAnswer(_ headers: [UInt8], to request: ClientState.HeaderRequest) -> Bool {
        guard let first = BlockHeader(bytes: headers.prefix(BlockHeader.size)) else { return true }
        if request.locator.isEmpty { return first.hash == request.stop }
        return request.locator.contains(first.previous) || first.previous == self.configuration.network.chainHash
    }

    // MARK: - Blocks

    private mutating func askForBlock(id: UInt64, _ hash: BlockHash, now: MonotonicInstant) {
        guard self.client.blocks.count < BitcoinPeerLimits.blocksInFlight else { return self.refuse(id, .busy) }
        let deadline = now + self.configuration.timeouts.block
        self.client.blocks.append(.init(id: id, hash: hash, deadline: deadline))
        self.write(.getdata([P2PInventory(type: P2PInventory.witnessBlock, hash: hash)]))
    }

    /// Whether a block was asked for. Its transactions are not compared with its header here.
    mutating func receiveAnswer(block raw: [UInt8]) -> Bool {
        guard let hash = BlockHeader(bytes: raw.prefix(BlockHeader.size))?.hash,
            let index = self.client.blocks.firstIndex(where: { $0.hash == hash })
        else { return false }
        self.answer(self.client.blocks.remove(at: index).id, .objects(.blocks, [raw]))
        return true
    }

    /// Whether some of what the other side does not have was asked for.
    mutating func receiveNotFound(_ inventory: [P2PInventory]) -> Bool {
        var wasAskedFor = false
        for entry in inventory where entry.isBlock {
            guard let index = self.client.blocks.firstIndex(where: { $0.hash == entry.hash }) else { continue }
            self.refuse(self.client.blocks.remove(at: index).id, .notFound)
            wasAskedFor = true
        }
        return wasAskedFor
    }

    // MARK: - Addresses

    private mutating func askForAddresses(id: UInt64, limit: UInt32, now: MonotonicInstant) {
        guard !self.client.hasAskedForAddresses else {
            return self.refuse(id, self.client.addresses == nil ? .unavailable : .busy)
        }
        self.client.hasAskedForAddresses = true
        let deadline = now + self.configuration.timeouts.addresses
        self.client.addresses = .init(id: id, limit: limit, deadline: deadline)
        self.write(.getaddr)
    }

    /// Whether addresses answer our `getaddr`. A single one does not: nodes announce their own address that way.
    mutating func receiveAnswer(addresses: [NodeAddress]) -> Bool {
        guard let request = self.client.addresses, addresses.count != 1 else { return false }
        self.client.addresses = nil
        self.answer(request.id, .addresses(Array(addresses.prefix(Int(request.limit)))))
        return true
    }

    // MARK: - Peer records

    private mutating func askForRecords(id: UInt64, of peers: [[UInt8]], limit: UInt32, now: MonotonicInstant) {
        guard self.exchangesRecords else { return self.refuse(id, .unsupported) }
        guard let count = UInt8(exactly: limit), (1...P2PMessage.maximumPeerRecords).contains(Int(count)),
            peers.count <= P2PMessage.maximumPeerRecords,
            peers.allSatisfy({ (1...P2PMessage.maximumPeerIDSize).contains($0.count) })
        else { return self.refuse(id, .invalid) }
        guard self.client.records == nil else { return self.refuse(id, .busy) }
        self.client.records = .init(id: id, limit: limit, deadline: now + self.configuration.timeouts.records)
        self.write(.getpeerrecs(of: peers, limit: count))
    }

    /// Whether records were asked for. An answer after its deadline passes for that of the next request: records say
    /// themselves about whom they are.
    mutating func receiveAnswer(records: [[UInt8]]) -> Bool {
        guard let request = self.client.records else { return false }
        self.client.records = nil
        let some = Array(records.prefix(Int(request.limit)))
        self.answer(request.id, some.isEmpty ? .refused(.notFound) : .objects(.peerRecords, some))
        return true
    }

    // MARK: - Answers

    private mutating func answer(_ id: UInt64, _ answer: ObjectAnswer) {
        self.outbox.append(.answer(id: id, answer))
    }

    private mutating func refuse(_ id: UInt64, _ refusal: ObjectRefusal) {
        self.answer(id, .refused(refusal))
    }
}
