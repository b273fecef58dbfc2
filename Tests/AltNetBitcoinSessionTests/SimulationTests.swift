// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetObjects
import Testing

@testable import AltNetBitcoinSession

/// Two sessions on one simulated connection: latency, arbitrary cuts, no losses, as TCP has it.
struct TwoPeers {
    enum Event {
        case bytes([UInt8])
        case timer
        case answer(UInt64, ObjectAnswer)
    }

    var sessions: [BitcoinPeerSession]
    /// What each side's orchestrator has.
    let chains: [SampleChain]
    var now = MonotonicInstant.zero
    var established: [LinkPeer?] = [nil, nil]
    var answers: [[UInt64: ObjectAnswer]] = [[:], [:]]
    var announcements: [[ObjectAnnouncement]] = [[], []]
    var ends: [DisconnectReason?] = [nil, nil]
    var written = [0, 0]
    /// Bytes are lost from now on, as when a NAT forgets a connection.
    var isCut = false

    private var events: [(at: MonotonicInstant, order: Int, side: Int, event: Event)] = []
    private var order = 0
    private var timers: [MonotonicInstant?] = [nil, nil]
    private var lastDelivery = [MonotonicInstant.zero, .zero]
    private var generator: SeededRandom
    private let latency: ClosedRange<Int>

    init(seed: UInt64, chains: [SampleChain], latencyMilliseconds: ClosedRange<Int>) {
        self.generator = SeededRandom(seed: seed)
        self.latency = latencyMilliseconds
        self.chains = chains
        self.sessions = [
            BitcoinPeerSession(configuration: .sample(direction: .outbound, nonce: 0x11)),
            BitcoinPeerSession(configuration: .sample(direction: .inbound, nonce: 0x22)),
        ]
    }

    mutating func connect() {
        for side in [0, 1] { self.carryOut(self.sessions[side].onConnected(now: self.now), side: side) }
    }

    mutating func request(_ side: Int, id: UInt64, _ request: ObjectRequest) {
        self.carryOut(self.sessions[side].onRequest(id: id, request, now: self.now), side: side)
    }

    mutating func announce(_ side: Int, _ announcement: ObjectAnnouncement) {
        self.carryOut(self.sessions[side].onAnnouncement(announcement, now: self.now), side: side)
    }

    /// Lets everything happen that happens within a time.
    mutating func run(_ duration: Duration) {
        let end = self.now + duration
        while let index = self.events.indices.min(by: { self.key($0) < self.key($1) }), self.events[index].at <= end {
            let event = self.events.remove(at: index)
            self.now = max(self.now, event.at)
            switch event.event {
            case .bytes(let bytes):
                self.carryOut(self.sessions[event.side].onBytes(bytes, now: self.now), side: event.side)
            case .timer where self.timers[event.side] == event.at:
                self.timers[event.side] = nil
                self.carryOut(self.sessions[event.side].onTimer(now: self.now), side: event.side)
            case .timer: break
            case .answer(let id, let answer):
                self.carryOut(self.sessions[event.side].onAnswer(id: id, answer, now: self.now), side: event.side)
            }
        }
        self.now = end
    }

    private func key(_ index: Int) -> (Int64, Int) { (self.events[index].at.nanoseconds, self.events[index].order) }

    private mutating func schedule(_ at: MonotonicInstant, _ side: Int, _ event: Event) {
        self.order += 1
        self.events.append((at, self.order, side, event))
    }

    private mutating func carryOut(_ directives: [LinkDirective], side: Int) {
        for directive in directives {
            switch directive {
            case .write(let bytes): self.send(bytes, from: side)
            case .setTimer(let moment):
                self.timers[side] = moment
                self.schedule(moment, side, .timer)
            case .established(let peer): self.established[side] = peer
            case .request(let id, .headers(let locator, let stop, _, let limit)):
                let answer = self.chains[side].answer(locator: locator, stop: stop, limit: Int(limit))
                self.schedule(self.delay(), side, .answer(id, .headers(answer)))
            case .request(let id, _): self.schedule(self.delay(), side, .answer(id, .refused(.unsupported)))
            case .answer(let id, let answer): self.answers[side][id] = answer
            case .announcement(let announcement): self.announcements[side].append(announcement)
            case .stream, .message, .abort: Issue.record("Bitcoin's P2P protocol has no such thing")
            case .disconnect(let reason): self.ends[side] = reason
            }
        }
    }

    private mutating func send(_ bytes: [UInt8], from side: Int) {
        self.written[side] += bytes.count
        guard !self.isCut else { return }
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = rest.prefix(Int.random(in: 1...20_000, using: &self.generator))
            rest = rest.dropFirst(piece.count)
            // TCP keeps the order.
            self.lastDelivery[side] = max(self.lastDelivery[side], self.delay())
            self.schedule(self.lastDelivery[side], 1 - side, .bytes(Array(piece)))
        }
    }

    private mutating func delay() -> MonotonicInstant {
        self.now + .milliseconds(Int.random(in: self.latency, using: &self.generator))
    }
}

@Suite("Two sessions on one connection")
struct SimulationTests {
    private static let long = SampleChain(length: 4500)
    private static let short = SampleChain(length: 10)

