// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetLightningRelay
internal import AltNetLightningSession
internal import AltNetObjects

/// The session of any of this driver's links: exactly one of the three is there.
///
/// Not an enumeration: a session in a case would be copied, with all that it holds, whenever it changes.
struct LightningLink: LinkSession {
    /// A Lightning connection: our own, or one that an attached node lends.
    private var peer: LightningSession?
    /// A far node that we ask, over directed or onion messages.
    private var far: FarLinkSession?
    /// All those who ask us that way. Who they are, nobody here knows.
    private var askers: FarServerSession?

    /// The attempt that this is, when the peer was dialled at an address of which somebody wants to know how it went.
    private(set) var dial: (any DialAttempt)?

    init(_ peer: LightningSession, dial: (any DialAttempt)? = nil) {
        self.peer = peer
        self.dial = dial
    }

    init(_ far: FarLinkSession) { self.far = far }

    init(_ askers: FarServerSession) { self.askers = askers }

    mutating func onConnected(now: MonotonicInstant) -> [LinkDirective] {
        self.peer?.onConnected(now: now) ?? self.far?.onConnected(now: now) ?? self.askers?.onConnected(now: now) ?? []
    }

    mutating func onBytes(_ bytes: [UInt8], now: MonotonicInstant) -> [LinkDirective] {
        let directives =
            self.peer?.onBytes(bytes, now: now) ?? self.far?.onBytes(bytes, now: now) ?? self.askers?.onBytes(
                bytes, now: now) ?? []
        if let dial, directives.contains(where: { if case .established = $0 { true } else { false } }) {
            dial.proven()
            self.dial = nil
        }
        return directives
    }

    mutating func onTimer(now: MonotonicInstant) -> [LinkDirective] {
        self.peer?.onTimer(now: now) ?? self.far?.onTimer(now: now) ?? self.askers?.onTimer(now: now) ?? []
    }

    mutating func onRequest(id: UInt64, _ request: ObjectRequest, now: MonotonicInstant) -> [LinkDirective] {
        self.peer?.onRequest(id: id, request, now: now) ?? self.far?.onRequest(id: id, request, now: now) ?? self
            .askers?.onRequest(id: id, request, now: now) ?? []
    }

    mutating func onAnswer(id: UInt64, _ answer: ObjectAnswer, now: MonotonicInstant) -> [LinkDirective] {
        self.peer?.onAnswer(id: id, answer, now: now) ?? self.far?.onAnswer(id: id, answer, now: now) ?? self.askers?
            .onAnswer(id: id, answer, now: now) ?? []
    }

    mutating func onAnnouncement(_ announcement: ObjectAnnouncement, now: MonotonicInstant) -> [LinkDirective] {
        self.peer?.onAnnouncement(announcement, now: now) ?? self.far?.onAnnouncement(announcement, now: now) ?? self
            .askers?.onAnnouncement(announcement, now: now) ?? []
    }

    mutating func onStream(_ id: StreamID, _ message: StreamMessage, now: MonotonicInstant) -> [LinkDirective] {
        self.peer?.onStream(id, message, now: now) ?? self.far?.onStream(id, message, now: now) ?? self.askers?
            .onStream(id, message, now: now) ?? []
    }

    mutating func onMessage(_ message: [UInt8], now: MonotonicInstant) -> [LinkDirective] {
        self.peer?.onMessage(message, now: now) ?? self.far?.onMessage(message, now: now) ?? self.askers?.onMessage(
            message, now: now) ?? []
    }
}
