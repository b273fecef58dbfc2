// SPDX-License-Identifier: MIT

internal import AltNetBase

/// What is known of the attempt under way.
struct PunchAttempt: Sendable {
    let number: UInt8
    let path: PunchPath
    /// Whether we connect, and whether we are connected to.
    let dials: Bool
    let listens: Bool
    /// Whether we connect only to open our own NAT for the other side.
    let isDoor: Bool
    let nonce: [UInt8]
    /// Our own addresses; `nil` while they are learnt.
    var own: [ExternalEndpoint]?
    var hasToldOwn = false
    /// The other side; `nil` until it told.
    var remote: ExternalEndpoint?
    var peerNonce: [UInt8]?
    /// Answers about the clock that are still to come in this attempt.
    var pingsLeft = 0
    var plan: PunchPlan?
    var success: PunchSuccess?
    /// Our result, once told.
    var ownReason: PunchReason?
    /// The other side's result.
    var peerResult: PeerResult?

    enum PeerResult: Hashable, Sendable {
        case success
        case failure(PunchReason)
    }

    /// Whether the other side has to know a port of ours: to connect to, or to open its NAT with.
    var tellsPort: Bool { self.listens || self.path.isSimultaneous }
    /// How many SYNs we may send.
    var syns: Int { PunchPlan.syns(dials: self.dials, listens: self.listens, isDoor: self.isDoor) }

    /// Whether we have told our result.
    var isOver: Bool { self.success != nil || self.ownReason != nil }
    var isLearning: Bool { self.own == nil && !self.isOver }

    var peerReason: PunchReason? {
        if case .failure(let reason)? = self.peerResult { return reason }
        return nil
    }
}
