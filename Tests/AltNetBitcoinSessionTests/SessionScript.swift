// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetObjects
import Testing

@testable import AltNetBitcoinSession

/// A session and a hand that plays the other side, message by message.
struct SessionScript {
    var session: BitcoinPeerSession
    /// The script's clock; only the script moves it.
    var now = MonotonicInstant.zero
    /// The moment of the session's timer.
    var timer: MonotonicInstant?
    let network: Network

    init(_ configuration: BitcoinPeerSession.Configuration) {
        self.session = BitcoinPeerSession(configuration: configuration)
        self.network = configuration.network
    }

    init(direction: BitcoinPeerSession.Direction = .outbound, serves: Set<ObjectKind> = [.headers]) {
        self.init(.sample(direction: direction, serves: serves))
    }

    /// A session whose handshake with a node of today is complete.
    static func established(
        direction: BitcoinPeerSession.Direction = .outbound,
        serves: Set<ObjectKind> = [.headers],
        version: P2PVersion = .sample
    ) -> SessionScript {
        var script = SessionScript(direction: direction, serves: serves)
        _ = script.connect()
        _ = script.receive(.version(version), .verack)
        return script
    }

    mutating func connect() -> Outcome { self.note(self.session.onConnected(now: self.now)) }

    mutating func receive(_ messages: P2PMessage...) -> Outcome {
        self.receive(bytes: messages.flatMap { $0.encoded(for: self.network) })
    }

    mutating func receive(bytes: [UInt8]) -> Outcome { self.note(self.session.onBytes(bytes, now: self.now)) }

    mutating func request(_ id: UInt64, _ request: ObjectRequest) -> Outcome {
        self.note(self.session.onRequest(id: id, request, now: self.now))
    }

    mutating func answer(_ id: UInt64, _ answer: ObjectAnswer) -> Outcome {
        self.note(self.session.onAnswer(id: id, answer, now: self.now))
    }

    mutating func announce(_ announcement: ObjectAnnouncement) -> Outcome {
        self.note(self.session.onAnnouncement(announcement, now: self.now))
    }

    /// Lets time pass and the timer ring when it is due, once for each setting.
    mutating func wait(_ duration: Duration) -> Outcome {
        let end = self.now + duration
        var outcome = Outcome()
        while let timer = self.timer, timer <= end {
            self.timer = nil
            self.now = max(self.now, timer)
            outcome.append(self.note(self.session.onTimer(now: self.now)))
        }
        self.now = end
        return outcome
    }

    private mutating func note(_ directives: [LinkDirective]) -> Outcome {
        let outcome = Outcome(directives, network: self.network)
        if let timer = outcome.timer { self.timer = timer }
        return outcome
    }
}

/// Directives sorted by kind.
struct Outcome {
    var written: [P2PMessage] = []
    var requests: [UInt64: ObjectRequest] = [:]
    var answers: [UInt64: ObjectAnswer] = [:]
    var announcements: [ObjectAnnouncement] = []
    var peer: LinkPeer?
    var end: DisconnectReason?
    var timer: MonotonicInstant?

    init() {}

    init(_ directives: [LinkDirective], network: Network) {
        var decoder = P2PMessageDecoder(network: network)
        for (index, directive) in directives.enumerated() {
            switch directive {
            case .write(let bytes):
                decoder.append(bytes)
                while let received = try? decoder.next() { self.written.append(received.message) }
                #expect(decoder.bufferedCount == 0, "a write is whole messages")
            case .setTimer(let moment): self.timer = moment
            case .established(let peer):
                #expect(self.peer == nil)
                self.peer = peer
            case .request(let id, let request): self.requests[id] = request
            case .answer(let id, let answer):
                #expect(self.answers.updateValue(answer, forKey: id) == nil, "one answer for each request")
            case .announcement(let announcement): self.announcements.append(announcement)
            case .stream, .message, .abort: Issue.record("Bitcoin's P2P protocol has no such thing")
            case .disconnect(let reason):
                #expect(index == directives.count - 1, "disconnect is the last directive")
                self.end = reason
            }
        }
    }

    /// The commands written, in order.
    var commands: [String] { self.written.map(\.command) }

    /// Whether nothing happened that anybody outside would notice.
    var isQuiet: Bool {
        self.written.isEmpty && self.requests.isEmpty && self.answers.isEmpty && self.announcements.isEmpty
            && self.peer == nil && self.end == nil
    }

    mutating func append(_ other: Outcome) {
        self.written += other.written
        self.requests.merge(other.requests) { $1 }
        self.answers.merge(other.answers) { $1 }
        self.announcements += other.announcements
        self.peer = self.peer ?? other.peer
        self.end = self.end ?? other.end
        self.timer = other.timer ?? self.timer
    }
}

extension BitcoinPeerSession.Configuration {
    static func sample(
        direction: BitcoinPeerSession.Direction = .outbound,
        network: Network = .regtest,
        serves: Set<ObjectKind> = [.headers],
        nonce: UInt64 = 0xa1
    ) -> Self {
        Self(
            network: network,
            direction: direction,
            nonce: nonce,
            wallClock: WallClockTime(seconds: 1_700_000_000),
            seed: 1,
            ownNonces: [0xa2, 0xa3],
            startHeight: 7,
            serves: serves
        )
    }
}

extension P2PVersion {
    /// What Bitcoin Core 31 says.
    static let sample = P2PVersion(
        protocolVersion: 70016,
        services: 0x0c09,
        time: 1_700_000_000,
        nonce: 0xb1,
        userAgent: Array("/Satoshi:31.0.0/".utf8),
        startHeight: 840_000,
        relay: true
    )

    func with(_ change: (inout Self) -> Void) -> Self {
        var copy = self
        change(&copy)
        return copy
    }
}

/// A chain of headers without proof of work, which a session does not look at.
struct SampleChain {
    let headers: [BlockHeader]
    let hashes: [BlockHash]

    init(length: Int, network: Network = .regtest, salt: UInt32 = 0) {
        var headers = [network.genesis]
        var hashes = [network.chainHash]
        for height in 1...length {
            let header = BlockHeader(
                version: 4,
                previous: hashes[height - 1],
                merkleRoot: .zero,
                time: UInt32(height),
                bits: network.proofOfWorkLimit,
                nonce: salt
            )
            headers.append(header)
            hashes.append(header.hash)
        }
        self.headers = headers
        self.hashes = hashes
    }

    /// The concatenated headers of some heights.
    func bytes(_ heights: ClosedRange<Int>) -> [UInt8] { self.headers[heights].flatMap(\.bytes) }

    /// What a node with this chain answers.
    func answer(locator: [BlockHash], stop: BlockHash, limit: Int) -> [UInt8] {
        let fork = locator.compactMap { self.hashes.firstIndex(of: $0) }.first ?? 0
        let last = min(self.headers.count - 1, fork + limit, self.hashes.firstIndex(of: stop) ?? .max)
        return fork < last ? self.bytes(fork + 1...last) : []
    }
}
