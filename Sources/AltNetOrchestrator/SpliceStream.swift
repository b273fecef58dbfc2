// SPDX-License-Identifier: MIT

internal import AltNetObjects

/// One end of a spliced stream, as a value without I/O: what a socket and the other end say goes in, what to do comes
/// out.
///
///     waiting ──onStart──▶ opening ──opened──▶ open ──end both ways, reset, socket gone──▶ finished
///                             └──────refused, reset, timer, socket gone──────────────────────▲
///
/// It holds at most ``StreamLimits/window`` bytes that the socket has not taken, and of those that the socket brought
/// one read, or what the system still had for us when its other side closed.
struct SpliceStream: Sendable {
    /// What the shell has to do. It MUST carry out the directives of one call in order.
    enum Directive: Hashable, Sendable {
        /// Take bytes from the socket once.
        case read
        /// Give these bytes to the socket, and call `onWritten` when it has taken them. One at a time.
        case write([UInt8])
        /// The socket gets nothing more.
        case endOutput
        /// Say this to the other end, and call `onSent` when the next thing may be said. One at a time.
        case send(StreamMessage)
        /// Call `onTimer` after this time; replaces any earlier one.
        case setTimer(Duration)
        /// Close the socket.
        case close
        /// Nothing follows: forget the stream.
        case finished
    }

    /// How the two ends are counted in reports.
    struct Traffic: Hashable, Sendable {
        /// Bytes from the socket into the stream.
        var sent: UInt64 = 0
        /// Bytes from the stream that the socket has taken.
        var received: UInt64 = 0

        static func += (left: inout Self, right: Self) {
            left.sent += right.sent
            left.received += right.received
        }
    }

    /// How long the other side may take to answer: it asks a node nearby, over a medium that may take seconds.
    static let openingPatience: Duration = .seconds(30)
    /// How long a stream of which one direction has ended may stand still. Bitcoin nodes close both at once.
    static let halfOpenPatience: Duration = .seconds(60)

    private enum Phase: Hashable {
        case waiting, opening, open, finished
    }

    private var phase = Phase.waiting
    private let first: StreamMessage
    private var outgoing = OutgoingStream()
    private var isSending = false
    /// What the other end can still take, in bytes.
    private var credit = StreamLimits.window
    private var isReading = false
    private var hasInputEnded = false
    private var unwritten: [UInt8] = []
    private var writing = 0
    /// What the socket has taken and the other end has not been granted again.
    private var ungranted = 0
    private var hasStreamEnded = false
    private var isOutputEnded = false
    private var isClosed = false
    private var isReported = false
    private var hasMoved = false
    private var isHalfOpen = false

    private(set) var traffic = Traffic()
    /// Why the stream ended; `nil` while it stands, and when both directions ended in order.
    private(set) var ending: String?
    /// Why the other side did not want it.
    private(set) var refusal: StreamRefusal?

    /// The end that wants the stream.
    init(opening purpose: StreamPurpose) {
        self.first = .open(purpose)
    }

    /// The end that was asked, and has a socket.
    static var accepting: SpliceStream { SpliceStream(answer: .opened) }

    private init(answer: StreamMessage) {
        self.first = answer
    }

    /// Whether bytes may flow.
    var isOpen: Bool { self.phase == .open }
    /// Whether they ever could.
    private(set) var hasStood = false

    // MARK: - Inputs

    /// The stream has its place: begins to speak.
    mutating func onStart() -> [Directive] {
        guard self.phase == .waiting else { return self.advance() }
        self.isSending = true
        guard case .open = self.first else {
            self.stand()
            return [.send(self.first)] + self.advance()
        }
        self.phase = .opening
        return [.send(self.first), .setTimer(Self.openingPatience)]
    }

    /// The socket brought bytes.
    mutating func onBytes(_ bytes: [UInt8]) -> [Directive] {
        guard self.phase != .finished else { return [] }
        self.isReading = false
        self.hasMoved = true
        self.outgoing.add(.data(bytes))
        return self.advance()
    }

    /// The socket brings nothing more.
    mutating func onEndOfInput() -> [Directive] {
        guard self.phase != .finished, !self.hasInputEnded else { return self.advance() }
        self.isReading = false
        self.hasInputEnded = true
        self.outgoing.add(.end)
        return self.halfOpened() + self.advance()
    }

    /// The socket is gone.
    ///
    /// - Parameter failure: what broke it; `nil` when it closed in order, as it does when both directions have ended.
    mutating func onClosed(_ failure: String?) -> [Directive] {
        self.isClosed = true
        guard self.phase != .finished else { return self.advance() }
        // What it brought before still has to go.
        if self.isOutputEnded, failure == nil { return self.onEndOfInput() }
        if !(self.isOutputEnded && self.hasInputEnded) {
            self.reset(.closed, failure ?? "the connection with the node closed")
        }
        return self.advance()
    }

