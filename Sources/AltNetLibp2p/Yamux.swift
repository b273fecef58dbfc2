// SPDX-License-Identifier: MIT

internal import AltNetBase

/// Many streams in one connection (libp2p specs, yamux/README.md). Bytes in, events out; what is to be sent collects in
/// ``output``.
///
/// Two choices that the specification leaves open: a stream that the other side opens is acknowledged at once, and
/// frames for streams that are gone are skipped, because their sender may not know yet.
struct Yamux: Sendable {
    enum Event: Sendable {
        case opened(Libp2pStreamID)
        case data(Libp2pStreamID, [UInt8])
        /// The other side sends nothing more on this stream.
        case ended(Libp2pStreamID)
        case reset(Libp2pStreamID, StreamReset)
        /// All that was given to ``send(_:on:)`` is on its way.
        case writable(Libp2pStreamID)
        /// The answer to ``ping()``.
        case pong
        /// The other side takes no new streams; 0 is the normal end.
        case goAway(code: UInt32)
    }

    let limits: YamuxLimits
    private let isClient: Bool
    private var streams: [UInt32: YamuxStream] = [:]
    private var inboundCount = 0
    private var nextNumber: UInt32
    private var nextSerial: UInt64 = 0
    /// The highest number of a stream that the other side has opened.
    private var highestInbound: UInt32 = 0
    /// Unread bytes of all streams.
    private(set) var unread = 0
    private var pingValue: UInt32 = 0
    private var isPingOpen = false
    private var pings: TokenBucket
    private var openings: TokenBucket
    private var emptyFrames: TokenBucket

    /// An incomplete header.
    private var header: [UInt8] = []
    /// What is still to come of the current frame's data.
    private var body = 0
    /// Whose data that is; `nil` when it is skipped.
    private var bodyStream: Libp2pStreamID?
    private var bodyHasEnd = false

    /// Frames to be sent.
    var output: [UInt8] = []

    init(isClient: Bool, limits: YamuxLimits, now: MonotonicInstant) {
        self.isClient = isClient
        self.limits = limits
        self.nextNumber = isClient ? 1 : 2
        self.pings = TokenBucket(burst: limits.pings.burst, perSecond: limits.pings.perSecond, now: now)
        self.openings = TokenBucket(burst: limits.openings.burst, perSecond: limits.openings.perSecond, now: now)
        self.emptyFrames = TokenBucket(
            burst: limits.emptyFrames.burst, perSecond: limits.emptyFrames.perSecond, now: now)
    }

    /// Streams that exist, those with something unread included.
    var count: Int { self.streams.count }
    var outboundCount: Int { self.streams.count - self.inboundCount }

    // MARK: What we do

    /// Opens a stream; `nil` when there are too many, or all numbers are used up.
    mutating func open() -> Libp2pStreamID? {
        guard self.outboundCount < self.limits.outboundStreams else { return nil }
        let number = self.nextNumber
        let (next, overflow) = number.addingReportingOverflow(2)
        guard !overflow else { return nil }
        self.nextNumber = next
        YamuxHeader(.windowUpdate, .syn, stream: number).append(to: &self.output)
        return self.insert(number, isInbound: false)
    }

    /// Sends bytes. `.writable` follows, now or later, when all of them are on their way; until then nothing more may
    /// be sent on this stream.
    mutating func send(_ bytes: ArraySlice<UInt8>, on id: Libp2pStreamID) -> [Event] {
        guard var stream = self.stream(id), !stream.isEnding else { return [] }
        precondition(stream.pending.isEmpty, "one send at a time")
        stream.pending = bytes
        stream.pump(id.number, into: &self.output)
        self.streams[id.number] = stream
        return stream.pending.isEmpty ? [.writable(id)] : []
    }

    /// Ends our direction after what waits to be sent.
    mutating func end(_ id: Libp2pStreamID) {
        guard var stream = self.stream(id), !stream.isEnding else { return }
        stream.isEnding = true
        stream.pump(id.number, into: &self.output)
        self.streams[id.number] = stream
        self.forgetIfOver(id)
    }

