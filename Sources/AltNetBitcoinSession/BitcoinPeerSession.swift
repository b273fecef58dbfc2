// SPDX-License-Identifier: MIT

public import AltNetBase
internal import AltNetBitcoin
public import AltNetObjects

/// One connection to a node that speaks Bitcoin's peer-to-peer protocol, such as an unmodified Bitcoin Core.
///
///     idle ──connected──▶ awaitingVersion ──version──▶ awaitingVerack ──verack──▶ established
///       any of them ──violation, silence, flood──▶ closed
///
/// An outbound session speaks first; an inbound one answers. Both send `version`, `wtxidrelay`, `sendaddrv2` (the last
/// two only to peers of version 70016 or later, as Bitcoin Core does out of courtesy), `verack`, and after the other
/// side's `verack` also `sendheaders`.
///
/// What it carries: headers and addresses both ways, blocks both ways where the configuration serves them, tips both
/// ways; and peer records both ways between two sessions that serve them, which they tell each other as BIP 434 has it
/// (docs/protocol/records-over-bitcoin.md). Not transactions, filters or compact blocks. Answers are attributed, not checked: headers must begin after a
/// hash of the locator and a block must have the header asked for, but proof of work, linkage and the transactions of a
/// block are the requester's business.
///
/// Memory is bounded by one unfinished message, at most ``BitcoinPeerLimits/queuedHeaderRequests`` locators,
/// ``BitcoinPeerLimits/blocksInFlight`` hashes and ``BitcoinPeerLimits/openPeerRequests`` hashes.
///
/// The shell MUST bound what waits to be written and close the connection above that: a peer may ask for headers
/// (162 kB for a request of 100 bytes) and not read the answers, which a session cannot see.
public struct BitcoinPeerSession: LinkSession {
    enum Stage: Hashable, Sendable {
        /// Not connected yet.
        case idle
        /// Connected; we do not know the other side. Ends at the deadline.
        case awaitingVersion(deadline: MonotonicInstant)
        /// Our `verack` is sent, the other side's has not come.
        case awaitingVerack(P2PVersion, deadline: MonotonicInstant)
        /// Objects may travel.
        case established(P2PVersion)
        /// After the last directive.
        case closed
    }

    /// What the session was made with.
    public let configuration: Configuration
    var stage = Stage.idle
    var decoder: P2PMessageDecoder
    var keepAlive: KeepAlive
    var client = ClientState()
    var server = ServerState()
    /// Whether both sides have said that they exchange peer records.
    var exchangesRecords = false
    /// What the other side may send that nobody asked for.
    var unneeded = UnneededTraffic()
    /// Directives of the call under way.
    var outbox: [LinkDirective] = []
    /// The moment last asked for with ``LinkDirective/setTimer(_:)`` that has not come.
    private var timer: MonotonicInstant?

    /// A session of one connection, before the connection stands.
    public init(configuration: Configuration) {
        self.configuration = configuration
        self.decoder = P2PMessageDecoder(
            network: configuration.network,
            maximumPayloadLength: BitcoinPeerLimits.handshakePayloadLength
        )
        self.keepAlive = KeepAlive(seed: configuration.seed, timeouts: configuration.timeouts)
    }

    /// Starts the handshake's deadline; an outbound session also sends `version`.
    public mutating func onConnected(now: MonotonicInstant) -> [LinkDirective] {
        self.run { (session) throws(DisconnectReason) in session.beginHandshake(now: now) }
    }

    /// Takes bytes cut anywhere. Cost: linear in the bytes.
    public mutating func onBytes(_ bytes: [UInt8], now: MonotonicInstant) -> [LinkDirective] {
        self.run { (session) throws(DisconnectReason) in
            session.decoder.append(bytes)
            while let received = try session.nextMessage() {
                try session.receive(received, now: now)
            }
        }
    }

    /// Pings, and gives up what was not answered in time. Harmless when called too early.
    public mutating func onTimer(now: MonotonicInstant) -> [LinkDirective] {
        self.timer = nil
        return self.run { (session) throws(DisconnectReason) in
            try session.checkHandshakeDeadline(now: now)
            try session.checkPing(now: now)
            session.expireRequests(now: now)
            session.expirePeerRequests(now: now)
        }
    }

    /// Asks for headers, a block, addresses or peer records; refuses everything else as unsupported.
    public mutating func onRequest(id: UInt64, _ request: ObjectRequest, now: MonotonicInstant) -> [LinkDirective] {
        self.run { (session) throws(DisconnectReason) in session.send(id: id, request, now: now) }
    }

    /// Sends the answer to a request of the other side, cut to what one message holds.
    public mutating func onAnswer(id: UInt64, _ answer: ObjectAnswer, now: MonotonicInstant) -> [LinkDirective] {
        self.run { (session) throws(DisconnectReason) in session.reply(id: id, answer, now: now) }
    }

    /// Sends a tip as a `headers` message, addresses as `addr` or `addrv2`, a peer record as `newpeerrec`; drops
    /// transactions.
    public mutating func onAnnouncement(
        _ announcement: ObjectAnnouncement,
        now: MonotonicInstant
    ) -> [LinkDirective] {
        self.run { (session) throws(DisconnectReason) in session.announce(announcement) }
    }

