// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetConfiguration
internal import AltNetControl
internal import AltNetDriverHost
internal import AltNetDriverProtocol
internal import AltNetHeaderChain
internal import AltNetHeaderSync
internal import AltNetNode
internal import AltNetObjects
internal import AltNetWatchdog
internal import Logging

/// What is being done about incidents.
struct Repair {
    /// Gives headers and blocks to the node while it runs.
    var feeding: Task<Void, Never>?
    /// The incident that the feeding is for; `nil` when it is the kernel's daily bread.
    var incident: Int64?
    /// Feeding does not begin again before this moment: what was given takes effect first, and what failed would fail
    /// again at once.
    var pausedUntil = MonotonicInstant.zero
    /// Why feeding failed the last time, by action: the same reason is not written down again.
    var failures: [Policy.Action: String] = [:]

    static let pauseAfterSuccess: Duration = .seconds(1)
    static let pauseAfterFailure: Duration = .seconds(15)

    /// The most headers that are given to the node at once. Each is a call; what is above waits for the next turn.
    static let maximumHeaders: UInt32 = 2000
}

extension Orchestrator {
    /// Carries out the policy for an incident.
    ///
    /// - Parameter news: that it opened, or that it became critical; `nil` for any smaller change.
    func act(on incident: Incident, _ news: ControlEvent.Change?) {
        for step in self.parts.policy.policy.steps(for: incident) {
            switch step.action {
            case .alert:
                if let news { self.tell(incident, news) }
            case .feedHeaders, .feedBlocks:
                // More may be missing than when it opened.
                if !step.isDryRun { self.feed(for: incident) } else if news != nil { self.plan(step.action, incident) }
            case .openLinks, .addSplicedPeer, .dropPeers:
                guard news != nil else { continue }
                if step.isDryRun { self.plan(step.action, incident) } else { self.perform(step.action, incident) }
            }
        }
    }

    /// Writes down what would have been done.
    private func plan(_ action: Policy.Action, _ incident: Incident) {
        let detail: String =
            switch action {
            case .feedHeaders, .feedBlocks:
                "would give the node what it misses: \(self.nodeMissing?.count ?? 0) blocks"
            case .addSplicedPeer: "would connect the node to a spliced peer"
            case .dropPeers:
                "would disconnect \(self.withholdingPeers(incident, spliced: []).count) of the node's peers"
            case .openLinks, .alert: "would be done"
            }
        self.note(action, .planned, "\(detail); policy.dry_run is on", incident.id)
    }

    private func perform(_ action: Policy.Action, _ incident: Incident) {
        Task {
            switch action {
            case .openLinks: await self.openSpareLinks(incident.id)
            case .addSplicedPeer: await self.addSplicedPeer(incident.id)
            case .dropPeers: await self.dropPeers(incident)
            case .feedHeaders, .feedBlocks, .alert: break
            }
        }
    }

    func note(_ action: Policy.Action, _ outcome: ActionRecord.Outcome, _ detail: String, _ incident: Int64) {
        self.logger.notice(
            "action",
            metadata: [
                "incident": "\(incident)", "action": "\(action.rawValue)", "outcome": "\(outcome.rawValue)",
                "detail": "\(detail)",
            ])
        self.carryOut(
            self.watchdog.note(
                ActionRecord(at: .system, action: action.rawValue, outcome: outcome, detail: detail), on: incident))
    }

    // MARK: - Links

    private func openSpareLinks(_ incident: Int64) async {
        let spare = self.parts.policy.spareLinks
        guard !spare.isEmpty else { return }
        var opened: [String] = []
        for link in spare where self.driverStates[link.driver] != nil {
            guard
                !self.links.values.contains(where: { $0.driver == link.driver && $0.description.target == link.target })
            else { continue }
            await self.host?.send(.openTarget(link.target), to: link.driver)
            opened.append("\(link.driver) \(link.target)")
        }
        for link in spare where self.driverStates[link.driver] == nil {
            self.note(
                .openLinks, .failed, "\(link.target): no driver named \(link.driver) is attached", incident)
        }
        guard !opened.isEmpty else { return }
        self.note(.openLinks, .done, "connecting to \(opened.joined(separator: ", "))", incident)
    }

    // MARK: - The node's peers

    private func addSplicedPeer(_ incident: Int64) async {
        guard let node = self.parts.node, let splicedPeers = self.parts.splicedPeers else { return }
        guard let address = await splicedPeers().first else {
            return self.note(.addSplicedPeer, .failed, "no spliced port has a link at the moment", incident)
        }
        do throws(NodeError) {
            try await node.perform(.addPeer(address), because: "incident \(incident)")
            self.note(.addSplicedPeer, .done, "the node connects to \(address)", incident)
        } catch {
            self.note(.addSplicedPeer, .failed, "\(error)", incident)
        }
    }

    /// The node's outbound peers that have not shown it what is missing. Those that connected to it do it no harm: a
    /// node trusts its outbound peers for news. Peers over our own splices stay, and so does one of the others: a node
    /// that is merely stuck seems to have none but bad peers.
    private func withholdingPeers(_ incident: Incident, spliced: [String]) -> [NodePeer] {
        guard incident.behind != nil, let first = self.nodeMissing?.firstHeight else { return [] }
        let outbound = (self.node.state?.peers ?? []).filter { !$0.isInbound && !spliced.contains($0.address) }
        let bad = outbound.filter { ($0.syncedHeaders ?? first) < first }
        return bad.count == outbound.count ? Array(bad.dropLast()) : bad
    }

