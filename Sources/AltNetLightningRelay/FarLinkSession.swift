// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin
internal import AltNetLightning
public import AltNetObjects

/// The asking side of docs/protocol/objects-over-messages.md: one node far away, as a link.
///
/// Here a `write` is one whole frame, to be sent as one message along the path, and `onBytes` brings the whole frame of
/// one answer, or what ``RelayFrame/lost(_:)`` makes when the driver learns that there will be none. Messages get lost:
/// each is sent up to three times. Nothing is said about ourselves: no identity, no agent, no height.
///
/// ```
/// idle ──onConnected──▶ connecting ──pong──▶ open
///                           └─────────────────┴──▶ closed
/// ```
///
/// Holds at most ``maximumOpenRequests`` answers of ``RelayFrame/maximumAnswer`` bytes and
/// ``maximumTransactionBytes`` of transactions.
public struct FarLinkSession: LinkSession {
    /// What a session needs to know about its path.
    public struct Configuration: Hashable, Sendable {
        /// The chain that we deal with; a far node that deals with another is left.
        public var network: Network
        /// The far node's key in hexadecimal, which each answer proves; or empty.
        public var identity: String
        /// The longest frame that a message along the path has room for, in bytes.
        public var longestFrame: Int
        /// The longest frame that an answer has room for, in bytes.
        public var longestAnswer: Int
        /// How long the answer to one message may take: less than the messages of the relay themselves, so that a late
        /// one can still be told from none.
        public var answerTimeout: Duration
        /// Messages that may be sent at once after a silence, and that trickle back every second: half of what the
        /// nodes on the way let through, because other links may share them.
        public var pace: Pace

        public init(
            network: Network, identity: String, longestFrame: Int, longestAnswer: Int,
            answerTimeout: Duration = .seconds(20), pace: Pace = .directed
        ) {
            self.network = network
            self.identity = identity
            self.longestFrame = longestFrame
            self.longestAnswer = longestAnswer
            self.answerTimeout = answerTimeout
            self.pace = pace
        }
    }

    /// How often messages are sent.
    public struct Pace: Hashable, Sendable {
        /// Messages that may be sent at once after a silence.
        public var burst: Int
        /// Messages that trickle back every second.
        public var perSecond: Int

        public init(burst: Int, perSecond: Int) {
            self.burst = burst
            self.perSecond = perSecond
        }

        /// For directed messages, of which ``RelayLimits`` lets 32 and then 8 a second through.
        public static let directed = Pace(burst: 16, perSecond: 4)
        /// For onion messages: Core Lightning lets 4 and then 4 a second through.
        public static let onion = Pace(burst: 2, perSecond: 2)
    }

    /// The shortest ``Configuration/longestFrame`` that carries a request for headers with one hash. Paths on which
    /// messages have less room are of no use: they have more than 18 nodes.
    public static let minimumFrame = RelayFrame.objectRequestOverhead + 40 + 32
    /// The most requests that are open towards the far node at a time: the answers to four are what a link may hold.
    public static let maximumOpenRequests = 4
    /// The most requests that wait for one of those to end; any more are refused as busy. Together with the open ones
    /// these are as many as the driver protocol allows.
    public static let maximumWaitingRequests = 12
    /// The most messages on their way at a time.
    public static let maximumMessages = 8
    /// How often a message is sent before it counts as lost.
    public static let attempts = 3
    /// The pauses after the first and after the second lost ping of a new link, or of one whose loss is reported.
    static let pauses: [Duration] = [.seconds(5), .seconds(15)]
    /// The pauses before a message is sent again that is reported lost: a path that breaks for a moment, as when a node
    /// on it connects again, is there after these, and one that is broken is given up after six seconds.
    static let lossPauses: [Duration] = [.seconds(1), .seconds(5)]
    /// After how much silence the far node is asked whether it is still there.
    public static let pingInterval = Duration.seconds(60)
    /// How many pings in a row stay unanswered before the far node counts as gone.
    public static let maximumUnansweredPings = 3
    /// The most bytes of transactions that wait to be sent, in all: five of the longest.
    public static let maximumTransactionBytes = 2_000_000

