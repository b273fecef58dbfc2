// SPDX-License-Identifier: MIT

internal import AltNetBase

/// When the latest headers of the best chain were proven to us, and by whom.
struct ProvenHeaders: Sendable {
    /// Two weeks of blocks: a link that is further behind has been so for longer than anybody asks.
    static let capacity: UInt32 = 2016

    struct Proof: Hashable, Sendable {
        let at: WallClockTime
        let by: String
    }

    private let startedAt: WallClockTime
    private var proofs: [UInt32: Proof] = [:]
    /// Of the newest header that is no longer remembered by itself.
    private var older: Proof?

    init(startedAt: WallClockTime) {
        self.startedAt = startedAt
    }

    /// These headers are now part of the best chain.
    mutating func note(heights: ClosedRange<UInt32>, by source: String, at time: WallClockTime) {
        let kept = max(heights.lowerBound, heights.upperBound - min(heights.upperBound, Self.capacity - 1))
        if kept > heights.lowerBound { self.older = Proof(at: time, by: source) }
        for height in kept...heights.upperBound { self.proofs[height] = Proof(at: time, by: source) }
        guard self.proofs.count > Int(Self.capacity) else { return }
        let limit = heights.upperBound - (Self.capacity - 1)
        self.older = self.proofs.filter { $0.key < limit }.max { $0.key < $1.key }?.value ?? self.older
        self.proofs = self.proofs.filter { $0.key >= limit }
    }

    /// What is known of a header. Of one that is not remembered: it was proven at the latest when the newest such one
    /// was, or it was in the store when we started.
    func proof(of height: UInt32) -> Proof {
        self.proofs[height] ?? self.older ?? Proof(at: self.startedAt, by: "the store")
    }
}
