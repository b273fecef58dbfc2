// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetObjects

/// A punched connection whose bytes are one stream of the link, from this machine's node to the other side's.
///
/// Towards the peer it is nothing but Bitcoin's P2P protocol, which this code does not look into.
///
///     waiting ──opened by the orchestrator──▶ open ──end, reset, silence──▶ (disconnect)
///
/// The socket knows no credit, so the session stops reading when the orchestrator grants none: at most what one reading
/// of the socket brought waits here.
struct RawStream: Sendable {
    /// Who asks for the stream.
    enum Opening: Hashable, Sendable {
        /// We do, at once: the connection is an inbound one of our node.
        case ours
        /// The orchestrator does, when the node connects to it: the connection is an outbound one of our node.
        case theirs
    }

    private enum Stage: Hashable {
        case waiting(deadline: MonotonicInstant)
        case open
        case closed
    }

    /// How long our node may take to be reached, or to come: `addnode` works through a queue.
    static let patience: Duration = .seconds(60)
    /// The stream that we ask for. The peer counts as its opener.
    private static let ours = StreamID(.remote, 0)

    private let opening: Opening
    private var stage = Stage.closed
    private var stream: StreamID?
    /// What the orchestrator takes of the peer's bytes now.
    private var credit = StreamLimits.window
    /// Bytes of the peer that the orchestrator does not take yet.
    private var waiting: [UInt8] = []

    init(_ opening: Opening) {
        self.opening = opening
    }

    /// The peer's bytes are read when there is somewhere to put them.
    var takesBytes: Bool { self.stage == .open && self.credit > 0 }

    mutating func onConnected(now: MonotonicInstant) -> [LinkDirective] {
        let deadline = now + Self.patience
        self.stage = .waiting(deadline: deadline)
        // Nothing is known of the peer: its version message is for our node.
        let peer = LinkPeer(
            identity: "", agent: UntrustedText(""), claimedHeight: nil, serves: [],
            takesStreams: self.opening == .theirs)
        let opened: [LinkDirective] = [.setTimer(deadline), .established(peer)]
        guard self.opening == .ours else { return opened }
        self.stream = Self.ours
        return opened + [.stream(Self.ours, .open(.bitcoinP2P))]
    }

    mutating func onBytes(_ bytes: [UInt8]) -> [LinkDirective] {
        guard self.stage != .closed else { return [] }
        self.waiting += bytes
        return self.flush()
    }

    mutating func onTimer(now: MonotonicInstant) -> [LinkDirective] {
        guard case .waiting(let deadline) = self.stage, now >= deadline else { return [] }
        return self.close(
            DisconnectReason(
                .timedOut,
                self.opening == .ours
                    ? "our node did not take the connection" : "our node did not ask for the connection"))
    }

    mutating func onStream(_ id: StreamID, _ message: StreamMessage) -> [LinkDirective] {
        if case .open(let purpose) = message { return self.onOpen(id, purpose) }
        guard id == self.stream, self.stage != .closed else { return [] }
        switch message {
        case .open: return []
        case .opened:
            self.stage = .open
            return self.flush()
        case .refused(let refusal):
            return self.close(DisconnectReason(.unreachable, "our node has no place for it: \(refusal)"), abort: true)
        case .data(let bytes):
            // The credit comes back when the socket has taken the bytes.
            return [.write(bytes), .stream(id, .credit(UInt32(clamping: bytes.count)))]
        case .credit(let bytes):
            self.credit += Int(bytes)
            return self.flush()
        case .end: return self.close(DisconnectReason(.closed, "our node closed the connection"))
        case .reset(let reason):
            return self.close(DisconnectReason(.closed, "our node's end is gone: \(reason)"), abort: true)
        }
    }

    private mutating func onOpen(_ id: StreamID, _ purpose: StreamPurpose) -> [LinkDirective] {
        guard self.opening == .theirs, purpose == .bitcoinP2P else { return [.stream(id, .refused(.unsupported))] }
        guard case .waiting = self.stage else { return [.stream(id, .refused(.busy))] }
        self.stream = id
        self.stage = .open
        return [.stream(id, .opened)] + self.flush()
    }

    /// Passes on what the orchestrator takes.
    private mutating func flush() -> [LinkDirective] {
        guard self.stage == .open, let stream = self.stream else { return [] }
        var directives: [LinkDirective] = []
        while !self.waiting.isEmpty, self.credit > 0 {
            let piece = Array(self.waiting.prefix(min(self.credit, StreamLimits.maximumPiece)))
            self.waiting.removeFirst(piece.count)
            self.credit -= piece.count
            directives.append(.stream(stream, .data(piece)))
        }
        return directives
    }

    private mutating func close(_ reason: DisconnectReason, abort: Bool = false) -> [LinkDirective] {
        self.stage = .closed
        return [abort ? .abort(reason) : .disconnect(reason)]
    }
}
