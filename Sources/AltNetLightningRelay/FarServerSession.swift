// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin
internal import AltNetLightning
public import AltNetObjects

/// The serving side of docs/protocol/objects-over-messages.md: all nodes that ask us through messages, as one link.
///
/// Who they are is not known, so all limits hold for all of them together. Bytes are one whole frame after the eight
/// bytes of its handle, most significant first: the frame that was delivered on the way in, the answer to it on the
/// way out. Nothing after the handle means that there will be no answer, so that the caller frees its place. Each
/// handle comes out once, within ``Configuration/requestTimeout``.
///
/// Holds at most ``maximumOpenRequests`` requests, ``maximumCachedAnswers`` answers and ``FarTransfers/maximumBytes``
/// of transactions.
public struct FarServerSession: LinkSession {
    /// What a session needs to know.
    public struct Configuration: Hashable, Sendable {
        /// The chain that we deal with, as we tell whoever asks.
        public var network: Network
        /// The kinds of object that we serve; requests for others are refused.
        public var serves: Set<ObjectKind>
        /// How long the orchestrator may take to answer: messages are not remembered for longer.
        public var requestTimeout: Duration

        public init(
            network: Network, serves: Set<ObjectKind>, requestTimeout: Duration = .seconds(50)
        ) {
            self.network = network
            self.serves = serves
            self.requestTimeout = requestTimeout
        }
    }

    /// The size of a handle, in bytes.
    public static let handleSize = 8
    /// The most requests towards the orchestrator: half of what the driver protocol allows, so that a crowd of askers
    /// leaves it time for the links that it knows.
    public static let maximumOpenRequests = 8
    /// The most askers that wait for one answer together: those whose question came again, and who ask the same.
    public static let maximumAskers = 16
    /// The most answers that are kept because they do not fit into one message.
    public static let maximumCachedAnswers = 2
    /// How long such an answer is kept after somebody asked for a part of it.
    public static let cacheLifetime = Duration.seconds(60)

    /// What is asked, apart from which part of the answer.
    struct Question: Hashable {
        let kind: UInt8
        let body: [UInt8]
    }

    /// Who asks, and for which part.
    struct Asker: Hashable {
        let handle: UInt64
        let requestID: UInt64
        let offset: Int
        let room: Int
    }

    struct Open {
        let question: Question
        let request: ObjectRequest
        var askers: [Asker]
        let deadline: MonotonicInstant
    }

    struct Cached {
        let question: Question
        let body: [UInt8]
        var deadline: MonotonicInstant
    }

    let configuration: Configuration
    var isOpen = false
    var open: [UInt64: Open] = [:]
    /// The one used last at the end.
    var cache: [Cached] = []
    var transfers = FarTransfers()
    private var nextRequest: UInt64 = 0
    private var armedTimer: MonotonicInstant?

    /// Frames that were no question to us: for metrics.
    public internal(set) var ignoredFrames = 0

    public init(_ configuration: Configuration) {
        self.configuration = configuration
    }

    /// The number of bytes held of answers and transactions.
    public var heldBytes: Int { self.cache.reduce(0) { $0 + $1.body.count } + self.transfers.heldBytes }

    // MARK: - LinkSession

    /// Is established at once: there is no handshake with those whom nobody knows.
    public mutating func onConnected(now: MonotonicInstant) -> [LinkDirective] {
        guard !self.isOpen else { return [] }
        self.isOpen = true
        return [
            .established(LinkPeer(identity: "", agent: UntrustedText(""), claimedHeight: nil, serves: []))
        ]
    }

    /// A frame was delivered: its handle, and itself.
    public mutating func onBytes(_ bytes: [UInt8], now: MonotonicInstant) -> [LinkDirective] {
        guard self.isOpen else { return [] }
        var reader = ByteReader(bytes)
        guard let handle = try? reader.bigEndian(UInt64.self) else {
            self.ignoredFrames += 1
            return []
        }
        var directives: [LinkDirective] = []
        if let frame = try? RelayFrame(decoding: Array(reader.rest())) {
            self.handle(frame, handle: handle, now: now, &directives)
        } else {
            // Anybody can send anything, and learns nothing from it.
            self.ignore(handle, &directives)
        }
        return self.armed(directives)
    }

    /// Something is too late.
    public mutating func onTimer(now: MonotonicInstant) -> [LinkDirective] {
        self.armedTimer = nil
        var directives: [LinkDirective] = []
        for id in self.open.filter({ $0.value.deadline <= now }).keys.sorted() {
            guard let late = self.open.removeValue(forKey: id) else { continue }
            let body = ObjectAnswer.lightningRefusal(.unavailable)
            for asker in late.askers { Self.answer(asker, body, &directives) }
        }
        self.cache.removeAll { $0.deadline <= now }
        self.transfers.expire(now: now)
        return self.armed(directives)
    }

    /// Nobody can be asked: those at the other end are strangers who wait for answers.
    public mutating func onRequest(id: UInt64, _ request: ObjectRequest, now: MonotonicInstant) -> [LinkDirective] {
        [.answer(id: id, .refused(.unsupported))]
    }

    /// The orchestrator answers; each asker gets its part.
    public mutating func onAnswer(id: UInt64, _ answer: ObjectAnswer, now: MonotonicInstant) -> [LinkDirective] {
        guard let open = self.open.removeValue(forKey: id) else { return [] }
        let body = answer.lightningBody(answering: open.request)
        var directives: [LinkDirective] = []
        for asker in open.askers { Self.answer(asker, body, &directives) }
        if open.askers.contains(where: { $0.offset > 0 || $0.room < body.count }) {
            self.keep(Cached(question: open.question, body: body, deadline: now + Self.cacheLifetime))
        }
        return self.armed(directives)
    }