    private func dropPeers(_ incident: Incident) async {
        guard let node = self.parts.node else { return }
        let peers = self.withholdingPeers(incident, spliced: await self.parts.splicedPeers?() ?? [])
        guard !peers.isEmpty else { return }
        var dropped = 0
        var failure: NodeError?
        for peer in peers {
            do throws(NodeError) {
                try await node.perform(.disconnectPeer(peer.address), because: "incident \(incident.id)")
                dropped += 1
            } catch {
                // One that has gone by itself keeps none of the others.
                failure = error
            }
        }
        if let failure { self.note(.dropPeers, .failed, "\(failure)", incident.id) }
        guard dropped > 0 else { return }
        self.note(
            .dropPeers, .done, "disconnected \(dropped) outbound peers that had not shown the missing blocks",
            incident.id)
    }

    // MARK: - Headers and blocks

    /// Starts to give the node what it misses for an incident, unless that is under way.
    private func feed(for incident: Incident) {
        self.feed(self.parts.policy.policy.table[incident.kind] ?? [], incident: incident.id)
    }

    /// Gives a node without peers of its own every block: what validates in this process has no other source.
    func feedKernel() {
        guard self.parts.nodeSettings.kind == .kernel else { return }
        self.feed([.feedBlocks], incident: nil)
    }

    private func feed(_ actions: [Policy.Action], incident: Int64?) {
        guard self.repair.feeding == nil, self.repair.pausedUntil <= .system, let node = self.parts.node,
            let missing = self.nodeMissing, missing.count > 0
        else { return }
        if self.repair.incident != incident { self.repair.failures = [:] }
        self.repair.incident = incident
        self.repair.feeding = Task {
            var failure: String?
            if actions.contains(.feedHeaders) { failure = await self.feedHeaders(to: node) }
            if actions.contains(.feedBlocks) { failure = await self.feedBlocks(to: node) ?? failure }
            await self.endFeeding(failure)
        }
    }

    /// Feeding has come to its end; while there is reason for it, it begins again later.
    private func endFeeding(_ failure: String?) async {
        self.repair.feeding = nil
        if failure == nil { self.repair.failures = [:] }
        let pause = failure == nil ? Repair.pauseAfterSuccess : Repair.pauseAfterFailure
        self.repair.pausedUntil = .system + pause
        do { try await Task.sleep(for: pause) } catch { return }
        self.feedKernel()
        guard let incident = self.watchdog.open.first(where: { $0.id == self.repair.incident }) else { return }
        self.act(on: incident, nil)
    }

    /// Why the node is changed, for its audit log.
    private var feedingReason: String {
        self.repair.incident.map { "incident \($0)" } ?? "the kernel has no other source"
    }

    private func noteFeeding(_ action: Policy.Action, _ outcome: ActionRecord.Outcome, _ detail: String) {
        if let incident = self.repair.incident { return self.note(action, outcome, detail, incident) }
        self.logger.log(
            level: outcome == .failed ? .warning : .debug, "kernel fed", metadata: ["detail": "\(detail)"])
    }

    private func noteFailure(_ action: Policy.Action, _ failure: String) -> String {
        if self.repair.failures.updateValue(failure, forKey: action) != failure {
            self.noteFeeding(action, .failed, failure)
        }
        return failure
    }

    /// - Returns: why it failed, if it did.
    private func feedHeaders(to node: any NodeInterface) async -> String? {
        // What it has heard of already it need not be told again; it lacks the blocks.
        guard let missing = self.nodeMissing, missing.count > 0,
            self.node.state?.headers ?? 0 < self.sync.chain.tipHeight
        else { return nil }
        let heights = missing.firstHeight..<missing.firstHeight + min(missing.count, Repair.maximumHeaders)
        do {
            let headers = try self.headers(heights)
            for start in stride(from: 0, to: headers.count, by: BlockHeader.size) {
                try Task.checkCancellation()
                try await node.perform(
                    .submitHeader(Array(headers[start..<start + BlockHeader.size])), because: self.feedingReason)
            }
            self.noteFeeding(
                .feedHeaders, .done, "gave the node \(heights.count) headers from height \(heights.lowerBound)")
            return nil
        } catch is CancellationError {
            return nil
        } catch {
            return self.noteFailure(.feedHeaders, "\(error)")
        }
    }

    /// Gives the node block after block, until it has all or no link brings the next one.
    ///
    /// - Returns: why it failed, if it did.
    private func feedBlocks(to node: any NodeInterface) async -> String? {
        guard let first = self.nodeMissing?.firstHeight else { return nil }
        // Before megabytes are fetched for nothing.
        guard self.parts.nodeSettings.kind == .kernel || self.parts.nodeSettings.allow.contains(.blocks) else {
            return self.noteFailure(.feedBlocks, NodeError.notAllowed(.blocks).description)
        }
        var next = first
        var failure: String?
        // The end of the best chain may move, or the chain be reorganised, while we are at it.
        while !Task.isCancelled, let found = self.sync.chain.best(at: next) {
            let hash = self.sync.chain.hash(of: found)
            guard let (block, link) = await self.fetchBlock(hash, height: next) else {
                failure = "no link brought block \(next)"
                break
            }
            guard self.sync.chain.best(at: next) == found else { break }
            do throws(NodeError) {
                try await node.perform(.submitBlock(block), because: self.feedingReason)
            } catch {
                // What a header does not commit to, the witnesses, may be wrong: another link is asked next time.
                self.noteFailure(of: link)
                failure = "\(error)"
                break
            }
            next += 1
        }
        guard !Task.isCancelled else { return nil }
        if next > first {
            self.noteFeeding(.feedBlocks, .done, "gave the node \(next - first) blocks from height \(first)")
        }
        return failure.map { self.noteFailure(.feedBlocks, $0) }
    }
}
