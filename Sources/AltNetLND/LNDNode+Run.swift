// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetKeys
public import AltNetLightningAttachment
internal import Synchronization

extension LNDNode {
    /// Tells of peers and messages until the task is cancelled.
    ///
    /// When the connection to LND breaks, all peers are told as disconnected, because what they send meanwhile is lost;
    /// it is made anew after a pause, for as long as it takes, and the peers are told again. A peer that sends faster
    /// than we handle loses its newest messages: see ``LNDCounters/dropped``.
    ///
    /// - Throws: `AttachmentError` when another node answers at LND's address.
    public func run(_ onEvent: @escaping @Sendable (AttachmentEvent) async -> Void) async throws {
        defer { self.close() }
        var pause = self.timing.firstPause
        var trouble: String?
        while true {
            let session = LNDSession(self, onEvent)
            let began = ContinuousClock.now
            let failure: LNDFailure
            do {
                let connection = try await self.reconnected()
                if trouble != nil {
                    self.onTrouble("the attachment to LND works again")
                    trouble = nil
                }
                failure = await session.run(connection)
                // A failure after a while is a new one.
                if ContinuousClock.now - began > self.timing.longestPause { pause = self.timing.firstPause }
            } catch let error as LNDFailure {
                failure = error
            } catch let error as LNDSetupError {
                failure = .unreachable(error.description)
            }
            self.disconnect(failure)
            await session.end()
            guard !Task.isCancelled else { return }
            let sentence = failure.attachmentError(settings: self.settings, timeout: self.timing.call).description
            if sentence != trouble { self.onTrouble(sentence) }
            trouble = sentence
            do { try await Task.sleep(for: pause) } catch { return }
            pause = min(pause * 2, self.timing.longestPause)
        }
    }

    /// The connection that stands, or a new one to the same node.
    private func reconnected() async throws -> LNDConnection {
        if let connection = self.state.withLock({ $0.connection }) { return connection }
        let connection = try LNDConnection(self.settings, timing: self.timing)
        do {
            let node = try LNDReading.node(try await connection.info().identityPubkey)
            guard node == self.nodeID else {
                throw AttachmentError.nonsense("another node answers at its address: \(node)")
            }
        } catch {
            connection.close()
            throw error
        }
        self.state.withLock { $0.connection = connection }
        return connection
    }

    private func disconnect(_ failure: LNDFailure) {
        self.state.withLock { state in
            state.connection?.close()
            if state.connection != nil { state.counters.breaks += 1 }
            state.connection = nil
            state.absence = failure
        }
    }

    private func close() {
        self.state.withLock { state in
            state.connection?.close()
            state.connection = nil
            state.absence = .ended
        }
    }
}

