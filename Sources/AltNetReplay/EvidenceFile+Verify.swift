// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin
internal import AltNetHeaderChain
public import AltNetWatchdog
internal import FoundationEssentials

extension EvidenceFile {
    /// What a file proves, in sentences.
    public struct Verification: Hashable, Sendable, Codable {
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
        var result = Verification(proven: [], claimed: [], notes: [])
        let evidence = self.incident.evidence
        if let first = evidence.headers.first {
            let chain = try self.check(evidence.headers, after: nil)
            result.proven.append(
                "\(evidence.headers.count) headers from height \(first.height) to \(chain.height) link, and each carries the "
                    + "proof of work that its target demands")
            try self.checkOtherBranch(&result)
            self.noteRetargets(first.height, chain.height, &result)
        } else {
            guard evidence.otherBranch.isEmpty else {
                throw EvidenceError(.branch, "there is another branch, and no chain that it leaves")
            }
            result.notes.append("there are no headers: nothing is proven by work")
        }
        try self.checkClaim(&result)
        try self.checkStatements(&result)
        result.claimed.insert(
            "\(self.exportedBy) wrote this file on \(Self.day(self.exportedAt)): \(self.incident.explanation)", at: 0)
        return result
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
            "another branch leaves it after height \(evidence.headers[fork].height): "
                + "\(evidence.otherBranch.count) headers up to height \(end.height), valid too")
    }

    private func noteRetargets(_ first: UInt32, _ last: UInt32, _ result: inout Verification) {
        let interval = Network.retargetInterval
        let next = (first / interval + 1) * interval
        guard !self.network.neverRetargets, !first.isMultiple(of: interval), last >= next else { return }
        result.notes.append(
            "the target changes at height \(next); it was only checked to stay within a factor of four, because the "
                + "period's first header is not in the file")
    }

    // MARK: - The claim

    private func checkClaim(_ result: inout Verification) throws(EvidenceError) {
        switch self.incident.kind {
        case .linkBehind, .nodeBehind: try self.checkBehind(&result)
        case .withheldBlock:
            guard let behind = self.incident.behind else { return }
            try self.checkFirstMissing(behind)
            result.proven.append(
                "block \(behind.firstMissing.height), \(behind.firstMissing.hash), exists: its header is among them")
        case .staleTip, .slowBlocks, .competingBranches, .deepReorganisation, .invalidBranch, .concentration,
            .clockSkew, .implausibleTime, .lateBlocks, .nodeUnavailable:
            break
        }
    }

    private func checkFirstMissing(_ behind: Behind) throws(EvidenceError) {
        let headers = self.incident.evidence.headers
        guard let missing = headers.first(where: { $0.header.hash == behind.firstMissing.hash }) else {
            throw EvidenceError(.claim, "the missing block \(behind.firstMissing.hash) is not among the headers")
        }
        guard missing.height == behind.firstMissing.height else {
            throw EvidenceError(
                .claim, "the missing block stands at height \(missing.height), not \(behind.firstMissing.height)")
        }
        guard missing.provenBy == behind.provenBy, missing.provenAt == behind.provenAt else {
            throw EvidenceError(.claim, "who brought the missing header, and when, is told in two ways")
        }
    }

    private func checkBehind(_ result: inout Verification) throws(EvidenceError) {
        guard let behind = self.incident.behind, let best = behind.best, let shown = behind.shown else {
            throw EvidenceError(.claim, "it is not said what is missing")
        }
        try self.checkFirstMissing(behind)
        let headers = self.incident.evidence.headers
        let branch = self.incident.evidence.otherBranch
        let subject = self.incident.subject
        guard let first = headers.first, let last = headers.last else {
            throw EvidenceError(.claim, "there are no headers that prove it")
        }
        let proven = Self.work(headers.dropFirst())
        if last.header.hash != best.hash {
            guard last.height < best.height, headers.count == Evidence.maximumHeaders else {
                throw EvidenceError(.claim, "the headers do not end at block \(best.height), \(best.hash)")
            }
            result.notes.append(
                "the file has the first \(headers.count) headers only; those up to height \(best.height) are claimed")
        }
        guard first.header.hash == shown.hash || branch.last?.header.hash == shown.hash else {
            result.notes.append(
                "the block that \(subject) showed, \(shown.hash), is not in the file: that these headers are more than it "
                    + "has rests on the daemon's word")
            return
        }
        let end = branch.last?.height ?? first.height
        guard shown.height == end else {
            throw EvidenceError(.claim, "block \(shown.hash) stands at height \(end), not \(shown.height)")
        }
        let followed = Self.work(branch[...])
        guard proven > followed else {
            throw EvidenceError(.claim, "the headers have no more work than what \(subject) showed")
        }
        guard behind.firstMissing.height == first.height + 1 else {
            throw EvidenceError(.claim, "the first missing block does not follow the last common one")
        }
        // Once an incident is over, its number is the most that was missing, and the headers are the last ones.
        guard behind.blocks == best.height - first.height || self.incident.closed != nil else {
            throw EvidenceError(
                .claim, "\(best.height - first.height) blocks are missing, not \(behind.blocks)")
        }
        guard last.header.hash != best.hash || best.work &+ followed == shown.work &+ proven else {
            throw EvidenceError(
                .claim, "the work of the best block and of the one shown does not agree with the headers")
        }
        result.proven.append(
            "the chain to block \(last.height), \(last.header.hash), has more work than the one to block "
                + "\(shown.height), \(shown.hash): \(last.height - first.height) blocks after the last common one, the "
                + "first of them \(behind.firstMissing.hash)")
    }

    private static func work(_ headers: ArraySlice<Evidence.Header>) -> Work {
        headers.reduce(Work.zero) { $0.addingSaturating($1.header.bits.work) }
    }

    // MARK: - Statements

    private func checkStatements(_ result: inout Verification) throws(EvidenceError) {
        let evidence = self.incident.evidence
        var heights: [BlockHash: UInt32] = [:]
        for header in evidence.headers + evidence.otherBranch { heights[header.header.hash] = header.height }
        for statement in evidence.statements {
            if let point = statement.point, let height = heights[point.hash], height != point.height {
                throw EvidenceError(
                    .statement, "\(statement.who) is said to have shown block \(point.height), which is block \(height)"
                )
            }
            result.claimed.append("\(statement.who) \(statement.what) on \(Self.day(statement.at))")
        }
        if let behind = self.incident.behind, let shown = behind.shown,
            let statement = evidence.statements.first(where: { $0.who == self.incident.subject && $0.point != nil })
        {
            guard statement.point == shown else {
                throw EvidenceError(.statement, "what \(self.incident.subject) showed is told in two ways")
            }
        }
        let bringers = Dictionary(grouping: evidence.headers.dropFirst(), by: \.provenBy).sorted { $0.key < $1.key }
        for (bringer, headers) in bringers {
            guard let first = headers.first else { continue }
            result.claimed.append(
                "\(bringer) brought \(headers.count) of the headers, block \(first.height) on \(Self.day(first.provenAt))"
            )
        }
    }
}

extension EvidenceFile {
    /// A moment as people write it, in UTC.
    static func day(_ time: WallClockTime) -> String {
        Date(timeIntervalSince1970: Double(time.milliseconds) / 1000).formatted(.iso8601)
    }
}