    /// Ends both directions at once; what is unread is lost.
    mutating func reset(_ id: Libp2pStreamID) {
        guard let stream = self.stream(id) else { return }
        if !(stream.sentEnd && stream.receivedEnd) {
            YamuxHeader(.windowUpdate, .rst, stream: id.number).append(to: &self.output)
        }
        self.forget(id)
    }

    /// The reader took bytes; the other side may send as many again.
    mutating func consumed(_ count: Int, on id: Libp2pStreamID) {
        guard var stream = self.stream(id) else { return }
        let count = min(count, stream.unread)
        stream.unread -= count
        self.unread -= count
        stream.read += count
        // Half a window, so that a sender never waits for a reader that keeps up, and not every read costs a frame.
        if !stream.receivedEnd, stream.read >= YamuxLimits.initialWindow / 2 {
            YamuxHeader(.windowUpdate, stream: id.number, length: UInt32(stream.read)).append(to: &self.output)
            stream.receiveWindow += stream.read
            stream.read = 0
        }
        self.streams[id.number] = stream
        self.forgetIfOver(id)
    }

    /// Asks the other side for a sign of life; `.pong` is the answer.
    mutating func ping() {
        self.pingValue &+= 1
        self.isPingOpen = true
        YamuxHeader(.ping, .syn, length: self.pingValue).append(to: &self.output)
    }

    /// Says that the connection ends: 0 is the normal end, 1 that the other side broke the rules.
    mutating func goAway(code: UInt32) {
        YamuxHeader(.goAway, length: code).append(to: &self.output)
    }

    // MARK: What the other side does

    /// Takes bytes, cut anywhere.
    mutating func onBytes(_ input: ArraySlice<UInt8>, now: MonotonicInstant) throws(YamuxError) -> [Event] {
        var rest = input
        var events: [Event] = []
        while !rest.isEmpty {
            guard self.body == 0 else {
                let piece = rest.prefix(self.body)
                rest = rest.dropFirst(piece.count)
                self.body -= piece.count
                self.onBody(piece, &events)
                continue
            }
            let piece = rest.prefix(YamuxHeader.size - self.header.count)
            rest = rest.dropFirst(piece.count)
            self.header.append(contentsOf: piece)
            guard self.header.count == YamuxHeader.size else { break }
            let header = try YamuxHeader(bytes: self.header[...])
            self.header.removeAll(keepingCapacity: true)
            switch header.kind {
            case .data, .windowUpdate: try self.onStreamFrame(header, now: now, &events)
            case .ping: try self.onPing(header, now: now, &events)
            case .goAway: events.append(.goAway(code: header.length))
            }
        }
        return events
    }

    private mutating func onPing(
        _ header: YamuxHeader, now: MonotonicInstant, _ events: inout [Event]
    ) throws(YamuxError) {
        if header.flags.contains(.ack), self.isPingOpen, header.length == self.pingValue {
            self.isPingOpen = false
            events.append(.pong)
            return
        }
        guard self.pings.take(now: now) else { throw .tooManyPings }
        if header.flags.contains(.syn) {
            YamuxHeader(.ping, .ack, length: header.length).append(to: &self.output)
        }
    }

    private mutating func onStreamFrame(
        _ header: YamuxHeader, now: MonotonicInstant, _ events: inout [Event]
    ) throws(YamuxError) {
        if header.flags.isEmpty, header.length == 0 {
            guard self.emptyFrames.take(now: now) else { throw .tooManyEmptyFrames }
        }
        if header.flags.contains(.syn) { try self.onOpening(header, now: now, &events) }
        let length = Int(header.length)
        guard var stream = self.streams[header.stream] else {
            guard self.wasOpened(header.stream) else { throw .streamNeverOpened(header.stream) }
            guard header.kind == .data else { return }
            // No stream can have more on its way than a whole window.
            guard length <= YamuxLimits.initialWindow else { throw .windowExceeded(header.stream) }
            self.body = length
            self.bodyStream = nil
            return
        }
        let id = Libp2pStreamID(number: header.stream, serial: stream.serial)
        if header.flags.contains(.rst) {
            self.forget(id)
            events.append(.reset(id, .byRemote))
            guard header.kind == .data else { return }
            guard length <= stream.receiveWindow else { throw .windowExceeded(header.stream) }
            self.body = length
            self.bodyStream = nil
            return
        }
        switch header.kind {
        case .data:
            guard length == 0 || !stream.receivedEnd else { throw .dataAfterEnd(header.stream) }
            guard length <= stream.receiveWindow else { throw .windowExceeded(header.stream) }
            stream.receiveWindow -= length
            self.streams[header.stream] = stream
            self.body = length
            self.bodyStream = id
            self.bodyHasEnd = header.flags.contains(.fin)
            if length == 0, self.bodyHasEnd { self.onEnd(id, &events) }
        case .windowUpdate:
            guard length <= Int(UInt32.max) - stream.sendWindow else { throw .windowOverflow(header.stream) }
            stream.sendWindow += length
            let isWaiting = !stream.pending.isEmpty
            stream.pump(id.number, into: &self.output)
            self.streams[header.stream] = stream
            if isWaiting, stream.pending.isEmpty { events.append(.writable(id)) }
            if header.flags.contains(.fin) { self.onEnd(id, &events) } else { self.forgetIfOver(id) }
        case .ping, .goAway:
            break
        }
    }

