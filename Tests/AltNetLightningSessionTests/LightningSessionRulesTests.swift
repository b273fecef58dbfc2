// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetKeys
import AltNetLightning
import AltNetLightningSession
import AltNetNoise
import AltNetObjects
import Testing

@Suite("LightningSession: setup and control messages (BOLT 1)")
struct LightningSessionRulesTests {
    @Test("a session introduces itself with its features, its network and what it serves")
    func introduction() throws {
        let peer = try RawPeer(makeConfiguration(0x31, serves: [.headers, .tips]))
        let expected = InitMessage(
            features: LightningFeatures([BitcoinOverLightning.featureBit]),
            networks: [Network.regtest.chainHash],
            servedObjects: [.headers, .tips]
        )
        #expect(peer.received == [.initialization(expected)])
    }

    @Test(
        "a first message other than init ends the connection without another word",
        arguments: [
            LightningMessage.ping(pongLength: 1, paddingLength: 0), .pong(length: 0), .other(type: 4001),
            .bitcoin(.request(id: 1, kind: 4, body: Array(repeating: 0, count: 32)[...])),
        ]
    )
    func initFirst(_ message: LightningMessage) throws {
        var peer = try RawPeer(makeConfiguration(0x31))
        peer.received = []
        let directives = peer.send(message)
        #expect(directives.disconnect?.code == .protocolViolation)
        #expect(peer.received.isEmpty)
    }

    @Test("an init that does not come ends the connection")
    func initTimeout() throws {
        var peer = try RawPeer(makeConfiguration(0x31))
        #expect(peer.advance(by: .seconds(9)).disconnect == nil)
        #expect(peer.advance(by: .seconds(2)).disconnect?.code == .timedOut)
    }

    @Test("a second init ends the connection, with a warning")
    func secondInit() throws {
        var peer = try RawPeer.open()
        let directives = peer.send(.initialization(InitMessage(features: LightningFeatures())))
        #expect(directives.disconnect?.code == .protocolViolation)
        #expect(peer.received == [.warning(NoticeMessage("a second init message"))])
    }

    @Test("networks: none named is fine, ours among others is fine, only others is not")
    func networks() throws {
        let (ours, other) = (Network.regtest.chainHash, Network.main.chainHash)
        for (networks, code) in [([], nil), ([other, ours], nil), ([other], DisconnectReason.Code.wrongNetwork)] {
            var peer = try RawPeer(makeConfiguration(0x31))
            let message = InitMessage(features: LightningFeatures(), networks: networks)
            #expect(peer.send(.initialization(message)).disconnect?.code == code)
        }
    }

    @Test(
        "unknown compulsory features end the connection, optional and assigned ones do not",
        arguments: [
            ([1000], DisconnectReason.Code.protocolViolation), ([2], .protocolViolation), ([1001], nil),
            ([0, 6, 8, 12, 14, 24, 38], nil), ([444], nil), ([51], .protocolViolation), ([51, 47], nil),
        ] as [([UInt16], DisconnectReason.Code?)]
    )
    func features(_ bits: [UInt16], _ code: DisconnectReason.Code?) throws {
        var peer = try RawPeer(makeConfiguration(0x31))
        let directives = peer.send(.initialization(InitMessage(features: LightningFeatures(bits))))
        #expect(directives.disconnect?.code == code)
        #expect((directives.established == nil) == (code != nil))
    }

    @Test("stock software stays connected, serves nothing, and is asked nothing")
    func stockPeer() throws {
        var peer = try RawPeer(makeConfiguration(0x31))
        let directives = peer.send(.initialization(InitMessage(features: LightningFeatures([8, 14]))))
        #expect(directives.established?.serves == [])
        peer.received = []
        #expect(peer.request(5, .block(.zero)).answers == [5: .refused(.unsupported)])
        #expect(peer.announce(.tip(header: Network.regtest.genesis, height: 0)).isEmpty)
        // Our type numbers mean nothing to it, and are odd.
        #expect(peer.send(.bitcoin(.answer(id: 1, remaining: 0, part: [1]))).disconnect == nil)
        #expect(peer.send(.bitcoin(.request(id: 1, kind: 4, body: [1]))).requests.isEmpty)
        #expect(peer.received.isEmpty)
    }

    @Test("a peer that does not list what it serves may serve anything")
    func unlistedService() throws {
        var peer = try RawPeer(makeConfiguration(0x31))
        let message = InitMessage(features: LightningFeatures([BitcoinOverLightning.featureBit]))
        #expect(peer.send(.initialization(message)).established?.serves == Set(ObjectKind.allCases))
    }

    @Test("pings get pongs of the length they ask for", arguments: [0, 1, 700, 65531] as [UInt16])
    func pings(_ length: UInt16) throws {
        var peer = try RawPeer.open()
        #expect(peer.send(.ping(pongLength: length, paddingLength: 3)).disconnect == nil)
        #expect(peer.received == [.pong(length: length)])
    }

