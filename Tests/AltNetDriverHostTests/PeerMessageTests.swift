// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetDriverProtocol
import AltNetPeerRecords
import Testing

@testable import AltNetDriverHost

@Suite("What drivers tell and ask about peers")
struct PeerMessageTests {
    private static let key = PeerPrivateKey.ed25519(seed: Array(repeating: 3, count: 32))
    private static let now = WallClockTime(milliseconds: 1_700_000_000_123)

    private static func peer() throws -> PeerID { try #require(Self.key).peerID }

    private static func address(_ text: String = "/ip4/203.0.113.5/tcp/4001") throws -> Multiaddress {
        try Multiaddress(text: text)
    }

    private static func record() throws -> CertifiedPeerRecord {
        try PeerRecord(peer: try Self.peer(), sequence: .max, addresses: [try Self.address()])
            .sealed(by: try #require(Self.key))
    }

    @Test("news, outcomes, questions and answers come back as they were")
    func roundTrip() throws {
        let (peer, address, record) = (try Self.peer(), try Self.address(), try Self.record())
        let home = try #require(LocalNetwork("home"))
        let origin = NewsOrigin(networkGroup: "203.0")
        let news: [PeerNews] = [
            .record(envelope: record.envelope, source: .identify, about: peer, learnedOn: home, toldBy: origin),
            .record(envelope: [], source: .dht),
            .addresses(
                peer, [address, try Self.address("/ip6/::1/tcp/1")], source: .dht, lifetime: .seconds(1_800),
                learnedOn: home, toldBy: origin),
            .addresses(peer, [], source: .link, lifetime: .zero),
            .connected(peer, address, latency: .microseconds(12_345), on: home), .failed(peer, address),
            .withdrawn(peer, source: .altAddr, use: .lightning), .withdrawn(peer, source: .bolt7, except: address),
        ]
        let events: [DriverEvent] = [
            .peerNews(id: 7, news), .peerQuestion(id: 8, .known([peer])),
            .peerQuestion(id: 9, .handout([peer], to: home)), .peerQuestion(id: .max, .handout([], to: nil)),
        ]
        for event in events { #expect(try DriverEvent(event.protobuf) == event) }

        let known = KnownPeer(
            id: peer, record: record,
            addresses: [
                KnownAddress(
                    address: address, sources: [.user, .certified], firstSeen: Self.now, lastSeen: Self.now, expiry: nil
                ),
                KnownAddress(
                    address: address, sources: .dht, firstSeen: Self.now, lastSeen: Self.now, expiry: Self.now,
                    lastSuccess: Self.now, lastFailure: Self.now, latency: .microseconds(9), failures: 3, network: home),
            ])
        let handout = PeerHandout(id: peer, envelope: record.envelope, addresses: [address])
        let commands: [DriverCommand] = [
            .peerAnswer(id: 8, .known([known])), .peerAnswer(id: 9, .handouts([handout])),
            .peerAnswer(id: 9, .handouts([PeerHandout(id: peer, envelope: nil, addresses: [])])),
            .peerAnswer(id: 1, .failed("the store is busy")), .peersChanged([peer]), .peersChanged([]),
            .peerOutcomes(
                id: 7,
                [.stored, .storedInPart(leftOut: []), .unchanged, .refused(PeerNewsRefusal(.noRoom, "no room"))]),
        ]
        for command in commands { #expect(try DriverCommand(command.protobuf) == command) }
    }

    @Test("a driver does not speak for the operator, nor say what a record certifies, nor name two sources at once")
    func sources() throws {
        let (peer, address) = (try Self.peer(), try Self.address())
        let wrong: [AddressSources] = [
            .user, .certified, .connection, [], [.dht, .identify], .init(rawValue: 1 << 30),
        ]
        for source in wrong {
            for news in [
                PeerNews.addresses(peer, [address], source: source, lifetime: .seconds(1)),
                .record(envelope: [1], source: source), .withdrawn(peer, source: source),
            ] {
                #expect(throws: DriverProtocolError.self, "\(source)") {
                    try DriverEvent(DriverEvent.peerNews(id: 1, [news]).protobuf)
                }
            }
        }
    }

    @Test("what is out of bounds breaks the protocol")
    func bounds() throws {
        let (peer, address) = (try Self.peer(), try Self.address())
        let failed = PeerNews.failed(peer, address)
        #expect(throws: Never.self) {
            try DriverEvent(DriverEvent.peerNews(id: 1, Array(repeating: failed, count: 100)).protobuf)
        }
        let events: [DriverEvent] = [
            .peerNews(id: 1, Array(repeating: failed, count: 101)),
            .peerNews(id: 1, [.record(envelope: Array(repeating: 0, count: 8_193), source: .dht)]),
            .peerNews(
                id: 1, [.addresses(peer, Array(repeating: address, count: 101), source: .dht, lifetime: .seconds(1))]),
            .peerQuestion(id: 1, .known(Array(repeating: peer, count: 101))),
        ]
        for event in events {
            #expect(throws: DriverProtocolError.self) { try DriverEvent(event.protobuf) }
        }
        var message = DriverEvent.peerNews(id: 1, [failed]).protobuf
        message.peerNews.items[0].failed.peer = .init([1, 2, 3])
        #expect(throws: DriverProtocolError.self) { try DriverEvent(message) }
        message = DriverEvent.peerNews(id: 1, [failed]).protobuf
        message.peerNews.items[0].failed.address = .init([0xff])
        #expect(throws: DriverProtocolError.self) { try DriverEvent(message) }
        message = DriverEvent.peerNews(id: 1, [failed]).protobuf
        message.peerNews.items[0].failed.network = String(repeating: "x", count: 65)
        #expect(throws: DriverProtocolError.self) { try DriverEvent(message) }
    }

    /// A session by reference: the expectation macros do not take mutating calls.
    private final class Attached {
        var session: DriverSession

        init(peers: Bool) {
            let capabilities = DriverCapabilities(
                requests: [], serves: [], announces: [], direction: .both, latency: .seconds, bandwidth: .kilobytes,
                cost: .free, exposure: .none, peers: peers)
            self.session = DriverSession(capabilities: capabilities, traffic: [])
        }

        func onEvent(_ event: DriverEvent) throws -> DriverSession.Verdict { try self.session.onEvent(event) }
        func onCommand(_ command: DriverCommand) -> DriverSession.Verdict { self.session.onCommand(command) }
    }

    @Test("only a driver that says so tells and asks, sixteen times at once, and is answered once")
    func session() throws {
        let silent = Attached(peers: false)
        #expect(throws: DriverProtocolError.self) { try silent.onEvent(.peerNews(id: 1, [])) }
        #expect(throws: DriverProtocolError.self) { try silent.onEvent(.peerQuestion(id: 1, .known([]))) }
        #expect(silent.onCommand(.peersChanged([])) == .drop)
        let session = Attached(peers: true)
        #expect(session.onCommand(.peersChanged([])) == .pass)
        for id in UInt64(1)...16 {
            #expect(try session.onEvent(.peerNews(id: id, [])) == .pass)
            #expect(try session.onEvent(.peerQuestion(id: id, .known([]))) == .pass)
        }
        #expect(throws: DriverProtocolError.self) { try session.onEvent(.peerNews(id: 17, [])) }
        #expect(throws: DriverProtocolError.self) { try session.onEvent(.peerQuestion(id: 17, .known([]))) }
        #expect(session.onCommand(.peerOutcomes(id: 3, [])) == .pass)
        #expect(session.onCommand(.peerOutcomes(id: 3, [])) == .drop)
        #expect(session.onCommand(.peerAnswer(id: 4, .known([]))) == .pass)
        #expect(session.onCommand(.peerAnswer(id: 99, .known([]))) == .drop)
        #expect(throws: DriverProtocolError.self) { try session.onEvent(.peerNews(id: 4, [])) }
        #expect(try session.onEvent(.peerNews(id: 3, [])) == .pass)
        #expect(try session.onEvent(.peerQuestion(id: 4, .known([]))) == .pass)
    }
}
