// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetHeaderChain
import AltNetObjects
import Testing

@testable import AltNetHeaderSync

/// Peers, a network with latency and loss, and a ``HeaderSync`` among them, in virtual time.
struct Simulation {
    /// What the network does to the messages of a link; in order, as a stream has it.
    struct Line {
        var latency: ClosedRange<Double>
        /// How often a message is lost, which a request notices by its time-out.
        var loss = 0.0
        /// Nothing passes before this moment.
        var cutUntil = MonotonicInstant.zero
        fileprivate var lastArrival = MonotonicInstant.zero

        /// - Parameter latency: in seconds, one way.
        init(latency: ClosedRange<Double> = 0.02...0.5) {
            self.latency = latency
        }
    }

    private enum Event {
        case timer
        case asked(LinkID, id: UInt64, ObjectRequest)
        case answered(LinkID, id: UInt64, ObjectAnswer)
        case announced(LinkID, BlockHeader)
        case change((inout Simulation) -> Void)
    }

    private(set) var sync: HeaderSync
    private(set) var now = MonotonicInstant.zero
    var peers: [LinkID: SimulatedPeer] = [:]
    var lines: [LinkID: Line] = [:]
    let seed: UInt64

    private(set) var disconnected: [LinkID: DisconnectReason] = [:]
    private(set) var stored: [UInt8] = []
    private(set) var tipChanges = 0
    /// How many requests each link got, and when the last ones were made.
    private(set) var requests: [LinkID: [MonotonicInstant]] = [:]
    private(set) var mostHeld: [LinkID: Int] = [:]
    private var generator: SeededRandom
    private var queue: [(at: MonotonicInstant, number: Int, event: Event)] = []
    private var timer: MonotonicInstant?
    private var nextNumber = 0
    private var inFlight: [LinkID: UInt64] = [:]
    private var wakesAtThisMoment = 0

    init(seed: UInt64, minimumWork: UInt64 = 0, chain: HeaderChain? = nil) {
        self.seed = seed
        self.generator = SeededRandom(seed: seed)
        var configuration = HeaderSync.Configuration(network: .regtest)
        configuration.minimumWork = UInt256(minimumWork)
        let empty = HeaderChain(network: .regtest, salt: seed)
        self.sync = HeaderSync(chain: chain ?? empty, configuration: configuration, seed: seed)
    }

    var wallClock: WallClockTime { SharedChains.now + (self.now - .zero) }

    /// Adds a peer, whose link opens now.
    mutating func open(_ number: UInt64, _ peer: SimulatedPeer, line: Line = Line()) {
        let link = LinkID(number)
        self.peers[link] = peer
        self.lines[link] = line
        self.carryOut(self.sync.onLinkOpened(link, now: self.now))
    }

    mutating func close(_ link: LinkID) {
        self.peers[link] = nil
        self.inFlight[link] = nil
        self.carryOut(self.sync.onLinkClosed(link, now: self.now))
    }

    /// Does something to the world at a later moment.
    mutating func schedule(after seconds: Double, _ change: @escaping (inout Simulation) -> Void) {
        self.enqueue(self.now + .seconds(seconds), .change(change))
    }

    /// A peer tells its tip.
    mutating func announce(_ link: LinkID) {
        guard let header = self.peers[link]?.chain.last, let arrival = self.arrival(link) else { return }
        self.enqueue(arrival, .announced(link, header))
    }

    mutating func importHeaders(_ headers: [UInt8]) -> (added: UInt32, rejection: HeaderRejection?) {
        let (added, rejection, directives) = self.sync.onImport(headers, now: self.now, wallClock: self.wallClock)
        self.carryOut(directives)
        return (added, rejection)
    }

    mutating func run(seconds: Double) {
        let end = self.now + .seconds(seconds)
        while true {
            let next = self.queue.first?.at
            let isTimer = self.timer.map { timer in next.map { timer < $0 } ?? true } ?? false
            guard let moment = isTimer ? self.timer.map({ max($0, self.now) }) : next, moment <= end else { break }
            self.wakesAtThisMoment = moment == self.now ? self.wakesAtThisMoment + 1 : 0
            guard self.wakesAtThisMoment < 100 else {
                Issue.record("no end of calls at \(self.now), seed \(self.seed)")
                return
            }
            self.now = moment
            if isTimer {
                self.timer = nil
                self.carryOut(self.sync.onTimer(now: self.now))
            } else {
                self.handle(self.queue.removeFirst().event)
            }
        }
        self.now = end
    }

    private mutating func handle(_ event: Event) {
        switch event {
        case .timer: break
        case .change(let change): change(&self)
        case .asked(let link, let id, let request):
            guard let answer = self.peers[link]?.answer(request), let arrival = self.arrival(link) else { return }
            self.enqueue(arrival, .answered(link, id: id, answer))
        case .answered(let link, let id, let answer):
            guard self.peers[link] != nil else { return }
            if self.inFlight[link] == id { self.inFlight[link] = nil }
            self.carryOut(self.sync.onAnswer(link, id: id, answer, now: self.now, wallClock: self.wallClock))
        case .announced(let link, let header):
            guard self.peers[link] != nil else { return }
            self.carryOut(self.sync.onTip(link, header: header, now: self.now, wallClock: self.wallClock))
        }
    }

