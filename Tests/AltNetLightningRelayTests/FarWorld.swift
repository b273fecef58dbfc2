// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetLightning
import AltNetObjects
import Testing

@testable import AltNetLightningRelay

/// Several asking sides, one serving side, and messages that get lost between them.
struct FarWorld {
    private enum Event {
        case question(from: Int, [UInt8])
        case answer(to: Int, [UInt8])
        case object(id: UInt64, ObjectAnswer)
        case timer(Int)
    }

    var random: SeededRandom
    var now = MonotonicInstant.zero
    var links: [FarLinkSession]
    var server: FarServerSession
    /// The share of messages that get lost in each direction, in percent.
    var loss = 0
    /// What the links said to their callers.
    private(set) var said: [[LinkDirective]]
    /// What the serving side said to its caller.
    private(set) var served: [LinkDirective] = []
    /// What the node behind the serving side has.
    var objects: (ObjectRequest) -> ObjectAnswer = { _ in .refused(.notFound) }
    private(set) var messages = 0
    private var queue: [(at: MonotonicInstant, order: Int, event: Event)] = []
    private var order = 0
    private var handles: [UInt64: Int] = [:]
    private var openRequests = 0

    init(
        links count: Int, seed: UInt64, link: FarLinkSession.Configuration = FarWorld.link,
        server: FarServerSession.Configuration = FarWorld.server
    ) {
        self.random = SeededRandom(seed: seed)
        self.links = (0..<count).map { FarLinkSession(link, seed: seed &* 1000 &+ UInt64($0)) }
        self.said = Array(repeating: [], count: count)
        self.server = FarServerSession(server)
        self.served = self.server.onConnected(now: self.now)
    }

    /// Three hops of directed messages.
    static let link = FarLinkSession.Configuration(
        network: .regtest, identity: "02", longestFrame: DirectedMessages.roundedPayload(hops: 3),
        longestAnswer: DirectedMessages.maximumReply)
    static let server = FarServerSession.Configuration(
        network: .regtest, serves: [.headers, .blocks, .addresses])

    mutating func connect() {
        for link in self.links.indices { self.absorb(self.links[link].onConnected(now: self.now), link) }
    }

    mutating func request(_ link: Int, id: UInt64, _ request: ObjectRequest) {
        self.absorb(self.links[link].onRequest(id: id, request, now: self.now), link)
    }

    mutating func announce(_ link: Int, _ announcement: ObjectAnnouncement) {
        self.absorb(self.links[link].onAnnouncement(announcement, now: self.now), link)
    }

    mutating func run(for duration: Duration) {
        let end = self.now + duration
        while let index = self.queue.indices.min(by: { self.isEarlier($0, $1) }), self.queue[index].at <= end {
            let (at, _, event) = self.queue.remove(at: index)
            self.now = at
            self.handle(event)
        }
        self.now = end
    }

    private func isEarlier(_ one: Int, _ other: Int) -> Bool {
        let (one, other) = (self.queue[one], self.queue[other])
        return one.at == other.at ? one.order < other.order : one.at < other.at
    }

    private mutating func handle(_ event: Event) {
        switch event {
        case .question(let from, let frame):
            let handle = UInt64(self.handles.count)
            self.handles[handle] = from
            var bytes: [UInt8] = []
            bytes.appendBigEndian(handle)
            self.absorb(self.server.onBytes(bytes + frame, now: self.now))
        case .answer(let to, let frame): self.absorb(self.links[to].onBytes(frame, now: self.now), to)
        case .object(let id, let answer):
            self.openRequests -= 1
            self.absorb(self.server.onAnswer(id: id, answer, now: self.now))
        case .timer(let link):
            if self.links.indices.contains(link) {
                self.absorb(self.links[link].onTimer(now: self.now), link)
            } else {
                self.absorb(self.server.onTimer(now: self.now))
            }
        }
        for link in self.links {
            #expect(link.openMessages <= FarLinkSession.maximumMessages + 1)
            #expect(link.heldBytes <= 4 * RelayFrame.maximumAnswer + FarLinkSession.maximumTransactionBytes)
        }
        #expect(self.server.heldBytes <= 2 * RelayFrame.maximumAnswer + FarTransfers.maximumBytes)
        #expect(self.openRequests <= FarServerSession.maximumOpenRequests)
    }

    private mutating func absorb(_ directives: [LinkDirective], _ link: Int) {
        for directive in directives {
            switch directive {
            case .write(let frame):
                self.messages += 1
                #expect(frame.count <= self.links[link].configuration.longestFrame)
                self.deliver(.question(from: link, frame))
            case .setTimer(let moment): self.schedule(.timer(link), at: moment)
            default: self.said[link].append(directive)
            }
        }
    }

    private mutating func absorb(_ directives: [LinkDirective]) {
        for directive in directives {
            switch directive {
            case .write(let bytes):
                var reader = ByteReader(bytes)
                guard let handle = try? reader.bigEndian(UInt64.self), let link = self.handles[handle] else {
                    Issue.record("an answer to nobody")
                    continue
                }
                let frame = Array(reader.rest())
                // The askers here send nothing that stays without an answer.
                #expect(!frame.isEmpty)
                #expect(frame.count <= self.links[link].configuration.longestAnswer)
                self.deliver(.answer(to: link, frame))
            case .setTimer(let moment): self.schedule(.timer(self.links.count), at: moment)
            case .request(let id, let request):
                self.openRequests += 1
                self.served.append(directive)
                let after = Duration.milliseconds(Int64.random(in: 1...300, using: &self.random))
                self.schedule(.object(id: id, self.objects(request)), at: self.now + after)
            default: self.served.append(directive)
            }
        }
    }

    private mutating func deliver(_ event: Event) {
        guard Int.random(in: 0..<100, using: &self.random) >= self.loss else { return }
        self.schedule(event, at: self.now + .milliseconds(Int64.random(in: 10...900, using: &self.random)))
    }

    private mutating func schedule(_ event: Event, at moment: MonotonicInstant) {
        self.queue.append((moment, self.order, event))
        self.order += 1
    }
}