    enum Phase {
        case idle, connecting, open, closed
    }

    /// What a message is for.
    enum Purpose: Hashable {
        case ping
        /// These bytes of the answer to a request of ours.
        case fetch(id: UInt64, Range<Int>)
        /// The part of the first transaction that begins at this byte.
        case transaction(offset: Int)
    }

    struct Message {
        let purpose: Purpose
        let frame: [UInt8]
        var attempts = 0
        /// The attempts that were not reported lost: the answer to any of them will do.
        var underway = 0
        /// When the answer is too late, or the pause is over; `nil` while the message waits to be sent.
        var deadline: MonotonicInstant?
        /// It was reported lost, and is sent again after a pause.
        var isPausing = false
    }

    let configuration: Configuration
    var phase = Phase.idle
    var random: OneWayRandom
    var bucket: TokenBucket
    var serves: Set<ObjectKind> = []
    /// The messages that are not answered, by their number.
    var messages: [UInt64: Message] = [:]
    /// Those of them that are to be sent, in this order.
    var outbox: [UInt64] = []
    var fetches: [UInt64: FarFetch] = [:]
    var waitingRequests: [(id: UInt64, request: ObjectRequest)] = []
    var transactions = FarTransactions()
    /// When the next ping is due; `nil` while one is on its way.
    var nextPing: MonotonicInstant?
    var unansweredPings = 0
    private var armedTimer: MonotonicInstant?

    /// Messages that were sent again, and messages that stayed without an answer for good: for metrics.
    public internal(set) var resent = 0
    public internal(set) var lost = 0

    /// `seed` MUST be random: from it come the numbers by which answers are found.
    public init(_ configuration: Configuration, seed: UInt64) {
        self.configuration = configuration
        self.random = OneWayRandom(seed: seed)
        self.bucket = TokenBucket(
            burst: configuration.pace.burst, perSecond: configuration.pace.perSecond, now: .zero)
    }

    /// The bytes held of answers and transactions that are not complete.
    public var heldBytes: Int {
        self.fetches.values.reduce(0) { $0 + $1.heldBytes } + self.transactions.heldBytes
    }

    /// How many messages are on their way or wait to be sent.
    public var openMessages: Int { self.messages.count }

    // MARK: - LinkSession

    /// The path is known: asks whether the far node is there.
    public mutating func onConnected(now: MonotonicInstant) -> [LinkDirective] {
        guard case .idle = self.phase else { return [] }
        self.phase = .connecting
        self.bucket = TokenBucket(
            burst: self.configuration.pace.burst, perSecond: self.configuration.pace.perSecond, now: now)
        self.nextPing = now
        var directives: [LinkDirective] = []
        self.advance(now: now, &directives)
        return self.armed(directives, now: now)
    }

    /// An answer came: one whole frame. Or none will come, as ``RelayFrame/lost(_:)`` says.
    public mutating func onBytes(_ bytes: [UInt8], now: MonotonicInstant) -> [LinkDirective] {
        guard self.isRunning else { return [] }
        var directives: [LinkDirective] = []
        if let number = RelayFrame.lostNumber(bytes) {
            self.onLost(number, now: now, &directives)
            self.advance(now: now, &directives)
            return self.armed(directives, now: now)
        }
        do throws(RelayFrameError) {
            self.handle(try RelayFrame(decoding: bytes), now: now, &directives)
        } catch {
            self.close(.protocolViolation, "\(error)", &directives)
        }
        self.advance(now: now, &directives)
        return self.armed(directives, now: now)
    }

