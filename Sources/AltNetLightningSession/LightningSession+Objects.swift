// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetLightning
internal import AltNetObjects

/// How often either side may do something.
struct Limits: Sendable {
    /// A receiver bears this many times what a sender may do: the network bunches what the sender spread.
    static let tolerance = 2

    var sentAnnouncements: TokenBucket
    var sentRequests: TokenBucket
    var sentStreams: TokenBucket
    var receivedAnnouncements: TokenBucket
    var receivedRequests: TokenBucket
    var receivedStreams: TokenBucket
    var receivedPings: TokenBucket

    init(now: MonotonicInstant) {
        let (announcements, requests) = (BitcoinOverLightning.announcements, BitcoinOverLightning.requests)
        let (streams, pings) = (BitcoinOverLightning.streamOpenings, LightningSession.pings)
        self.sentAnnouncements = TokenBucket(
            burst: announcements.burst,
            perSecond: announcements.perSecond,
            now: now
        )
        self.sentRequests = TokenBucket(burst: requests.burst, perSecond: requests.perSecond, now: now)
        self.receivedAnnouncements = TokenBucket(
            burst: announcements.burst * Self.tolerance,
            perSecond: announcements.perSecond * Self.tolerance,
            now: now
        )
        self.receivedRequests = TokenBucket(
            burst: requests.burst * Self.tolerance,
            perSecond: requests.perSecond * Self.tolerance,
            now: now
        )
        self.sentStreams = TokenBucket(burst: streams.burst, perSecond: streams.perSecond, now: now)
        self.receivedStreams = TokenBucket(
            burst: streams.burst * Self.tolerance,
            perSecond: streams.perSecond * Self.tolerance,
            now: now
        )
        self.receivedPings = TokenBucket(burst: pings.burst, perSecond: pings.perSecond, now: now)
    }
}

// Requests, answers and announcements.
extension LightningSession {
    mutating func sendRequest(
        id: UInt64,
        _ request: ObjectRequest,
        now: MonotonicInstant,
        _ directives: inout [LinkDirective]
    ) {
        let refusal: ObjectRefusal
        if self.phase != .open {
            refusal = .unavailable
        } else if self.peerServes?.contains(request.kind) != true {
            refusal = .unsupported
        } else if request.lightningDefect != nil {
            refusal = .invalid
        } else if !self.limits.sentRequests.take(now: now) {
            refusal = .busy
        } else {
            switch self.outbound.open(id: id, request, now: now) {
            case .opened(let wireID):
                let body = request.lightningBody[...]
                let kind = request.kind.lightningNumber
                return self.send([.bitcoin(.request(id: wireID, kind: kind, body: body))], &directives)
            case .refused(let reason):
                refusal = reason
            }
        }
        directives.append(.answer(id: id, .refused(refusal)))
    }

    mutating func sendAnswer(id: UInt64, _ body: [UInt8], _ directives: inout [LinkDirective]) {
        self.send(BitcoinMessage.answer(id: id, body: body).map { .bitcoin($0) }, &directives)
    }

    mutating func handle(_ message: BitcoinMessage, now: MonotonicInstant, _ directives: inout [LinkDirective]) {
        switch message {
        case .request(let id, let kind, let body):
            self.handleRequest(id: id, kind: kind, body, now: now, &directives)
        case .answer(let id, let remaining, let part):
            switch self.outbound.onPart(wireID: id, remaining: remaining, part, now: now) {
            case .nothing: break
            case .complete(let id, let answer): directives.append(.answer(id: id, answer))
            case .violation(let detail): self.close(.protocolViolation, detail, &directives)
            }
        case .announcement(let remaining, let part):
            self.handleAnnouncement(part, remaining: remaining, now: now, &directives)
        }
    }

    private mutating func handleRequest(
        id: UInt64,
        kind: UInt8,
        _ body: ArraySlice<UInt8>,
        now: MonotonicInstant,
        _ directives: inout [LinkDirective]
    ) {
        guard self.limits.receivedRequests.take(now: now) else {
            return self.close(.limitExceeded, "more requests than are allowed", &directives)
        }
        guard !self.inbound.contains(id) else {
            return self.close(.protocolViolation, "request \(id) is open already", &directives)
        }
        let request: ObjectRequest?
        do throws(BitcoinBodyError) {
            request = try ObjectRequest(lightningKind: kind, body: body)
        } catch {
            return self.close(.protocolViolation, "a request of kind \(kind) is wrong: \(error)", &directives)
        }
        guard let request, self.configuration.serves.contains(request.kind) else {
            return self.refuse(id: id, .unsupported, &directives)
        }
        switch self.inbound.open(id: id, request, now: now) {
        case .opened: directives.append(.request(id: id, request))
        case .full: self.refuse(id: id, .busy, &directives)
        }
    }

    private mutating func handleAnnouncement(
        _ part: ArraySlice<UInt8>,
        remaining: UInt32,
        now: MonotonicInstant,
        _ directives: inout [LinkDirective]
    ) {
        if self.announcement == nil {
            guard self.limits.receivedAnnouncements.take(now: now) else {
                return self.close(.limitExceeded, "more announcements than are allowed", &directives)
            }
            self.announcement = PartAssembler(limit: BitcoinOverLightning.maximumAnnouncementLength)
        }
        do throws(PartError) {
            guard let body = try self.announcement?.add(part, remaining: remaining) else { return }
            self.announcement = nil
            do throws(BitcoinBodyError) {
                // A kind that is not known here is for others: ignored.
                if let announcement = try ObjectAnnouncement(lightningBody: body) {
                    directives.append(.announcement(announcement))
                }
            } catch {
                self.close(.protocolViolation, "an announcement is wrong: \(error)", &directives)
            }
        } catch {
            self.announcement = nil
            // Over an attached node, an earlier session may have ended in the middle of one.
            guard self.attached == nil else { return }
            self.close(.protocolViolation, "a part of an announcement does not fit: \(error)", &directives)
        }
    }

    mutating func onOpenTimer(now: MonotonicInstant, _ directives: inout [LinkDirective]) {
        directives += self.outbound.expire(now: now).map { .answer(id: $0, .refused(.unavailable)) }
        for id in self.inbound.expired(now: now) where self.inbound.close(id: id) != nil {
            self.refuse(id: id, .unavailable, &directives)
        }
        // An attached node keeps its connections alive itself.
        guard self.attached == nil else { return }
        switch self.keepAlive.onTimer(now: now) {
        case .nothing: break
        case .sendPing(let pongLength): self.send([.ping(pongLength: pongLength, paddingLength: 0)], &directives)
        case .silent: self.close(.timedOut, "no reply to a ping", &directives)
        }
    }

    private mutating func refuse(id: UInt64, _ reason: ObjectRefusal, _ directives: inout [LinkDirective]) {
        self.sendAnswer(id: id, ObjectAnswer.lightningRefusal(reason), &directives)
    }
}
