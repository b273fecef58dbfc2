// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetHeaderChain
internal import AltNetObjects

/// What a link is asked, and what its silence means.
extension HeaderSync {
    mutating func probe(_ link: LinkID, now: MonotonicInstant) -> [Directive] {
        var directives = self.endMootPresync(of: link)
        guard let state = self.links[link] else { return directives }
        let made: Locator
        let locator: [BlockHash]
        var height = self.chain.tipHeight
        if let presync = state.presync {
            made = .presync
            locator = presync.locator
            height = presync.height
        } else if let shown = state.view.tip, state.resume == nil, state.isSettled || shown == self.chain.tip {
            made = .follow
            let below = self.chain.locator(below: shown)
            locator = shown == .start ? below : [self.chain.hash(of: shown)] + below
            height = self.chain.height(of: shown)
        } else {
            // A link that is on a branch goes on from there, unless it has left the branch for the best chain.
            let (resume, shown) = (state.resume, state.view.tip == state.resume ? nil : state.view.tip)
            let branches = [resume, shown].compactMap { $0 }.filter { !self.chain.isInBestChain($0) }
            let ladder: [BlockHash]
            (made, ladder) = self.ladder(state)
            locator = branches.map(self.chain.hash) + ladder
        }
        let id = self.nextRequest
        self.nextRequest += 1
        self.links[link]?.request = InFlight(id: id, deadline: now + self.configuration.requestTimeout, locator: made)
        directives.append(
            .request(
                link, id: id,
                .headers(locator: locator, stop: .zero, heightHint: height, limit: ObjectRequest.maximumHeaders)))
        return directives
    }

    private func ladder(_ state: Link) -> (Locator, [BlockHash]) {
        let from: HeaderNode
        let above: HeaderNode
        switch state.ladder {
        case .plain:
            from = self.chain.tip
            above = (state.resume ?? state.view.tip).map(self.chain.fork) ?? .start
        case .shifted(let plainFrom, let plainAbove):
            from = plainFrom
            above = plainAbove
        case .start:
            from = .start
            above = .start
        }
        let isShifted = state.ladder != .plain
        return (
            .ladder(state.ladder, from: from, above: above),
            self.chain.locator(below: from, above: above, isShifted: isShifted)
        )
    }

    /// The link has nothing after the locator.
    mutating func onNothingMore(_ link: LinkID, request: InFlight, now: MonotonicInstant) -> [Directive] {
        self.endBulk(of: link, now: now)
        guard var state = self.links[link] else { return [] }
        let before = state.view
        state.ladder = .plain
        state.resume = nil
        switch request.locator {
        case .presync:
            // Its whole chain has too little work.
            state.presync = nil
            state.view.presyncHeight = nil
            state.view.isLowWork = true
        case .follow:
            break
        case .ladder(_, from: .start, above: _):
            // The ladder had a single rung, the start itself.
            state.view.tip = state.view.tip ?? .start
        case .ladder(.plain, let from, let above):
            state.ladder = .shifted(from: from, above: above)
        case .ladder(.shifted, from: _, above: _):
            // It stands where we know it to be; or on the start, if nothing happened between the two answers.
            if state.view.tip == nil { state.ladder = .start }
        case .ladder(.start, from: _, above: _):
            break
        }
        state.isSettled = state.ladder == .plain
        state.nextProbe = state.isSettled ? now + self.interval(state.view) : now
        self.links[link] = state
        return state.view == before ? [] : [.viewChanged(link)]
    }

    func interval(_ view: View) -> Duration {
        view.tip == self.chain.tip || view.isLowWork
            ? self.configuration.idleProbeInterval : self.configuration.behindProbeInterval
    }
}