/// What is told over one connection to LND.
private final class LNDSession: Sendable {
    private let node: LNDNode
    private let onEvent: @Sendable (AttachmentEvent) async -> Void
    private let inbox = Mutex(LNDInbox())
    private let book = Mutex(LNDPeerBook())
    private let lastListing = Mutex<ContinuousClock.Instant?>(nil)
    /// One signal is enough, however much waits.
    private let (signals, signal) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))

    init(_ node: LNDNode, _ onEvent: @escaping @Sendable (AttachmentEvent) async -> Void) {
        self.node = node
        self.onEvent = onEvent
    }

    /// Until one of its parts fails; how it failed.
    func run(_ connection: LNDConnection) async -> LNDFailure {
        await withTaskGroup(of: LNDFailure?.self) { group in
            group.addTask { await self.failure { () async throws(LNDFailure) in try await self.listen(connection) } }
            group.addTask { await self.failure { () async throws(LNDFailure) in try await self.watch(connection) } }
            if self.node.abilities.contains(.onionMessages) {
                group.addTask { await self.failure { () async throws(LNDFailure) in try await self.hear(connection) } }
            }
            group.addTask { await self.failure { () async throws(LNDFailure) in try await self.handle(connection) } }
            var first: LNDFailure?
            for await failure in group {
                first = first ?? failure
                group.cancelAll()
            }
            return first ?? .ended
        }
    }

    /// Tells that all peers are gone.
    func end() async {
        for event in self.book.withLock({ $0.onBreak() }) { await self.onEvent(event) }
    }

    private func failure(_ body: () async throws(LNDFailure) -> Void) async -> LNDFailure? {
        do {
            try await body()
            return nil
        } catch {
            return error
        }
    }

    // MARK: - From LND into the inbox

    private func listen(_ connection: LNDConnection) async throws(LNDFailure) {
        try await connection.messages { message in
            let (peer, bytes) = try LNDReading.message(message)
            let outcome = self.inbox.withLock { $0.offer(bytes, from: peer) }
            if outcome == .dropped { self.node.count { $0.dropped += 1 } }
            self.signal.yield()
        }
    }

    private func hear(_ connection: LNDConnection) async throws(LNDFailure) {
        try await connection.onionMessages { update in
            guard LNDOnion.isForUs(update) else { return }
            guard let peer = NodeID(bytes: update.peer) else {
                throw LNDFailure.nonsense("an onion message comes from no public key")
            }
            guard let onion = LNDOnion(update) else { return self.node.count { $0.refused += 1 } }
            let outcome = self.inbox.withLock { $0.offer(onion, by: peer) }
            if outcome == .dropped { self.node.count { $0.dropped += 1 } }
            self.signal.yield()
        }
    }

    private func watch(_ connection: LNDConnection) async throws(LNDFailure) {
        try await connection.peerEvents { event in
            let peer = try LNDReading.node(event.pubKey)
            let outcome =
                switch event.type {
                case .peerOnline: self.inbox.withLock { $0.offer(online: peer) }
                case .peerOffline: self.inbox.withLock { $0.offer(offline: peer) }
                case .UNRECOGNIZED(let number): throw LNDFailure.nonsense("there is no peer event \(number)")
                }
            guard outcome == .kept else { throw LNDFailure.nonsense("more news of peers than can be handled") }
            self.signal.yield()
        }
    }

    // MARK: - From the inbox to whoever runs us

    private func handle(_ connection: LNDConnection) async throws(LNDFailure) {
        // LND says nothing when a subscription begins. What changed between the first listing and that moment is
        // found by a second one soon after; later ones are also the sign that LND is alive.
        try await self.list(connection)
        let clock = Task { [self] in
            var pause = self.node.timing.shortestListing
            while (try? await Task.sleep(for: pause)) != nil {
                self.inbox.withLock { $0.isStale = true }
                self.signal.yield()
                pause = self.node.timing.listing
            }
        }
        defer { clock.cancel() }
        for await _ in self.signals {
            while let item = self.inbox.withLock({ $0.next() }) {
                switch item {
                case .online: break
                case .offline(let peer): await self.tell(self.book.withLock { $0.onOffline(peer) })
                case .message(let peer, let bytes):
                    if self.book.withLock({ $0.mayBeNew(peer) }) { try await self.list(connection) }
                    await self.hand(on: bytes, from: peer)
                case .onion(_, let onion): try await self.hand(on: onion, connection)
                }
            }
            if self.inbox.withLock({ $0.isStale }) { try await self.list(connection) }
        }
    }

    private func hand(on message: [UInt8], from peer: NodeID) async {
        let isKnown = self.book.withLock { book in
            if !book.knows(peer) { book.onAbsent(peer) }
            return book.knows(peer)
        }
        guard isKnown else { return self.node.count { $0.fromAbsent += 1 } }
        self.node.count { $0.received += 1 }
        await self.onEvent(.message(from: peer, message))
    }

    private func hand(on onion: LNDOnion, _ connection: LNDConnection) async throws(LNDFailure) {
        var secret: [UInt8]?
        if self.node.abilities.contains(.sharedSecret), !onion.encryptedData.isEmpty {
            secret = try await connection.sharedSecret(with: onion.pathKey)
        }
        self.node.count { $0.received += 1 }
        await self.onEvent(.onionMessage(onion.delivery(secret: secret)))
    }

    /// Tells what has changed since the last listing, ``LNDTiming/shortestListing`` after it or later.
    private func list(_ connection: LNDConnection) async throws(LNDFailure) {
        if let last = self.lastListing.withLock({ $0 }) {
            do {
                try await Task.sleep(until: last + self.node.timing.shortestListing, clock: .continuous)
            } catch {
                throw .ended
            }
        }
        self.inbox.withLock { $0.isStale = false }
        let peers = try await connection.peers()
        self.lastListing.withLock { $0 = .now }
        await self.tell(self.book.withLock { $0.onListed(peers) })
    }

    private func tell(_ events: [AttachmentEvent]) async {
        for event in events { await self.onEvent(event) }
    }
}

extension LNDNode {
    fileprivate func count(_ change: (inout LNDCounters) -> Void) {
        self.state.withLock { change(&$0.counters) }
    }
}
