// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetHeaderChain
internal import AltNetObjects

extension HeaderSync {
    /// Headers from a link, asked for or announced.
    mutating func onHeaders(
        _ link: LinkID, _ headers: [UInt8], isAnswer: Bool, now: MonotonicInstant, wallClock: WallClockTime
    ) -> [Directive] {
        guard headers.count.isMultiple(of: BlockHeader.size),
            headers.count <= Int(ObjectRequest.maximumHeaders) * BlockHeader.size
        else {
            return self.disconnect(link, .protocolViolation, "an answer of \(headers.count) bytes")
        }
        if isAnswer { self.links[link]?.ladder = .plain }
        if self.links[link]?.presync != nil {
            return self.onPresyncHeaders(link, headers, now: now, wallClock: wallClock)
        }
        let count = self.chain.count
        let shownBefore = self.links[link]?.view.tip
        let (rejection, outcome, accepted) = self.accept(
            headers, source: link, minimumWork: self.threshold, wallClock: wallClock)
        var directives = accepted
        switch outcome {
        case .unconnected:
            return directives + self.disconnect(link, .invalidHeaders, "headers that build on nothing we asked after")
        case .lowWork(let run):
            directives += self.show(link, run.parent)
            directives += self.startPresync(link, headers, run: run, now: now, wallClock: wallClock)
        case .accepted(let last):
            self.links[link]?.view.isLowWork = false
            directives += self.show(link, last)
            let shown = self.links[link]?.view.tip
            // An answer that brought news may have been cut at the medium's limit: only nothing means the end. So may
            // one on the way to news, which begins far below them.
            let resumed = self.links[link]?.resume.map(self.chain.height)
            let isNews = self.chain.count > count || shown != shownBefore
            let isProgress = isNews || last != shown && self.chain.height(of: last) > resumed ?? 0
            if isAnswer {
                self.links[link]?.resume = isProgress && last != shown ? last : nil
                self.links[link]?.isSettled = !isProgress
                if isNews {
                    self.noteBulk(link, headers: headers.count / BlockHeader.size, now: now)
                } else {
                    self.endBulk(of: link, now: now)
                }
            }
            let pause = self.interval(self.links[link]?.view ?? View())
            self.links[link]?.nextProbe = isAnswer && isProgress ? now : now + pause
        }
        if let rejection { directives += self.reject(link, rejection, now: now) }
        return directives
    }

    mutating func reject(_ link: LinkID, _ rejection: HeaderRejection, now: MonotonicInstant) -> [Directive] {
        self.endBulk(of: link, now: now)
        if case .timeTooNew = rejection.rule {
            // Waiting may mend it, and our own clock may be wrong: no reason to lose the link.
            self.links[link]?.nextProbe = now + self.configuration.behindProbeInterval
            return []
        }
        return self.disconnect(link, .invalidHeaders, rejection.description)
    }

    enum Outcome {
        case accepted(last: HeaderNode)
        case lowWork(ValidatedRun)
        case unconnected
    }

    /// Judges headers and keeps them if their chain has enough work.
    mutating func accept(
        _ headers: [UInt8], source: LinkID?, minimumWork: Work, wallClock: WallClockTime
    ) -> (rejection: HeaderRejection?, outcome: Outcome, directives: [Directive]) {
        let firstHeader = BlockHeader(bytes: headers.prefix(BlockHeader.size))
        // The start's own predecessor is not in the tree; a file of headers begins with the start all the same.
        guard let root = firstHeader.flatMap({ self.chain.find($0.previous) ?? self.chain.find($0.hash) }) else {
            let found = firstHeader?.previous ?? .zero
            let rejection = HeaderRejection(
                height: 0, position: 0, rule: .notConnected(expected: self.chain.hash(of: self.chain.tip), found: found)
            )
            return (source == nil ? rejection : nil, .unconnected, [])
        }
        let (parent, skipped) = self.skipKnown(headers, after: root)
        guard skipped < headers.count else { return (nil, .accepted(last: parent), []) }
        let run = headers.withUnsafeBytes { bytes in
            ValidatedRun(
                UnsafeRawBufferPointer(rebasing: bytes[skipped...]), on: parent, of: self.chain, now: wallClock)
        }
        let rejection = run.rejection.map { rejection in
            HeaderRejection(
                height: rejection.height, position: rejection.position + skipped / BlockHeader.size,
                rule: rejection.rule)
        }
        guard !run.headers.isEmpty else { return (rejection, .accepted(last: parent), []) }
        guard run.work >= minimumWork else { return (rejection, .lowWork(run), []) }
        let (nodes, change) = self.chain.insert(run)
        let end = skipped + run.headers.count * BlockHeader.size
        let stored = skipped == 0 && end == headers.count ? headers : Array(headers[skipped..<end])
        var directives: [Directive] = [.store(nodes: nodes, headers: stored, source: source)]
        if change != .unchanged { directives.append(.tipChanged(change, source: source)) }
        return (rejection, .accepted(last: HeaderNode(nodes.upperBound - 1)), directives)
    }

    /// Walks over the headers at the front that the tree has already.
    private func skipKnown(_ headers: [UInt8], after root: HeaderNode) -> (parent: HeaderNode, bytes: Int) {
        var parent = root
        var offset = 0
        headers.withUnsafeBytes { bytes in
            while offset + BlockHeader.size <= bytes.count {
                let header = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + BlockHeader.size])
                guard let node = self.chain.find(DoubleSHA256.hash(header)) else { return }
                parent = node
                offset += BlockHeader.size
            }
        }
        return (parent, offset)
    }

    mutating func show(_ link: LinkID, _ node: HeaderNode) -> [Directive] {
        guard let tip = self.links[link]?.view.tip else {
            self.links[link]?.view.tip = node
            return [.viewChanged(link)]
        }
        // An answer may begin far below what the link has shown already: only more work is news.
        guard self.chain.work(of: node) > self.chain.work(of: tip) else { return [] }
        self.links[link]?.view.tip = node
        return [.viewChanged(link)]
    }
}
