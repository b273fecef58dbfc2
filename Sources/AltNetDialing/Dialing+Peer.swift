// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetPeerRecords

extension Dialing {
    /// Somebody who waits.
    struct Request: Sendable {
        let id: RequestID
        let policy: DialPolicy
        let ignoresBackOff: Bool
        let deadline: MonotonicInstant
        /// When the next attempt on its behalf may start. Attempts that others began and its policy allows count as its
        /// own.
        var wantsNextAt: MonotonicInstant
        /// Addresses that failed while it waited and that its policy allowed.
        var tried: Set<Multiaddress> = []
    }

    /// An attempt under way.
    struct Attempt: Sendable {
        let address: Multiaddress
        let startedAt: MonotonicInstant
        let deadline: MonotonicInstant
    }

    /// All who wait for one peer, and what is done for them.
    struct Dial: Sendable {
        let peer: PeerID
        /// In the order in which they came.
        var requests: [Request] = []
        private(set) var candidates: [Multiaddress: DialCandidate] = [:]
        var attempts: [AttemptID: Attempt] = [:]
        /// When something is due without an event: a time-out, or the next attempt.
        var deadline: MonotonicInstant?
        /// Computed when first asked for. Most requests have one policy.
        private var plans: [DialPolicy: [Multiaddress]] = [:]

        init(peer: PeerID) {
            self.peer = peer
        }

        func allows(_ request: Request, _ attempt: Attempt) -> Bool {
            self.candidates[attempt.address].map { request.policy.allows($0) } ?? false
        }

        /// When the next attempt for somebody with that policy may start, as far as attempts under way matter to it.
        func nextStart(for policy: DialPolicy, stagger: Duration) -> MonotonicInstant? {
            self.attempts.values
                .filter { attempt in self.candidates[attempt.address].map { policy.allows($0) } ?? false }
                .map { $0.startedAt + stagger }.max()
        }

        // MARK: - Addresses

        /// Takes addresses in. Says how many were left out.
        mutating func add(_ newcomers: [DialCandidate]) -> UInt64 {
            guard !newcomers.isEmpty else { return 0 }
            self.plans = [:]
            return newcomers.reduce(0) { self.add($1) ? $0 : $0 + 1 }
        }

        /// The store knows these addresses and no others: who stands behind those that it left out is what callers say.
        mutating func replaceStored(_ newcomers: [DialCandidate]) -> UInt64 {
            self.plans = [:]
            let kept = Set(newcomers.map { $0.without(self.peer).address })
            for address in Array(self.candidates.keys) where !kept.contains(address) {
                self.candidates[address] = self.candidates[address]?.withoutStored
            }
            return self.add(newcomers)
        }

        private mutating func add(_ newcomer: DialCandidate) -> Bool {
            let newcomer = newcomer.without(self.peer)
            let address = newcomer.address
            // What still ends with an id is the address of another peer.
            guard newcomer.namedPeer == nil else { return false }
            if let known = self.candidates[address] {
                self.candidates[address] = known.merged(with: newcomer)
                return true
            }
            if self.candidates.count >= Dialing.maximumAddresses {
                guard let least = self.leastWanted(), least.rank < Self.rank(newcomer, isUsedUp: false) else {
                    return false
                }
                self.candidates[least.address] = nil
            }
            self.candidates[address] = newcomer
            return true
        }

        /// Who makes room: what all have tried in vain before what nobody has tried, hearsay before what is certain.
        private func leastWanted() -> (address: Multiaddress, rank: Int)? {
            let busy = Set(self.attempts.values.map(\.address))
            return self.candidates.values.filter { !busy.contains($0.address) }
                .map { candidate in
                    let isUsedUp = self.requests.allSatisfy {
                        $0.tried.contains(candidate.address) || !$0.policy.allows(candidate)
                    }
                    return (candidate.address, Self.rank(candidate, isUsedUp: isUsedUp))
                }
                .min { left, right in
                    guard left.1 == right.1 else { return left.1 < right.1 }
                    return left.0.bytes.lexicographicallyPrecedes(right.0.bytes)
                }
        }

        private static func rank(_ candidate: DialCandidate, isUsedUp: Bool) -> Int {
            isUsedUp ? -1 : candidate.standing
        }

        mutating func plan(_ policy: DialPolicy) -> [Multiaddress] {
            if let plan = self.plans[policy] { return plan }
            let plan = policy.plan(Array(self.candidates.values)).map(\.address)
            self.plans[policy] = plan
            return plan
        }
    }
}