    private func connected(seed: UInt64) -> TwoPeers {
        var peers = TwoPeers(seed: seed, chains: [Self.short, Self.long], latencyMilliseconds: 1...900)
        peers.connect()
        peers.run(.seconds(10))
        return peers
    }

    @Test("shake hands", arguments: 1...20 as ClosedRange<UInt64>)
    func handshake(seed: UInt64) {
        let peers = self.connected(seed: seed)
        for side in [0, 1] {
            #expect(peers.established[side]?.agent.description == "/AltNet:0.1.0/", "seed \(seed)")
            #expect(peers.established[side]?.serves == [.headers, .addresses, .tips], "seed \(seed)")
            #expect(peers.ends[side] == nil, "seed \(seed)")
        }
    }

    @Test("sync headers, 2000 at a time, while tips pass in both directions", arguments: 1...10 as ClosedRange<UInt64>)
    func sync(seed: UInt64) {
        var peers = self.connected(seed: seed)
        var known = 10
        for id in 1...4 as ClosedRange<UInt64> {
            peers.request(
                0,
                id: id,
                .headers(
                    locator: [Self.long.hashes[known], Self.long.hashes[0]],
                    stop: .zero,
                    heightHint: 0,
                    limit: 2000
                )
            )
            peers.announce(1, .tip(header: Self.long.headers[4500], height: 4500))
            peers.announce(0, .tip(header: Self.short.headers[10], height: 10))
            peers.run(.seconds(10))
            guard case .headers(let bytes)? = peers.answers[0][id] else {
                return #expect(Bool(false), "no answer \(id), seed \(seed)")
            }
            #expect(bytes == (known < 4500 ? Self.long.bytes(known + 1...min(4500, known + 2000)) : []), "seed \(seed)")
            known += bytes.count / BlockHeader.size
        }
        #expect(known == 4500, "seed \(seed)")
        #expect(peers.announcements[0].count == 4, "seed \(seed)")
        #expect(peers.announcements[1].count == 4, "seed \(seed)")
        #expect(peers.ends == [nil, nil], "seed \(seed)")
    }

    @Test("keep each other alive for a day at the cost of a few bytes", arguments: [1, 2] as [UInt64])
    func idle(seed: UInt64) {
        var peers = self.connected(seed: seed)
        let before = peers.written
        peers.run(.seconds(86_400))
        #expect(peers.ends == [nil, nil], "seed \(seed)")
        // A ping of ours and a pong for theirs in two minutes.
        for side in [0, 1] { #expect(peers.written[side] - before[side] <= 86_400 / 120 * 64, "seed \(seed)") }
    }

    @Test("notice within seven minutes that the connection is cut", arguments: [1, 2, 3] as [UInt64])
    func cut(seed: UInt64) {
        var peers = self.connected(seed: seed)
        peers.isCut = true
        peers.request(
            0,
            id: 1,
            .headers(locator: [Self.long.hashes[0]], stop: .zero, heightHint: 0, limit: 2000)
        )
        peers.run(.seconds(31))
        #expect(peers.answers[0][1] == .refused(.unavailable), "seed \(seed)")
        peers.run(.seconds(420))
        #expect(peers.ends.map { $0?.code } == [.timedOut, .timedOut], "seed \(seed)")
    }

    @Test("run the same way every time", arguments: [42] as [UInt64])
    func repeatable(seed: UInt64) {
        let first = self.connected(seed: seed)
        let second = self.connected(seed: seed)
        #expect(first.written == second.written)
        #expect(first.established == second.established)
    }
}

@Suite("A session under fire")
struct SessionFuzzTests {
    @Test("survives damaged conversations and ends at most once", arguments: 1...150 as ClosedRange<UInt64>)
    func damage(seed: UInt64) {
        var generator = SeededRandom(seed: seed)
        let chain = SampleChain(length: 12)
        let conversation: [P2PMessage] = [
            .version(.sample), .wtxidrelay, .sendaddrv2, .verack, .sendheaders, .ping(1),
            .headers(chain.bytes(1...3)), .inv([P2PInventory(type: 2, hash: chain.hashes[5])]),
            .getheaders(locator: [chain.hashes[0]], stop: .zero), .headers([]), .block(chain.bytes(4...4) + [0]),
            .getdata([P2PInventory(type: 2, hash: chain.hashes[1])]), .addrv2([]), .notfound([]), .pong(1),
        ]
        var messages = conversation
        for _ in 0..<Int.random(in: 0...3, using: &generator) { messages.shuffle(using: &generator) }
        var bytes = messages.flatMap { $0.encoded(for: .regtest) }
        for _ in 0..<Int.random(in: 0...3, using: &generator) {
            bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
        }
        var script = SessionScript(direction: Bool.random(using: &generator) ? .inbound : .outbound)
        var outcome = script.connect()
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = rest.prefix(Int.random(in: 1...300, using: &generator))
            rest = rest.dropFirst(piece.count)
            let step = script.receive(bytes: Array(piece))
            #expect(outcome.end == nil || step.isQuiet, "seed \(seed)")
            outcome.append(step)
            if outcome.peer != nil, outcome.end == nil {
                outcome.append(
                    script.request(
                        UInt64(rest.count),
                        .headers(locator: [chain.hashes[0]], stop: .zero, heightHint: 0, limit: 2000)
                    )
                )
            }
            outcome.append(script.wait(.seconds(1)))
        }
    }
}