    private mutating func carryOut(_ directives: [HeaderSync.Directive]) {
        for directive in directives {
            switch directive {
            case .request(let link, let id, let request):
                if let peer = self.peers[link] {
                    #expect(self.disconnected[link] == nil, "asked after the end, seed \(self.seed)")
                    self.check(request, of: peer)
                } else {
                    Issue.record("asked a link that is gone, seed \(self.seed)")
                }
                self.requests[link, default: []].append(self.now)
                self.inFlight[link] = id
                guard let arrival = self.arrival(link) else { continue }
                self.enqueue(arrival, .asked(link, id: id, request))
            case .store(let nodes, let headers, _):
                #expect(nodes.count * 80 == headers.count, "seed \(self.seed)")
                #expect(Int(nodes.lowerBound) == self.stored.count / 80 + 1, "seed \(self.seed)")
                self.stored += headers
            case .tipChanged(let change, _):
                #expect(change != .unchanged, "seed \(self.seed)")
                self.tipChanges += 1
            case .viewChanged(let link): #expect(self.peers[link] != nil, "seed \(self.seed)")
            case .disconnect(let link, let reason):
                self.disconnected[link] = reason
                self.enqueue(self.now, .change { $0.close(link) })
            case .setTimer(let moment): self.timer = moment
            }
        }
        for (link, state) in self.sync.links {
            guard let presync = state.presync else { continue }
            #expect(presync.heldBytes <= presync.maximumBytes, "seed \(self.seed)")
            self.mostHeld[link] = max(self.mostHeld[link] ?? 0, presync.heldBytes)
        }
    }

    private func check(_ request: ObjectRequest, of peer: SimulatedPeer) {
        guard case .headers(let locator, _, _, let limit) = request else {
            Issue.record("asked for \(request), seed \(self.seed)")
            return
        }
        #expect(locator.count <= ObjectRequest.maximumLocatorLength, "seed \(self.seed)")
        #expect(Set(locator).count == locator.count, "seed \(self.seed)")
        #expect(limit == ObjectRequest.maximumHeaders)
    }

    /// When a message that is sent now arrives; `nil` when it is lost.
    private mutating func arrival(_ link: LinkID) -> MonotonicInstant? {
        guard var line = self.lines[link] else { return nil }
        let delay = Double.random(in: line.latency, using: &self.generator)
        guard Double.random(in: 0..<1, using: &self.generator) >= line.loss, line.cutUntil <= self.now else {
            return nil
        }
        line.lastArrival = max(line.lastArrival, self.now + .seconds(delay))
        self.lines[link] = line
        return line.lastArrival
    }

    private mutating func enqueue(_ moment: MonotonicInstant, _ event: Event) {
        let index = self.queue.firstIndex { $0.at > moment } ?? self.queue.endIndex
        self.queue.insert((moment, self.nextNumber, event), at: index)
        self.nextNumber += 1
    }

    // MARK: - What must hold

    /// Expects our best chain to end with a header, and the stored headers to make the same chain again.
    func expectTip(_ hash: BlockHash, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let chain = self.sync.chain
        #expect(
            chain.hash(of: chain.tip) == hash, "at height \(chain.tipHeight), seed \(self.seed)",
            sourceLocation: sourceLocation)
        var replayed = HeaderChain(network: .regtest, salt: self.seed)
        for offset in stride(from: 0, to: self.stored.count, by: 80) {
            let header = try #require(BlockHeader(bytes: self.stored[offset..<offset + 80]))
            let isRestored = replayed.restore(
                hash: header.hash, previous: header.previous, time: header.time, bits: header.bits,
                workOfHeader: header.bits.work)
            try #require(isRestored, "seed \(self.seed)", sourceLocation: sourceLocation)
        }
        #expect(replayed.count == chain.count && replayed.tip == chain.tip, sourceLocation: sourceLocation)
    }

    /// Expects a link to be known to stand exactly where it does.
    func expectExactView(_ number: UInt64, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let link = LinkID(number)
        let peer = try #require(self.peers[link], "link \(number), seed \(self.seed)", sourceLocation: sourceLocation)
        let chain = self.sync.chain
        let view = self.sync.view(of: link)?.tip
        #expect(
            view.map(chain.hash) == peer.chain.tip,
            """
            link \(number) stands at \(peer.chain.count), seen at \(view.map { "\(chain.height(of: $0))" } ?? "nothing"), \
            seed \(self.seed)
            """, sourceLocation: sourceLocation)
        var shared = UInt32(min(peer.chain.count, Int(chain.tipHeight)))
        while let node = chain.best(at: shared), chain.hash(of: node) != peer.chain.hash(at: Int(shared)) {
            shared -= 1
        }
        let missing = self.sync.missing(of: link)
        #expect(missing?.count == self.sync.chain.tipHeight - shared, sourceLocation: sourceLocation)
        #expect(missing?.firstHeight == shared + 1, sourceLocation: sourceLocation)
    }

    /// How many requests a link got in the last seconds.
    func requests(to number: UInt64, inLast seconds: Double) -> Int {
        self.requests[LinkID(number), default: []].count { self.now - $0 <= .seconds(seconds) }
    }
}
