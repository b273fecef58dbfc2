// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetKeys
import AltNetLightning
import AltNetLightningSession
import AltNetNoise
import AltNetObjects
import Testing

@Suite("LightningSession: two of them, a simulated network between")
struct LightningSessionTests {
    static let hash = Network.regtest.chainHash

    static func headers(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        var header = Network.regtest.genesis
        for index in 0..<count {
            header.previous = header.hash
            header.time += 600
            header.nonce = UInt32(index)
            header.append(to: &bytes)
        }
        return bytes
    }

    @Test("both sides introduce themselves, whatever the cuts and delays", arguments: 0..<20)
    func establishing(_ seed: Int) throws {
        let (caller, called) = (try makeConfiguration(1), try makeConfiguration(2, serves: [.headers]))
        var link = try SimulatedLink(caller, called, seed: UInt64(seed))
        link.run(for: .seconds(5))
        let (first, second) = (link.directives(of: 0).established, link.directives(of: 1).established)
        #expect(first?.identity == called.privateKey.publicKey.description)
        #expect(first?.serves == [.headers])
        #expect(second?.identity == caller.privateKey.publicKey.description)
        #expect(second?.serves == Set(ObjectKind.allCases))
    }

    @Test("requests are answered, announcements arrive, pings keep the link alive", arguments: 0..<10)
    func conversation(_ seed: Int) throws {
        var link = try SimulatedLink(makeConfiguration(1), makeConfiguration(2), seed: UInt64(seed))
        link.run(for: .seconds(5))
        let block = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 13) }
        let headers = Self.headers(2000)
        let tip = ObjectAnnouncement.tip(header: Network.regtest.genesis, height: 0)
        let transaction = ObjectAnnouncement.transaction(Array(repeating: 7, count: 200_000))
        link.request(0, id: 900, .block(Self.hash))
        link.request(0, id: 901, .headers(locator: [Self.hash], stop: .zero, heightHint: 0, limit: 2000))
        link.request(1, id: 900, .transaction(Self.hash))
        let records = [Array(repeating: UInt8(1), count: 300), Array(repeating: UInt8(2), count: 8_192)]
        link.request(1, id: 902, .peerRecords(of: [[0, 1, 7]], limit: 2))
        link.announce(0, .peerRecord(records[1]))
        link.announce(1, tip)
        link.announce(0, transaction)
        link.run(for: .seconds(30)) { link, event in
            guard case .request(let id, let request) = event.directive else { return }
            switch request {
            case .block: link.answer(event.side, id: id, .objects(.blocks, [block]))
            case .headers: link.answer(event.side, id: id, .headers(headers))
            case .peerRecords(let peers, let limit):
                #expect(peers == [[0, 1, 7]])
                #expect(limit == 2)
                link.answer(event.side, id: id, .objects(.peerRecords, records))
            case .filterHeaders, .filters, .transaction, .addresses:
                link.answer(event.side, id: id, .refused(.notFound))
            }
        }
        #expect(link.directives(of: 0).answers == [900: .objects(.blocks, [block]), 901: .headers(headers)])
        #expect(
            link.directives(of: 1).answers == [900: .refused(.notFound), 902: .objects(.peerRecords, records)])
        #expect(link.directives(of: 0).announcements == [tip])
        #expect(link.directives(of: 1).announcements == [.peerRecord(records[1]), transaction])
        link.run(for: .seconds(3600))
        #expect(!link.events.contains { if case .disconnect = $0.directive { true } else { false } })
        #expect(link.sessions.allSatisfy { $0.heldBytes == 0 })
    }

    @Test("a link that goes silent ends after a ping and its deadline")
    func silence() throws {
        var link = try SimulatedLink(makeConfiguration(1), makeConfiguration(2), seed: 1)
        link.run(for: .seconds(5))
        link.isCut = true
        link.request(0, id: 1, .block(Self.hash))
        link.run(for: .seconds(70))
        for side in 0...1 { #expect(link.directives(of: side).disconnect?.code == .timedOut) }
        #expect(link.directives(of: 0).answers == [1: .refused(.unavailable)])
    }

    @Test("a handshake that does not go on ends in time")
    func silentHandshake() throws {
        var link = try SimulatedLink(makeConfiguration(1), makeConfiguration(2), seed: 1)
        link.isCut = true
        link.run(for: .seconds(11))
        for side in 0...1 { #expect(link.directives(of: side).disconnect?.code == .timedOut) }
    }

    @Test("whoever does not hold the key that was called is refused by both")
    func wrongKey() throws {
        let called = try makeConfiguration(2)
        var link = try SimulatedLink(makeConfiguration(1), called, seed: 1, dialing: makeKey(3).publicKey)
        link.run(for: .seconds(20))
        #expect(link.directives(of: 1).disconnect?.code == .authenticationFailed)
        #expect(link.directives(of: 0).established == nil)
        #expect(link.directives(of: 0).disconnect?.code == .timedOut)
    }

    @Test("a node that calls itself notices before it says anything, and also when somebody else gave it the call")
    func selfConnection() throws {
        let own = try makeConfiguration(1)
        var caller = LightningSession(
            initiatorTo: own.privateKey.publicKey,
            ephemeral: try makeKey(9),
            configuration: own
        )
        let directives = caller.onConnected(now: .zero)
        #expect(directives.written.isEmpty)
        #expect(directives.disconnect?.code == .selfConnection)

        var called = LightningSession(responderWith: try makeKey(8), configuration: own)
        _ = called.onConnected(now: .zero)
        var handshake = NoiseHandshake(
            initiator: own.privateKey,
            remote: own.privateKey.publicKey,
            ephemeral: try makeKey(7)
        )
        let actTwo = called.onBytes(handshake.onConnected().written, now: .zero).written
        #expect(called.onBytes(handshake.onBytes(actTwo).written, now: .zero).disconnect?.code == .selfConnection)
    }

    @Test("nodes of different networks part, and say so")
    func wrongNetwork() throws {
        var link = try SimulatedLink(makeConfiguration(1, network: .main), makeConfiguration(2), seed: 3)
        link.run(for: .seconds(5))
        for side in 0...1 {
            #expect(link.directives(of: side).disconnect?.code == .wrongNetwork)
            #expect(link.directives(of: side).established == nil)
        }
    }

    @Test("nothing happens before the connection stands and after it ended")
    func outsideItsLife() throws {
        var session = LightningSession(responderWith: try makeKey(8), configuration: try makeConfiguration(1))
        #expect(session.onBytes([1], now: .zero).isEmpty)
        #expect(session.onTimer(now: .zero).isEmpty)
        #expect(session.onRequest(id: 4, .block(Self.hash), now: .zero).answers == [4: .refused(.unavailable)])
        #expect(session.onAnswer(id: 4, .headers([]), now: .zero).isEmpty)
        #expect(session.onAnnouncement(.transaction([]), now: .zero).isEmpty)
        _ = session.onConnected(now: .zero)
        #expect(session.onConnected(now: .zero).isEmpty)
        #expect(session.onBytes(Array(repeating: 9, count: 50), now: .zero).disconnect?.code == .protocolViolation)
        #expect(session.onBytes([1], now: .zero).isEmpty)
        #expect(session.onTimer(now: .zero + .seconds(100)).isEmpty)
    }
}