    private mutating func onOpening(
        _ header: YamuxHeader, now: MonotonicInstant, _ events: inout [Event]
    ) throws(YamuxError) {
        let number = header.stream
        guard (number % 2 == 1) != self.isClient else { throw .wrongParity(number) }
        guard self.streams[number] == nil else { throw .streamInUse(number) }
        guard self.openings.take(now: now) else { throw .tooManyOpenings }
        // Openings may overtake each other on the other side, so a lower number than the last is in order.
        self.highestInbound = max(self.highestInbound, number)
        guard !header.flags.contains(.rst) else { return }
        guard self.inboundCount < self.limits.inboundStreams else {
            YamuxHeader(.windowUpdate, .rst, stream: number).append(to: &self.output)
            return
        }
        YamuxHeader(.windowUpdate, .ack, stream: number).append(to: &self.output)
        events.append(.opened(self.insert(number, isInbound: true)))
    }

    private mutating func onBody(_ piece: ArraySlice<UInt8>, _ events: inout [Event]) {
        guard let id = self.bodyStream, var stream = self.stream(id) else { return }
        guard self.unread + piece.count <= self.limits.unreadBytes else {
            self.reset(id)
            events.append(.reset(id, .tooMuchUnread))
            return
        }
        stream.unread += piece.count
        self.unread += piece.count
        self.streams[id.number] = stream
        events.append(.data(id, Array(piece)))
        if self.body == 0, self.bodyHasEnd { self.onEnd(id, &events) }
    }

    private mutating func onEnd(_ id: Libp2pStreamID, _ events: inout [Event]) {
        guard var stream = self.stream(id), !stream.receivedEnd else { return }
        stream.receivedEnd = true
        self.streams[id.number] = stream
        events.append(.ended(id))
        self.forgetIfOver(id)
    }

    // MARK: The table of streams

    func contains(_ id: Libp2pStreamID) -> Bool { self.stream(id) != nil }

    private mutating func insert(_ number: UInt32, isInbound: Bool) -> Libp2pStreamID {
        let id = Libp2pStreamID(number: number, serial: self.nextSerial)
        self.nextSerial += 1
        self.streams[number] = YamuxStream(serial: id.serial, isInbound: isInbound)
        if isInbound { self.inboundCount += 1 }
        return id
    }

    private func stream(_ id: Libp2pStreamID) -> YamuxStream? {
        guard let stream = self.streams[id.number], stream.serial == id.serial else { return nil }
        return stream
    }

    private mutating func forgetIfOver(_ id: Libp2pStreamID) {
        if self.stream(id)?.isOver == true { self.forget(id) }
    }

    private mutating func forget(_ id: Libp2pStreamID) {
        guard let stream = self.streams.removeValue(forKey: id.number) else { return }
        if stream.isInbound { self.inboundCount -= 1 }
        self.unread -= stream.unread
    }

    private func wasOpened(_ number: UInt32) -> Bool {
        let isOurs = (number % 2 == 1) == self.isClient
        return isOurs ? number < self.nextNumber : number <= self.highestInbound
    }
}