    @Test("pings that ask for more than a message holds are ignored", arguments: [65532, 65535] as [UInt16])
    func silentPings(_ length: UInt16) throws {
        var peer = try RawPeer.open()
        for _ in 0..<200 { #expect(peer.send(.ping(pongLength: length, paddingLength: 3)).isEmpty) }
    }

    @Test("a flood of pings cannot be turned into a flood of pongs")
    func pingFlood() throws {
        var peer = try RawPeer.open()
        var reason: DisconnectReason?
        var sent = 0
        while reason == nil, sent < 1000 {
            reason = peer.send(.ping(pongLength: 65531, paddingLength: 0)).disconnect
            sent += 1
        }
        #expect(reason?.code == .limitExceeded)
        #expect(peer.received.filter { $0 == .pong(length: 65531) }.count == 32)
    }

    @Test("a peer that pings every second is fine")
    func steadyPings() throws {
        var peer = try RawPeer.open()
        for _ in 0..<300 {
            #expect(peer.send(.ping(pongLength: 8, paddingLength: 0)).disconnect == nil)
            #expect(peer.advance(by: .seconds(1)).disconnect == nil)
        }
    }

    @Test("a silent peer is pinged, and left when no pong comes")
    func ownPings() throws {
        var peer = try RawPeer.open()
        #expect(peer.advance(by: .seconds(29)).written.isEmpty)
        _ = peer.advance(by: .seconds(1))
        #expect(peer.received == [.ping(pongLength: 16, paddingLength: 0)])
        #expect(peer.send(.pong(length: 16)).disconnect == nil)
        _ = peer.advance(by: .seconds(30))
        #expect(peer.received.count == 2)
        #expect(peer.advance(by: .seconds(29)).disconnect == nil)
        #expect(peer.advance(by: .seconds(1)).disconnect?.code == .timedOut)
    }

    @Test("a pong may be late while other things come, but not for ever")
    func latePong() throws {
        var peer = try RawPeer.open()
        _ = peer.advance(by: .seconds(30))
        for _ in 0..<14 {
            #expect(peer.advance(by: .seconds(20)).disconnect == nil)
            #expect(peer.send(.other(type: 4001)).disconnect == nil)
        }
        #expect(peer.advance(by: .seconds(21)).disconnect?.code == .timedOut)
    }

    @Test("pongs that no ping asked for end the connection")
    func wrongPongs() throws {
        var unasked = try RawPeer.open()
        #expect(unasked.send(.pong(length: 16)).disconnect?.code == .protocolViolation)
        var wrongLength = try RawPeer.open()
        _ = wrongLength.advance(by: .seconds(30))
        #expect(wrongLength.send(.pong(length: 15)).disconnect?.code == .protocolViolation)
    }

    @Test("unknown odd messages and gossip are ignored, unknown even ones end the connection")
    func unknownTypes() throws {
        var peer = try RawPeer.open()
        for type: UInt16 in [3, 265, 513, 33001, 256, 258] { #expect(peer.send(.other(type: type)).isEmpty) }
        for type: UInt16 in [20, 32, 128, 32768, 44402] {
            var peer = try RawPeer.open()
            #expect(peer.send(.other(type: type)).disconnect?.code == .protocolViolation)
        }
    }

    @Test("warnings and errors about channels are ignored, errors about the connection end it")
    func notices() throws {
        var peer = try RawPeer.open()
        #expect(peer.send(.warning(NoticeMessage("careful"))).isEmpty)
        var channelError = NoticeMessage("unknown channel")
        channelError.channelID[3] = 1
        #expect(peer.send(.error(channelError)).isEmpty)
        let reason = peer.send(.error(NoticeMessage("go\u{1b}[2Jaway"))).disconnect
        #expect(reason == DisconnectReason(.remoteError, "the peer reports: go?[2Jaway"))
    }

    @Test("messages too short for their type end the connection", arguments: [0, 1, 2, 3])
    func shortMessages(_ length: Int) throws {
        var peer = try RawPeer.open()
        #expect(
            peer.send(plain: Array([0, 18, 0].prefix(length)) + (length == 3 ? [0] : [])).disconnect?.code
                == .protocolViolation
        )
    }

    @Test("bytes that do not decrypt end the connection without another word")
    func tampered() throws {
        var peer = try RawPeer.open()
        let directives = peer.send(wire: Array(repeating: 5, count: 18))
        #expect(directives.disconnect?.code == .authenticationFailed)
        #expect(directives.written.isEmpty)
    }

    @Test("an incomplete message holds no more than itself")
    func boundedBuffer() throws {
        var peer = try RawPeer.open()
        for _ in 0..<17 { #expect(peer.send(wire: [0]).isEmpty) }
        #expect(peer.session.heldBytes == 17)
    }
}
