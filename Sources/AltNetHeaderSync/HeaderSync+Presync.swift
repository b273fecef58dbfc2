// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetHeaderChain
internal import AltNetObjects

extension HeaderSync {
    mutating func startPresync(
        _ link: LinkID, _ headers: [UInt8], run: ValidatedRun, now: MonotonicInstant, wallClock: WallClockTime
    ) -> [Directive] {
        guard run.rejection == nil else { return [] }
        let presync = HeaderPresync(
            anchor: self.chain.cursor(at: run.parent), minimumWork: self.threshold, key: self.randomness.bytes(16),
            now: wallClock)
        self.links[link]?.presync = presync
        let fresh = Array(headers.suffix(run.headers.count * BlockHeader.size))
        return self.onPresyncHeaders(link, fresh, now: now, wallClock: wallClock)
    }

    mutating func onPresyncHeaders(
        _ link: LinkID, _ headers: [UInt8], now: MonotonicInstant, wallClock: WallClockTime
    ) -> [Directive] {
        guard var presync = self.links[link]?.presync else { return [] }
        // Out of the dictionary while it changes, so that its buffers are not copied.
        self.links[link]?.presync = nil
        let steps = presync.onHeaders(headers, now: wallClock)
        self.links[link]?.presync = presync
        self.links[link]?.view.presyncHeight = presync.height
        self.noteBulk(link, headers: headers.count / BlockHeader.size, now: now)
        self.links[link]?.nextProbe = now
        var directives: [Directive] = [.viewChanged(link)]
        for step in steps {
            switch step {
            case .request:
                break  // The next probe asks with the locator of the pre-synchronisation.
            case .release(_, let released):
                let (rejection, outcome, accepted) = self.accept(
                    released, source: link, minimumWork: .zero, wallClock: wallClock)
                directives += accepted
                self.links[link]?.view.isLowWork = false
                if case .accepted(let last) = outcome { directives += self.show(link, last) }
                if let rejection { directives += self.reject(link, rejection, now: now) }
            case .finished:
                self.links[link]?.presync = nil
                self.links[link]?.view.presyncHeight = nil
            case .refuse(let refusal):
                self.links[link]?.presync = nil
                self.links[link]?.view.presyncHeight = nil
                self.endBulk(of: link, now: now)
                directives += self.refuse(link, refusal, now: now)
            }
        }
        return directives
    }

    /// What one link is still proving another one may have brought: then there is nothing left to prove.
    mutating func endMootPresync(of link: LinkID) -> [Directive] {
        guard let presync = self.links[link]?.presync, let last = self.chain.find(presync.hash),
            presync.height > presync.anchorHeight
        else { return [] }
        self.links[link]?.presync = nil
        self.links[link]?.view.presyncHeight = nil
        return self.show(link, last)
    }

    private mutating func refuse(
        _ link: LinkID, _ refusal: HeaderPresync.Refusal, now: MonotonicInstant
    ) -> [Directive] {
        switch refusal {
        case .invalid(let rejection):
            if case .notConnected = rejection.rule, rejection.position == 0 {
                // The peer's chain was reorganised meanwhile: begin again.
                self.links[link]?.nextProbe = now + self.configuration.behindProbeInterval
                return []
            }
            return self.reject(link, rejection, now: now)
        case .tooMany(let limit):
            return self.disconnect(
                link, .limitExceeded, "more than \(limit) headers, more than any valid chain has")
        case .commitmentMismatch(let height):
            return self.disconnect(
                link, .invalidHeaders, "another header at height \(height) than in the first download")
        }
    }
}
