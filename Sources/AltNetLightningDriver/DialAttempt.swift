// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDriverKit
internal import AltNetPeerRecords
internal import AltNetTransport
internal import Synchronization

/// One attempt to reach a peer at an address that somebody gave us for it. It has worked when the peer's `init` is there:
/// the end of the handshake proves to the caller who answers, but not that it lets the caller in.
protocol DialAttempt: Sendable {
    /// The peer is there and speaks with us.
    func proven()
    /// The link is over, proven or not. Must be called in the task that ran the link: when that was cancelled, it is we
    /// who broke the attempt off, and nothing is known of the peer.
    func ended()
}

/// An attempt at an address of the peer store, which is told how it went.
final class KnownAddressDial: DialAttempt {
    private let book: OrchestratorBook
    private let peer: PeerID
    private let address: Multiaddress
    private let began = MonotonicInstant.now
    private let isDecided = Mutex(false)

    init(_ book: OrchestratorBook, _ peer: PeerID, at address: Multiaddress) {
        self.book = book
        self.peer = peer
        self.address = address
    }

    func proven() {
        self.decide(
            .connected(self.peer, self.address, latency: MonotonicInstant.now - self.began, use: .lightning))
    }

    func ended() {
        if !Task.isCancelled { self.failed() }
    }

    /// Nobody is there, or somebody else.
    func failed() { self.decide(.failed(self.peer, self.address, use: .lightning)) }

    private func decide(_ news: PeerNews) {
        let isFirst = self.isDecided.withLock { isDecided in
            defer { isDecided = true }
            return !isDecided
        }
        guard isFirst else { return }
        let book = self.book
        // What the store makes of it concerns nobody here.
        Task { _ = try? await book.learn([news]) }
    }
}