    /// Nobody is told: those at the other end are gone when they have their answers.
    public mutating func onAnnouncement(
        _ announcement: ObjectAnnouncement, now: MonotonicInstant
    ) -> [LinkDirective] { [] }

    // MARK: - Frames

    private mutating func handle(
        _ frame: RelayFrame, handle: UInt64, now: MonotonicInstant, _ directives: inout [LinkDirective]
    ) {
        let reply: RelayFrame.Content
        switch frame.content {
        case .ping:
            reply = .pong(chain: self.configuration.network.chainHash, serves: self.configuration.serves)
        case .objectRequest(let kind, let offset, let room, let body):
            let asker = Asker(
                handle: handle, requestID: frame.requestID, offset: Int(offset), room: Int(room))
            return self.ask(Question(kind: kind, body: body), asker, now: now, &directives)
        case .transactionPart(let transfer, let total, let offset, let part):
            switch self.transfers.onPart(part, at: Int(offset), of: Int(total), transfer: transfer, now: now) {
            case .held(let count): reply = .transactionHeld(UInt32(count))
            case .complete(let transaction):
                directives.append(.announcement(.transaction(transaction)))
                reply = .transactionAccepted
            case .alreadyComplete: reply = .transactionAccepted
            case .refused(let reason): reply = .transactionRefused(reason)
            }
        case .text, .pong, .textTaken, .objectAnswer, .transactionHeld, .transactionAccepted, .transactionRefused:
            // Text is the caller's to keep, and answers are for those who asked.
            return self.ignore(handle, &directives)
        }
        Self.write(RelayFrame(frame.requestID, reply), handle: handle, &directives)
    }

    private mutating func ask(
        _ question: Question, _ asker: Asker, now: MonotonicInstant, _ directives: inout [LinkDirective]
    ) {
        if let index = self.cache.firstIndex(where: { $0.question == question }) {
            var cached = self.cache.remove(at: index)
            cached.deadline = now + Self.cacheLifetime
            self.cache.append(cached)
            return Self.answer(asker, cached.body, &directives)
        }
        if let id = self.open.first(where: { $0.value.question == question })?.key {
            guard let askers = self.open[id]?.askers, askers.count < Self.maximumAskers else {
                return Self.answer(asker, ObjectAnswer.lightningRefusal(.busy), &directives)
            }
            self.open[id]?.askers.append(asker)
            return
        }
        let request: ObjectRequest?
        do throws(BitcoinBodyError) {
            request = try ObjectRequest(lightningKind: question.kind, body: question.body[...])
        } catch {
            return Self.answer(asker, ObjectAnswer.lightningRefusal(.invalid), &directives)
        }
        guard let request, self.configuration.serves.contains(request.kind) else {
            return Self.answer(asker, ObjectAnswer.lightningRefusal(.unsupported), &directives)
        }
        guard self.open.count < Self.maximumOpenRequests else {
            return Self.answer(asker, ObjectAnswer.lightningRefusal(.busy), &directives)
        }
        let id = self.nextRequest
        self.nextRequest += 1
        self.open[id] = Open(
            question: question, request: request, askers: [asker],
            deadline: now + self.configuration.requestTimeout)
        directives.append(.request(id: id, request))
    }

    private mutating func keep(_ answer: Cached) {
        if self.cache.count >= Self.maximumCachedAnswers { self.cache.removeFirst() }
        self.cache.append(answer)
    }

    /// Gives an asker its part, or refuses when the answer has no such byte.
    private static func answer(_ asker: Asker, _ body: [UInt8], _ directives: inout [LinkDirective]) {
        // Only a refusal is as short as this; it is the whole answer, whatever part was asked for.
        var (body, offset) = (body, asker.offset)
        if offset > 0, body.first == 0 {
            offset = 0
        } else if offset >= body.count {
            (body, offset) = (ObjectAnswer.lightningRefusal(.invalid), 0)
        }
        let part = Array(body[offset..<min(body.count, offset + asker.room)])
        Self.write(
            RelayFrame(
                asker.requestID, .objectAnswer(total: UInt32(body.count), offset: UInt32(offset), part: part)),
            handle: asker.handle, &directives)
    }

    /// Says that a frame will not be answered.
    private mutating func ignore(_ handle: UInt64, _ directives: inout [LinkDirective]) {
        self.ignoredFrames += 1
        Self.write(nil, handle: handle, &directives)
    }

    private static func write(_ frame: RelayFrame?, handle: UInt64, _ directives: inout [LinkDirective]) {
        var bytes: [UInt8] = []
        bytes.appendBigEndian(handle)
        directives.append(.write(bytes + (frame?.encoded ?? [])))
    }

    /// Adds a timer when there is an earlier moment than the one already asked for.
    private mutating func armed(_ directives: [LinkDirective]) -> [LinkDirective] {
        let moments =
            self.open.values.map(\.deadline) + self.cache.map(\.deadline)
            + [self.transfers.deadline].compactMap(\.self)
        guard let next = moments.min(), self.armedTimer.map({ next < $0 }) ?? true else { return directives }
        self.armedTimer = next
        return directives + [.setTimer(next)]
    }
}
