// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetWatchdog

extension EvidenceFile {
    // MARK: - The claim

    /// Checks that the claim follows from the headers, as far as it says anything about them.
    ///
    /// - Returns: what of the claim the headers show; `nil` for nothing.
    func checkClaim(_ result: inout Verification) throws(EvidenceError) -> String? {
        self.listNumbers(&result)
        switch self.incident.kind {
        case .linkBehind, .nodeBehind: return try self.checkBehind(&result)
        case .withheldBlock:
            guard let behind = self.incident.behind else { return nil }
            try self.checkFirstMissing(behind)
            result.proven.append("block \(behind.firstMissing.hash) exists: its header is among them")
            result.claimed.append("the daemon places it at height \(behind.firstMissing.height)")
            return "the block \(behind.firstMissing.hash), which is said to be withheld, exists"
        case .competingBranches, .deepReorganisation:
            let evidence = self.incident.evidence
            guard let first = evidence.otherBranch.first,
                let fork = evidence.headers.firstIndex(where: { $0.header.hash == first.header.previous })
            else { return nil }
            return
                "two branches exist, of \(evidence.headers.count - fork - 1) and \(evidence.otherBranch.count) blocks "
                + "after the last common one"
        case .staleTip, .slowBlocks, .invalidBranch, .concentration, .clockSkew, .implausibleTime, .lateBlocks,
            .nodeUnavailable:
            return nil
        }
    }

    /// Whatever a number says beyond the headers is the daemon's word.
    private func listNumbers(_ result: inout Verification) {
        for measure in self.incident.measures {
            result.claimed.append("it gives \(measure.name) as \(measure.value) (\(measure.unit))")
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

    private func checkBehind(_ result: inout Verification) throws(EvidenceError) -> String? {
        guard let behind = self.incident.behind, let best = behind.best, let shown = behind.shown else {
            throw EvidenceError(.claim, "it is not said what is missing")
        }
        try self.checkFirstMissing(behind)
        guard self.incident.measures.allSatisfy({ $0.name != "missing-blocks" || $0.value == Double(behind.blocks) })
        else {
            throw EvidenceError(.claim, "how many blocks are missing is told in two ways")
        }
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
            result.claimed.append(
                "it says that \(behind.blocks) blocks are missing, up to \(best.hash); the headers show the first "
                    + "\(headers.count - 1) of them")
        }
        guard first.header.hash == shown.hash || branch.last?.header.hash == shown.hash else {
            result.notes.append(
                "the block that \(subject) showed, \(shown.hash), is not in the file: that these headers are more than it "
                    + "has, and that \(behind.blocks) blocks are missing, rests on the daemon's word")
            return nil
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
        guard behind.blocks == best.height - first.height else {
            throw EvidenceError(
                .claim, "\(best.height - first.height) blocks are missing, not \(behind.blocks)")
        }
        guard last.header.hash != best.hash || best.work &+ followed == shown.work &+ proven else {
            throw EvidenceError(
                .claim, "the work of the best block and of the one shown does not agree with the headers")
        }
        result.proven.append(
            "the chain to \(last.header.hash) has more work than the one to \(shown.hash): "
                + "\(last.height - first.height) blocks after the last common one, the first of them "
                + "\(behind.firstMissing.hash)")
        return "blocks exist that have more work than \(shown.hash), which \(subject) is said to have shown: "
            + "\(last.height - first.height) after the last common one"
    }

    private static func work(_ headers: ArraySlice<Evidence.Header>) -> Work {
        headers.reduce(Work.zero) { $0.addingSaturating($1.header.bits.work) }
    }

    // MARK: - Statements

    func checkStatements(_ result: inout Verification) throws(EvidenceError) {
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
