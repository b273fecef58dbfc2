// SPDX-License-Identifier: MIT

public import AltNetBase
internal import AltNetPeerRecords

/// Where one stream of a ``Libp2pConnection`` stands.
enum StreamPhase: Sendable {
    /// We proposed protocols.
    case proposing(MultistreamDialer, deadline: MonotonicInstant)
    /// The other side will propose.
    case awaitingProposal(MultistreamListener, deadline: MonotonicInstant)
    /// Its protocol is known; what comes belongs to it.
    case open

    var deadline: MonotonicInstant? {
        switch self {
        case .proposing(_, let deadline), .awaitingProposal(_, let deadline): deadline
        case .open: nil
        }
    }
}

extension Libp2pConnection {
    // MARK: What we do

    /// Opens a stream and proposes protocols, the preferred one first. ``Directive/opened(_:protocolName:)`` or
    /// ``Directive/refused(_:_:)`` follows.
    public mutating func open(
        protocols: [String], now: MonotonicInstant
    ) throws(StreamRefusal) -> (stream: Libp2pStreamID, directives: [Directive]) {
        guard !protocols.isEmpty, protocols.allSatisfy({ $0.utf8.count < Multistream.maximumLine }) else {
            throw .badProtocol
        }
        guard self.isEstablished else { throw .notConnected }
        guard let id = self.yamux.open() else { throw .tooManyStreams }
        let dialer = MultistreamDialer(protocols)
        var lines: [UInt8] = []
        dialer.start(&lines)
        self.negotiate(lines, on: id)
        self.streams[id] = .proposing(dialer, deadline: now + self.configuration.limits.negotiationTimeout)
        return (id, self.finish(now: now))
    }

    /// Sends bytes on a stream whose protocol is known. ``Directive/writable(_:)`` follows, now or later, when all of them
    /// are on their way; until then nothing more may be given for this stream.
    public mutating func send(_ bytes: [UInt8], on id: Libp2pStreamID, now: MonotonicInstant) -> [Directive] {
        guard case .open? = self.streams[id] else { return [] }
        for event in self.yamux.send(bytes[...], on: id) {
            if case .writable(let id) = event { self.directives.append(.writable(id)) }
        }
        return self.finish(now: now)
    }

    /// Ends our direction, after what was sent.
    public mutating func closeWrite(_ id: Libp2pStreamID, now: MonotonicInstant) -> [Directive] {
        guard case .open? = self.streams[id] else { return [] }
        self.yamux.end(id)
        self.forgetIfGone(id)
        return self.finish(now: now)
    }

    /// Ends both directions at once. No directive about this stream follows.
    public mutating func reset(_ id: Libp2pStreamID, now: MonotonicInstant) -> [Directive] {
        guard self.streams.removeValue(forKey: id) != nil else { return [] }
        self.yamux.reset(id)
        return self.finish(now: now)
    }

    /// The reader has taken bytes of ``Directive/data(_:_:)``: the other side may send as many again.
    public mutating func consumed(_ count: Int, on id: Libp2pStreamID, now: MonotonicInstant) -> [Directive] {
        guard self.streams[id] != nil else { return [] }
        self.yamux.consumed(count, on: id)
        self.forgetIfGone(id)
        return self.finish(now: now)
    }

    // MARK: What the other side does

    mutating func onEvent(_ event: Yamux.Event, now: MonotonicInstant) throws(Libp2pFailure) {
        switch event {
        case .opened(let id):
            let deadline = now + self.configuration.limits.negotiationTimeout
            self.streams[id] = .awaitingProposal(MultistreamListener(), deadline: deadline)
        case .data(let id, let bytes):
            self.onData(id, bytes)
        case .ended(let id):
            guard let phase = self.streams[id] else { return }
            if case .open = phase {
                self.directives.append(.ended(id))
                self.forgetIfGone(id)
            } else {
                self.fail(id, .endedInNegotiation)
            }
        case .reset(let id, let reason):
            guard let phase = self.streams.removeValue(forKey: id) else { return }
            switch phase {
            case .open: self.directives.append(.reset(id, reason))
            case .proposing: self.directives.append(.refused(id, reason))
            case .awaitingProposal: break
            }
        case .writable(let id):
            // The lines of a negotiation are nobody's business but ours.
            if case .open? = self.streams[id] { self.directives.append(.writable(id)) }
        case .pong:
            self.directives.append(.alive)
        case .goAway(let code):
            // An error of the other side ends everything at once; otherwise what is under way may end first.
            guard code == 0, self.yamux.count > 0 else { throw .goneAway(code: code) }
            self.leavesAt = self.leavesAt ?? now + self.configuration.limits.goAwayTimeout
        }
    }

    private mutating func onData(_ id: Libp2pStreamID, _ bytes: [UInt8]) {
        var rest = bytes[...]
        var lines: [UInt8] = []
        do throws(MultistreamError) {
            switch self.streams[id] {
            case nil: return
            case .open?: break
            case .proposing(var dialer, let deadline)?:
                let name = try dialer.onBytes(&rest, output: &lines)
                self.streams[id] = name == nil ? .proposing(dialer, deadline: deadline) : .open
                if let name { self.directives.append(.opened(id, protocolName: name)) }
            case .awaitingProposal(var listener, let deadline)?:
                let served = self.configuration.served
                let name = try listener.onBytes(&rest, output: &lines) { served.contains($0) }
                self.streams[id] = name == nil ? .awaitingProposal(listener, deadline: deadline) : .open
                if let name { self.directives.append(.accepted(id, protocolName: name)) }
            }
        } catch {
            return self.fail(id, .negotiation(error))
        }
        // What the negotiation took is read; what the protocol gets is read when its reader says so.
        self.yamux.consumed(bytes.count - rest.count, on: id)
        if !lines.isEmpty { self.negotiate(lines, on: id) }
        if !rest.isEmpty { self.directives.append(.data(id, Array(rest))) }
    }

    /// Sends lines of a negotiation: some hundred bytes, and a stream begins with a window of 256 KiB.
    private mutating func negotiate(_ lines: [UInt8], on id: Libp2pStreamID) {
        _ = self.yamux.send(lines[...], on: id)
    }

    /// Ends a stream that got no protocol.
    private mutating func fail(_ id: Libp2pStreamID, _ reason: StreamReset) {
        guard let phase = self.streams.removeValue(forKey: id) else { return }
        self.yamux.reset(id)
        if case .proposing = phase { self.directives.append(.refused(id, reason)) }
    }

    mutating func dropUnnegotiated(now: MonotonicInstant) {
        for (id, phase) in self.streams {
            if let deadline = phase.deadline, now >= deadline { self.fail(id, .negotiationTimeout) }
        }
    }

    var nextStreamDeadline: MonotonicInstant? {
        self.streams.values.lazy.compactMap(\.deadline).min()
    }

    private mutating func forgetIfGone(_ id: Libp2pStreamID) {
        if !self.yamux.contains(id) { self.streams[id] = nil }
    }
}
