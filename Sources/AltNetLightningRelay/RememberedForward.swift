// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetKeys
internal import AltNetOnion

/// Where a reply for an onion comes from: the neighbour that was sent the onion, and the onion's SHA-256.
struct SentOnion: Hashable, Sendable {
    let neighbour: NodeID
    let hash: [UInt8]
}

/// What a reply needs on its way back through us.
struct RememberedForward: NeighbourEntry {
    /// Whom the onion was sent to, and what it was.
    let sent: SentOnion
    /// Whom it came from, and what its SHA-256 was then: what our `directed_reply` will name.
    let received: SentOnion
    let secret: OnionSecret
    let deadline: MonotonicInstant

    var key: SentOnion { self.sent }
    var neighbour: NodeID { self.received.neighbour }
}

/// The forwards whose replies may still come.
typealias RememberedForwards = FairlyShared<RememberedForward>
