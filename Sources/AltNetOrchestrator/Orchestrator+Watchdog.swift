// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetControl
internal import AltNetDriverProtocol
internal import AltNetHeaderChain
internal import AltNetHeaderSync
internal import AltNetObjects
internal import AltNetStore
internal import AltNetWatchdog
internal import AltNetWeb
internal import Logging

/// Which headers the watchdog has been told of, and who brought those that it has not.
///
/// It remembers a window of headers only. While headers come in bulk, telling it of each would cost more than
/// validating them; when the bulk is over it is told of the last ones.
struct ChainWitness: Sendable {
    /// As many as the watchdog remembers: two periods of difficulty.
    static let window: UInt32 = 4032
    /// More changes of source than this while headers come in bulk are remembered under the name of the last.
    static let maximumSources = 256

    /// The headers that it has been told of or that are too old: those with smaller numbers.
    private(set) var told: UInt32 = 0
    private(set) var toldBest: HeaderNode?
    private var sources: [(end: UInt32, by: Subject)] = []

    /// New headers are in the tree.
    mutating func note(_ nodes: Range<UInt32>, by source: Subject) {
        if let last = self.sources.last, last.by == source || self.sources.count >= Self.maximumSources {
            self.sources[self.sources.count - 1].end = nodes.upperBound
        } else {
            self.sources.append((nodes.upperBound, source))
        }
    }

    /// What is to be told now, oldest first; it counts as told.
    mutating func take(_ chain: HeaderChain) -> [(node: HeaderNode, by: Subject)] {
        let end = UInt32(chain.count)
        // Side branches stand among the others: twice the window holds the window of the best chain and all that a
        // network with honest miners has beside it.
        let first = max(self.told, end - min(end, 2 * Self.window))
        let lowest = chain.tipHeight - min(chain.tipHeight, Self.window - 1)
        var found: [(node: HeaderNode, by: Subject)] = []
        var index = 0
        for number in first..<end {
            while index < self.sources.count, self.sources[index].end <= number { index += 1 }
            let node = HeaderNode(number)
            guard chain.height(of: node) >= lowest else { continue }
            found.append((node, index < self.sources.count ? self.sources[index].by : Self.store))
        }
        self.told = end
        self.sources = []
        return found
    }

    /// Whether the best chain ends elsewhere than the watchdog knows; it counts as told.
    mutating func takeBest(_ chain: HeaderChain) -> Bool {
        defer { self.toldBest = chain.tip }
        return self.toldBest != chain.tip
    }

    /// Who brought what was there when the daemon started.
    static let store = Subject("the store")
}

extension Orchestrator {
    /// How incidents name who brought headers.
    func subject(of source: LinkID?) -> Subject {
        guard let source else { return Subject("the operator") }
        if source == self.node.link { return .node }
        return self.links[source]?.subject ?? Subject("a closed link")
    }

    /// Tells the watchdog of headers that are new, and of the end of the best chain.
    func observeChain() {
        guard !self.sync.isDelivering else { return }
        let chain = self.sync.chain
        let new = self.witness.take(chain)
        let headers = new.isEmpty ? [] : (try? self.store.headers(of: new.map(\.node))) ?? []
        for (index, entry) in new.enumerated() {
            let bytes = headers.dropFirst(index * BlockHeader.size).prefix(BlockHeader.size)
            // One that cannot be read from the disk is missing in the evidence, and the log says why elsewhere.
            guard let header = BlockHeader(bytes: bytes) else { continue }
            self.observe(.proved(header, chain.point(entry.node), by: entry.by))
        }
        if self.witness.takeBest(chain) {
            self.events.publish(.tip(self.chainReport))
            if self.parts.node != nil { self.publishNode() }
            self.observe(.best(chain.point(chain.tip)))
            self.feedKernel()
        }
        self.observeNodeTip()
    }

    /// Tells the watchdog what a link has shown.
    func observeView(of id: LinkID) {
        guard let link = self.links[id], let view = self.sync.view(of: id) else { return }
        self.publish(link, .updated)
        self.observe(.shows(link.subject, view.tip.map(self.sync.chain.point)), of: link)
    }

    func facts(of link: Link) -> LinkFacts {
        let address = link.description.remote.split(separator: "@").last.map(String.init) ?? ""
        let group = NetworkGroup.of(address)
        let identity = link.description.peer.identity
        return LinkFacts(
            driver: link.driver, isTarget: !link.description.target.isEmpty,
            operatorKey: identity.isEmpty ? group : identity, networkGroup: group,
            exposure: self.exposure(of: link) ?? "")
    }

    /// Whoever connects to us may be behind as much as they like: only what the operator relies on is watched.
    func observe(_ event: Observation.Event, of link: Link) {
        guard !link.description.target.isEmpty else { return }
        self.observe(event)
    }

    func observe(_ event: Observation.Event) {
        let observation = Observation(at: .system, event)
        self.parts.recorder?.record(observation)
        self.carryOut(self.watchdog.observe(observation))
    }

    // MARK: - Incidents

    func carryOut(_ directives: [Watchdog.Directive]) {
        for directive in directives {
            switch directive {
            case .open(let incident): self.open(incident)
            case .update(let incident):
                let before = self.severities[incident.id]
                self.save(incident, .updated)
                switch before {
                case nil: self.open(incident, again: true)
                case let severity? where severity < incident.severity:
                    self.logger.error(
                        "incident became critical",
                        metadata: ["id": "\(incident.id)", "what": "\(incident.explanation)"])
                    self.act(on: incident, .updated)
                case .some: self.act(on: incident, nil)
                }
            case .close(let incident):
                self.logger.notice(
                    "incident closed", metadata: ["id": "\(incident.id)", "what": "\(incident.explanation)"])
                self.save(incident, .closed)
                self.tell(incident, .closed)
            case .setTimer(let time):
                self.watchdogTimer?.cancel()
                self.watchdogTimer = Task {
                    do { try await Task.sleep(for: max(.milliseconds(1), time - .system)) } catch { return }
                    self.carryOut(self.watchdog.onTimer(now: .system))
                }
            }
        }
    }

    /// - Parameter again: it was over, and has come back under its number.
    private func open(_ incident: Incident, again: Bool = false) {
        self.incidentCounts[IncidentCount(kind: incident.kind, severity: incident.severity), default: 0] += 1
        self.logger.log(
            level: incident.severity == .critical ? .error : .warning,
            again ? "incident is back" : "incident opened",
            metadata: ["id": "\(incident.id)", "what": "\(incident.explanation)"])
        if !again { self.save(incident, .opened) }
        self.act(on: incident, .opened)
    }

    private func save(_ incident: Incident, _ change: ControlEvent.Change) {
        self.severities[incident.id] = incident.closed == nil ? incident.severity : nil
        do throws(StoreError) {
            try self.incidents.save(incident)
        } catch {
            self.logger.error("incident could not be stored", metadata: ["error": "\(error)"])
        }
        self.publish(incident, change)
    }

    var openIncidents: Int { self.watchdog.open.count }
}

extension HeaderChain {
    /// A header's place, as the watchdog knows places.
    func point(_ node: HeaderNode) -> ChainPoint {
        ChainPoint(hash: self.hash(of: node), height: self.height(of: node), work: self.work(of: node))
    }
}
