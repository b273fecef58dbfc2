// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoinSession
internal import AltNetObjects

/// What runs on a connection after both sides have proved that they are those who coordinated: Bitcoin's P2P protocol,
/// spoken by us or by our node.
struct PunchedSession: LinkSession {
    /// Exactly one of the two is there.
    private(set) var bitcoin: BitcoinPeerSession?
    private var raw: RawStream?

    /// A link of our own.
    init(_ session: BitcoinPeerSession) {
        self.bitcoin = session
    }

    /// A connection of our node.
    init(_ stream: RawStream) {
        self.raw = stream
    }

    var takesBytes: Bool { self.bitcoin?.takesBytes ?? self.raw?.takesBytes ?? true }

    mutating func onConnected(now: MonotonicInstant) -> [LinkDirective] {
        self.bitcoin?.onConnected(now: now) ?? self.raw?.onConnected(now: now) ?? []
    }

    mutating func onBytes(_ bytes: [UInt8], now: MonotonicInstant) -> [LinkDirective] {
        self.bitcoin?.onBytes(bytes, now: now) ?? self.raw?.onBytes(bytes) ?? []
    }

    mutating func onTimer(now: MonotonicInstant) -> [LinkDirective] {
        self.bitcoin?.onTimer(now: now) ?? self.raw?.onTimer(now: now) ?? []
    }

    mutating func onRequest(id: UInt64, _ request: ObjectRequest, now: MonotonicInstant) -> [LinkDirective] {
        self.bitcoin?.onRequest(id: id, request, now: now) ?? [.answer(id: id, .refused(.unsupported))]
    }

    mutating func onAnswer(id: UInt64, _ answer: ObjectAnswer, now: MonotonicInstant) -> [LinkDirective] {
        self.bitcoin?.onAnswer(id: id, answer, now: now) ?? []
    }

    mutating func onAnnouncement(_ announcement: ObjectAnnouncement, now: MonotonicInstant) -> [LinkDirective] {
        self.bitcoin?.onAnnouncement(announcement, now: now) ?? []
    }

    mutating func onStream(_ id: StreamID, _ message: StreamMessage, now: MonotonicInstant) -> [LinkDirective] {
        self.bitcoin?.onStream(id, message, now: now) ?? self.raw?.onStream(id, message) ?? []
    }
}