    /// The socket has taken what it was given.
    mutating func onWritten() -> [Directive] {
        guard self.phase != .finished else { return [] }
        self.traffic.received += UInt64(self.writing)
        self.ungranted += self.writing
        self.writing = 0
        self.hasMoved = true
        if self.ungranted >= StreamLimits.grantStep, !self.hasStreamEnded {
            self.outgoing.add(.credit(UInt32(self.ungranted)))
            self.ungranted = 0
        }
        return self.advance()
    }

    /// What was said to the other end is on its way.
    mutating func onSent() -> [Directive] {
        self.isSending = false
        return self.advance()
    }

    mutating func onTimer() -> [Directive] {
        switch self.phase {
        case .waiting, .finished: break
        case .opening: self.reset(.timedOut, "the other side did not answer in time")
        case .open:
            guard self.isHalfOpen else { break }
            if self.hasMoved {
                self.hasMoved = false
                return [.setTimer(Self.halfOpenPatience)]
            }
            self.reset(.timedOut, "one direction had ended and the other stood still")
        }
        return self.advance()
    }

    /// The other end says something.
    mutating func onMessage(_ message: StreamMessage) -> [Directive] {
        guard self.phase != .finished else { return [] }
        switch message {
        case .open: break
        case .opened:
            if self.phase == .opening { self.stand() }
        case .refused(let refusal):
            self.refusal = refusal
            self.finish(refusal.description)
        case .data(let bytes):
            guard self.unwritten.count + self.writing + self.ungranted + bytes.count <= StreamLimits.window else {
                self.reset(.violation, "the other end sent more than it had credit for")
                break
            }
            if self.unwritten.isEmpty { self.unwritten = bytes } else { self.unwritten += bytes }
        case .credit(let bytes): self.credit += Int(bytes)
        case .end:
            self.hasStreamEnded = true
            return self.halfOpened() + self.advance()
        case .reset(let reset): self.finish(reset.description)
        }
        return self.advance()
    }

    /// The link or the driver is gone, and nobody is left to be told.
    mutating func onLinkClosed() -> [Directive] {
        if self.phase != .finished { self.finish("the link closed") }
        self.outgoing = OutgoingStream()
        self.isSending = false
        return self.advance()
    }

    /// Our side no longer wants the stream.
    mutating func onCancel() -> [Directive] {
        self.reset(.cancelled, "the daemon stops")
        return self.advance()
    }

    // MARK: - Steps

    private mutating func stand() {
        self.phase = .open
        self.hasStood = true
    }

    private mutating func halfOpened() -> [Directive] {
        guard !self.isHalfOpen else { return [] }
        self.isHalfOpen = true
        self.hasMoved = false
        return [.setTimer(Self.halfOpenPatience)]
    }

    private mutating func reset(_ reset: StreamReset, _ why: String) {
        guard self.phase != .finished else { return }
        let wasAsked = self.phase != .waiting
        self.finish(why)
        if wasAsked { self.outgoing.add(.reset(reset)) }
    }

    private mutating func finish(_ why: String?) {
        self.ending = why
        self.phase = .finished
        self.outgoing = OutgoingStream()
        self.unwritten = []
    }

    /// Everything that can be done now.
    private mutating func advance() -> [Directive] {
        var directives: [Directive] = []
        switch self.phase {
        // Until the other side has answered there is nothing to say, save that the question is void.
        case .waiting, .opening: return []
        case .open: self.move(&directives)
        case .finished: self.send(&directives)
        }
        if self.phase == .finished {
            if !self.isClosed {
                self.isClosed = true
                directives.append(.close)
            }
            if !self.isReported, !self.isSending, self.outgoing.isEmpty {
                self.isReported = true
                directives.append(.finished)
            }
        }
        return directives
    }

    private mutating func move(_ directives: inout [Directive]) {
        if self.writing == 0, !self.unwritten.isEmpty {
            self.writing = self.unwritten.count
            directives.append(.write(self.unwritten))
            self.unwritten = []
        }
        if self.hasStreamEnded, self.writing == 0, !self.isOutputEnded {
            self.isOutputEnded = true
            directives.append(.endOutput)
        }
        self.send(&directives)
        if !self.isReading, !self.hasInputEnded, self.credit > 0, self.outgoing.waitingBytes == 0 {
            self.isReading = true
            directives.append(.read)
        }
        if self.hasInputEnded, self.isOutputEnded, self.outgoing.isEmpty, !self.isSending { self.finish(nil) }
    }

    private mutating func send(_ directives: inout [Directive]) {
        guard !self.isSending, let message = self.outgoing.next(credit: self.credit) else { return }
        if case .data(let bytes) = message {
            self.credit -= bytes.count
            self.traffic.sent += UInt64(bytes.count)
        }
        self.isSending = true
        directives.append(.send(message))
    }
}