    /// Something is due: an answer is late, or a ping or a message may be sent.
    public mutating func onTimer(now: MonotonicInstant) -> [LinkDirective] {
        self.armedTimer = nil
        guard self.isRunning else { return [] }
        var directives: [LinkDirective] = []
        self.expire(now: now, &directives)
        self.advance(now: now, &directives)
        return self.armed(directives, now: now)
    }

    /// Asks the far node, or refuses at once: `unavailable` before the link is established, `unsupported` where the far
    /// node does not serve the kind or the path has no room for the question, and `busy` above the limits.
    public mutating func onRequest(id: UInt64, _ request: ObjectRequest, now: MonotonicInstant) -> [LinkDirective] {
        guard case .open = self.phase else { return [.answer(id: id, .refused(.unavailable))] }
        guard request.lightningDefect == nil else { return [.answer(id: id, .refused(.invalid))] }
        let bytes = self.configuration.longestFrame - RelayFrame.objectRequestOverhead
        guard self.serves.contains(request.kind), self.room >= FarFetch.minimumPart,
            let fitted = request.fitted(into: bytes, room: self.room)
        else { return [.answer(id: id, .refused(.unsupported))] }
        guard self.waitingRequests.count < Self.maximumWaitingRequests else {
            return [.answer(id: id, .refused(.busy))]
        }
        var directives: [LinkDirective] = []
        self.waitingRequests.append((id, fitted))
        self.advance(now: now, &directives)
        return self.armed(directives, now: now)
    }

    /// The far node asks nothing: there is nobody to answer.
    public mutating func onAnswer(id: UInt64, _ answer: ObjectAnswer, now: MonotonicInstant) -> [LinkDirective] { [] }

    /// Hands a transaction over. Tips and addresses are not told: they would say something about us.
    public mutating func onAnnouncement(
        _ announcement: ObjectAnnouncement, now: MonotonicInstant
    ) -> [LinkDirective] {
        guard case .open = self.phase, case .transaction(let transaction) = announcement,
            announcement.lightningBody != nil, self.transactionRoom > 0
        else { return [] }
        self.transactions.add(transaction, id: self.random.bytes(RelayFrame.transferIDSize))
        var directives: [LinkDirective] = []
        self.advance(now: now, &directives)
        return self.armed(directives, now: now)
    }

    // MARK: - Ends of calls

    var isRunning: Bool { self.phase == .connecting || self.phase == .open }

    /// How many bytes of an answer one message brings.
    var room: Int {
        min(self.configuration.longestAnswer - RelayFrame.objectPartOverhead, Int(UInt16.max))
    }

    /// How many bytes of a transaction one message carries.
    var transactionRoom: Int { self.configuration.longestFrame - RelayFrame.transactionPartOverhead }

    /// Ends the session: what was asked stays unanswered.
    mutating func close(_ code: DisconnectReason.Code, _ detail: String, _ directives: inout [LinkDirective]) {
        guard self.isRunning else { return }
        self.phase = .closed
        for id in self.fetches.keys.sorted() + self.waitingRequests.map(\.id) {
            directives.append(.answer(id: id, .refused(.unavailable)))
        }
        (self.messages, self.outbox, self.fetches, self.waitingRequests) = ([:], [], [:], [])
        self.transactions = FarTransactions()
        directives.append(.disconnect(DisconnectReason(code, detail)))
    }

    /// Adds a timer when there is an earlier moment than the one already asked for.
    private mutating func armed(_ directives: [LinkDirective], now: MonotonicInstant) -> [LinkDirective] {
        guard self.isRunning else { return directives }
        var moments = self.messages.values.compactMap(\.deadline)
        if let nextPing = self.nextPing { moments.append(nextPing) }
        if !self.outbox.isEmpty { moments.append(now + self.bucket.delay(now: now)) }
        guard let next = moments.min(), self.armedTimer.map({ next < $0 }) ?? true else { return directives }
        self.armedTimer = next
        return directives + [.setTimer(next)]
    }
}
