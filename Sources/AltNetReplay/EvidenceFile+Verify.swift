// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin
internal import AltNetHeaderChain
public import AltNetWatchdog
internal import FoundationEssentials

extension EvidenceFile {
    /// What a file proves, in sentences.
    public struct Verification: Hashable, Sendable, Codable {
        /// Whether headers that are dear to make show what the incident claims. Who showed what, and when, rests on the
        /// daemon's word even then.
        public var proves: Bool
        /// One sentence: what is proven, or that nothing is.
        public var summary: String
        /// What anybody can check with the headers alone.
        public var proven: [String]
        /// What the daemon that wrote the file says: who showed what when.
        public var claimed: [String]
        /// What could not be checked, and why.
        public var notes: [String]
    }

    /// Checks the headers by all consensus rules that they allow to check, and that the incident's claim follows.
    ///
    /// - Throws: ``EvidenceError`` with the first thing that is wrong.
    public func verify() throws(EvidenceError) -> Verification {
        var result = Verification(proves: false, summary: "", proven: [], claimed: [], notes: [])
        let evidence = self.incident.evidence
        if let first = evidence.headers.first {
            let chain = try self.check(evidence.headers, after: nil)
            result.proven.append(
                "\(evidence.headers.count) headers, from \(first.header.hash) to \(chain.hash), link, and each carries the "
                    + "proof of work that its target demands")
            try self.checkOtherBranch(&result)
            self.noteRetargets(first.height, chain.height, &result)
            // Only the first block of all has a height that its hash proves.
            if first.height > 0 {
                result.claimed.append("it places these headers at heights \(first.height) to \(chain.height)")
            }
        } else {
            guard evidence.otherBranch.isEmpty else {
                throw EvidenceError(.branch, "there is another branch, and no chain that it leaves")
            }
            result.notes.append("there are no headers: nothing is proven by work")
        }
        let shown = try self.checkClaim(&result)
        self.conclude(shown, &result)
        try self.checkStatements(&result)
        result.claimed.insert(
            "\(self.exportedBy) wrote this file on \(Self.day(self.exportedAt)): \(self.incident.explanation)", at: 0)
        return result
    }

    /// Says what the headers prove, and what it would cost to forge them.
    ///
    /// - Parameter shown: what of the claim the headers show, if anything.
    private func conclude(_ shown: String?, _ result: inout Verification) {
        let evidence = self.incident.evidence
        guard let price = HeaderPrice(of: evidence.headers + evidence.otherBranch, on: self.network) else {
            result.summary = "CONSISTENT: nothing in this file is proven by headers"
            return
        }
        result.proven.append(price.description)
        if let reason = price.cheapness { result.notes.append(reason) }
        switch (shown, price.cheapness) {
        case (let shown?, nil):
            result.proves = true
            result.summary = "PROVEN: \(shown)"
        case (let shown?, let reason?):
            result.summary = "CONSISTENT: the headers say that \(shown), but \(reason)"
        case (nil, _):
            result.summary = "CONSISTENT: the headers are valid, and prove nothing of what is claimed"
        }
    }

    // MARK: - Headers

    /// Walks the header rules over consecutive headers.
    ///
    /// - Parameter start: headers before the first one, on which it builds; `nil` to trust the first one's place.
    private func check(
        _ headers: [Evidence.Header], after start: [Evidence.Header]?
    ) throws(EvidenceError) -> HeaderCursor {
        let all = (start ?? []) + headers
        guard let first = all.first else { throw EvidenceError(.header, "there are no headers") }
        let hash = first.header.hash
        guard let target = first.header.bits.target, target <= self.network.proofOfWorkLimitTarget,
            hash.number <= target
        else { throw EvidenceError(.header, "the header at height \(first.height) has no proof of work") }
        guard first.height > 0 || hash == self.network.chainHash else {
            throw EvidenceError(.header, "the header at height 0 is not the first one of \(self.network.rawValue)")
        }
        var cursor =
            first.height == 0
            ? HeaderCursor(genesisOf: self.network)
            : HeaderCursor(network: self.network, trusted: first.header, height: first.height)
        for entry in all.dropFirst() {
            guard entry.height == cursor.height &+ 1 else {
                throw EvidenceError(
                    .height, "a header says height \(entry.height) where \(cursor.height &+ 1) follows")
            }
            let rejection = entry.header.bytes.withUnsafeBytes {
                cursor.advance(over: $0, now: self.exportedAt) { _ in }
            }
            if let rejection {
                throw EvidenceError(
                    .header, "the header at height \(entry.height) is invalid: \(rejection.rule.description)")
            }
        }
        return cursor
    }

    private func checkOtherBranch(_ result: inout Verification) throws(EvidenceError) {
        let evidence = self.incident.evidence
        guard let first = evidence.otherBranch.first else { return }
        guard let fork = evidence.headers.firstIndex(where: { $0.header.hash == first.header.previous }) else {
            throw EvidenceError(.branch, "the other branch does not begin on one of the headers")
        }
        let end = try self.check(evidence.otherBranch, after: Array(evidence.headers[...fork]))
        result.proven.append(
            "another branch leaves it after \(evidence.headers[fork].header.hash): "
                + "\(evidence.otherBranch.count) headers up to \(end.hash), valid too")
    }

    private func noteRetargets(_ first: UInt32, _ last: UInt32, _ result: inout Verification) {
        let interval = Network.retargetInterval
        let next = (first / interval + 1) * interval
        guard !self.network.neverRetargets, !first.isMultiple(of: interval), last >= next else { return }
        result.notes.append(
            "by the daemon's heights the target changes at \(next); it was only checked to stay within a factor of four, "
                + "because the period's first header is not in the file")
    }
}

extension EvidenceFile {
    /// A moment as people write it, in UTC.
    static func day(_ time: WallClockTime) -> String {
        Date(timeIntervalSince1970: Double(time.milliseconds) / 1000).formatted(.iso8601)
    }
}