    /// Whether we say that we exchange peer records.
    var offersRecords: Bool { self.configuration.serves.contains(.peerRecords) }

    /// Queues a message.
    mutating func write(_ message: P2PMessage) {
        self.outbox.append(.write(message.encoded(for: self.configuration.network)))
    }

    /// Runs one input and collects its directives: the session's, then the timer, or the end of the connection.
    private mutating func run(_ input: (inout Self) throws(DisconnectReason) -> Void) -> [LinkDirective] {
        guard self.stage != .closed else { return [] }
        do {
            try input(&self)
            self.updateTimer()
        } catch {
            self.refuseEverythingUnanswered()
            self.stage = .closed
            self.outbox.append(.disconnect(error))
        }
        defer { self.outbox = [] }
        return self.outbox
    }

    private mutating func updateTimer() {
        guard let next = self.nextDeadline, next != self.timer else { return }
        self.timer = next
        self.outbox.append(.setTimer(next))
    }

    private var nextDeadline: MonotonicInstant? {
        switch self.stage {
        case .idle, .closed: nil
        case .awaitingVersion(let deadline), .awaitingVerack(_, let deadline): deadline
        case .established:
            [self.keepAlive.deadline, self.client.deadline, self.server.deadline].compactMap { $0 }.min()
        }
    }

    /// The next message, with everything that is wrong with the stream as a reason to end the connection.
    ///
    /// Bitcoin Core drops a message with a bad checksum or a malformed payload and goes on. We do not: TCP has already
    /// excluded accidents, and a peer that breaks the format once will not be of use.
    private mutating func nextMessage() throws(DisconnectReason) -> P2PMessageDecoder.Received? {
        do {
            return try self.decoder.next()
        } catch {
            throw DisconnectReason(error, expected: self.configuration.network)
        }
    }

    private mutating func receive(
        _ received: P2PMessageDecoder.Received,
        now: MonotonicInstant
    ) throws(DisconnectReason) {
        switch self.stage {
        case .idle, .awaitingVersion, .awaitingVerack: try self.receiveInHandshake(received, now: now)
        case .established: try self.receiveEstablished(received, now: now)
        case .closed: break
        }
    }

    private mutating func receiveEstablished(
        _ received: P2PMessageDecoder.Received,
        now: MonotonicInstant
    ) throws(DisconnectReason) {
        switch received.message {
        case .wtxidrelay, .sendaddrv2:
            // BIP 155, BIP 339: these MUST come before `verack`. Bitcoin Core disconnects as well.
            throw DisconnectReason(.protocolViolation, "\(received.message.command) after verack")
        case .ping(let nonce): try self.receivePing(nonce, now: now)
        case .pong(let nonce):
            if !self.keepAlive.receivePong(nonce, now: now) { try self.tolerate(received, now: now) }
        case .headers(let headers):
            if !self.receiveAnswer(headers: headers, now: now) {
                try self.tolerate(received, now: now)
                self.receiveUnsolicited(headers: headers)
            }
        case .block(let raw):
            if !self.receiveAnswer(block: raw) { try self.tolerate(received, now: now) }
        case .notfound(let inventory):
            if !self.receiveNotFound(inventory) { try self.tolerate(received, now: now) }
        case .addr(let addresses), .addrv2(let addresses):
            if !self.receiveAnswer(addresses: addresses) {
                try self.tolerate(received, now: now)
                self.receiveUnsolicited(addresses: addresses, now: now)
            }
        case .inv(let inventory):
            try self.tolerate(received, now: now)
            self.receive(inventory: inventory)
        case .getheaders(let locator, let stop):
            if !self.receiveGetHeaders(locator: locator, stop: stop, now: now) {
                try self.tolerate(received, now: now)
            }
        case .getdata(let inventory):
            if !self.receiveGetData(inventory, now: now) { try self.tolerate(received, now: now) }
        case .getpeerrecs(let peers, let limit):
            if !self.receiveGetRecords(of: peers, limit: limit, now: now) { try self.tolerate(received, now: now) }
        case .peerrecs(let records):
            if !self.receiveAnswer(records: records) { try self.tolerate(received, now: now) }
        case .newpeerrec(let record):
            try self.tolerate(received, now: now)
            if self.exchangesRecords { self.outbox.append(.announcement(.peerRecord(record))) }
        case .sendheaders:
            try self.tolerate(received, now: now)
            self.server.peerPrefersHeaders = true
        case .version, .verack, .feature, .sendcmpct, .feefilter, .getaddr, .tx, .unknown:
            // Bitcoin Core ignores a second `version` and `verack`. `getaddr` stays unanswered: we keep no addresses
            // for strangers. A feature comes too late now, which BIP 434 lets us ignore. The others are of no use to us.
            try self.tolerate(received, now: now)
        }
    }

    /// Accounts for a message that we did not ask for.
    mutating func tolerate(_ received: P2PMessageDecoder.Received, now: MonotonicInstant) throws(DisconnectReason) {
        guard self.unneeded.take(bytes: received.size, now: now) else {
            throw DisconnectReason(
                .limitExceeded,
                "too many messages that nobody asked for, the last one \(received.message.command)"
            )
        }
    }
}
