// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetKeys
import AltNetLightning
import AltNetLightningSession
import AltNetNoise
import AltNetObjects
import Testing

@Suite("LightningSession: messages for the driver, private endpoints, attached nodes")
struct LightningSessionMessagesTests {
    static let all: [UInt16] = [BitcoinOverLightning.featureBit, 385, 39]

    static func message(_ type: LightningMessage.RelayedType) -> [UInt8] {
        LightningMessage.relayed(type, body: [1, 2, 3]).encoded
    }

    static func configuration(_ features: [UInt16]) throws -> LightningSession.Configuration {
        var configuration = try makeConfiguration(0x31)
        configuration.features = LightningFeatures(features)
        return configuration
    }

    @Test(
        "messages for the driver pass in both directions once both sides offer them",
        arguments: LightningMessage.RelayedType.allCases)
    func negotiated(_ type: LightningMessage.RelayedType) throws {
        var peer = try RawPeer.open(Self.configuration(Self.all), features: Self.all)
        #expect(peer.send(plain: Self.message(type)).messages == [Self.message(type)])
        _ = peer.relay(Self.message(type))
        #expect(peer.received == [.relayed(type, body: [1, 2, 3])])
    }

    @Test("without the feature, odd types are ignored, even ones end the link, and neither is sent")
    func notNegotiated() throws {
        for (ours, theirs) in [(Self.all, [UInt16(445)]), ([445], Self.all)] {
            for type in [LightningMessage.RelayedType.directed, .onionMessage] {
                var peer = try RawPeer.open(Self.configuration(ours), features: theirs)
                #expect(peer.send(plain: Self.message(type)) == [])
                #expect(peer.relay(Self.message(type)) == [])
                #expect(peer.received.isEmpty)
            }
            var peer = try RawPeer.open(Self.configuration(ours), features: theirs)
            #expect(peer.relay(Self.message(.directedReply)) == [])
            #expect(peer.send(plain: Self.message(.directedReply)).disconnect?.code == .protocolViolation)
        }
    }

    @Test("an alternative address needs no feature")
    func alternativeAddress() throws {
        var peer = try RawPeer.open(Self.configuration([445]), features: [])
        let message = Self.message(.alternativeAddress)
        #expect(peer.send(plain: message).messages == [message])
        _ = peer.relay(message)
        #expect(peer.received == [.relayed(.alternativeAddress, body: [1, 2, 3])])
    }

    @Test("what is no message for a driver is not sent as one")
    func onlyTheseTypes() throws {
        var peer = try RawPeer.open(Self.configuration(Self.all), features: Self.all)
        let ping = LightningMessage.ping(pongLength: 1, paddingLength: 0).encoded
        for message in [ping, [], [1], [0, 209] + Array(repeating: 0, count: 65_534)] {
            #expect(peer.relay(message) == [])
        }
        #expect(peer.received.isEmpty)
    }

    @Test("a caller that is not admitted is left without a word")
    func notAdmitted() throws {
        var configuration = try makeConfiguration(0x31)
        let stranger = try makeKey(0x42).publicKey
        configuration.admits = { $0 != stranger }
        var session = LightningSession(responderWith: try makeKey(0x41), configuration: configuration)
        let end = try Self.call(&session, configuration)
        #expect(end.written.isEmpty)
        #expect(end.disconnect?.code == .authenticationFailed)
    }

    // MARK: - Private endpoints

    static func privateConfiguration() throws -> LightningSession.Configuration {
        var configuration = try makeConfiguration(0x31)
        configuration.isPrivate = true
        configuration.admits = { _ in false }
        return configuration
    }

    /// Completes the handshake as the key `0x42`; gives what act three led to.
    static func call(
        _ session: inout LightningSession, _ configuration: LightningSession.Configuration
    ) throws -> [LinkDirective] {
        var handshake = NoiseHandshake(
            initiator: try makeKey(0x42), remote: configuration.privateKey.publicKey, ephemeral: try makeKey(0x43))
        _ = session.onConnected(now: .zero)
        let actTwo = session.onBytes(handshake.onConnected().written, now: .zero).written
        return session.onBytes(handshake.onBytes(actTwo).written, now: .zero + .seconds(1))
    }

    @Test(
        "an outsider at a private endpoint hears nothing, and the end is the same whatever it sends",
        arguments: [
            [], [0x16, 3, 1], Array("GET / HTTP/1.1\r\n\r\n".utf8), Array(repeating: 0, count: 50),
            Array(repeating: 0, count: 116), [1] + Array(repeating: 2, count: 49), Array(repeating: 0xff, count: 4000),
        ])
    func outsider(_ bytes: [UInt8]) throws {
        var session = LightningSession(responderWith: try makeKey(0x41), configuration: try Self.privateConfiguration())
        #expect(session.onConnected(now: .zero) == [.setTimer(.zero + .seconds(10))])
        for (index, byte) in bytes.enumerated() {
            #expect(session.onBytes([byte], now: .zero + .milliseconds(index)) == [])
        }
        let end = session.onTimer(now: .zero + .seconds(10))
        #expect(end.count == 1)
        #expect(end.aborted != nil)
        #expect(session.onBytes([1], now: .zero + .seconds(11)) == [])
    }

    @Test("a peer that was not given the address gets act two and then silence until the same moment")
    func wrongPeer() throws {
        let configuration = try Self.privateConfiguration()
        var session = LightningSession(responderWith: try makeKey(0x41), configuration: configuration)
        #expect(try Self.call(&session, configuration) == [])
        #expect(session.onBytes([1, 2, 3], now: .zero + .seconds(2)) == [])
        #expect(session.onTimer(now: .zero + .seconds(9)) == [.setTimer(.zero + .seconds(10))])
        #expect(session.onTimer(now: .zero + .seconds(10)).aborted?.code == .authenticationFailed)
    }

    @Test("the peer that was given the address gets in")
    func rightPeer() throws {
        var configuration = try Self.privateConfiguration()
        let right = try makeKey(0x42).publicKey
        configuration.admits = { $0 == right }
        let peer = try RawPeer.open(configuration)
        #expect(peer.received == [])
    }

    // MARK: - Attached nodes

    @Test("over an attached node whole messages go in and out, one at a time, without handshake and pings")
    func attached() throws {
        let remote = try makeKey(0x42).publicKey
        var session = LightningSession(
            attachedTo: remote, features: LightningFeatures(Self.all), firstRequest: 500,
            configuration: try Self.configuration(Self.all))
        let opened = session.onConnected(now: .zero)
        #expect(opened.established?.identity == remote.description)
        #expect(opened.established?.serves == Set(ObjectKind.allCases))
        #expect(opened.established?.takesStreams == false)
        #expect(opened.written == [])
        let request = session.onRequest(id: 7, .block(Network.regtest.chainHash), now: .zero)
        let wire = try #require(request.written.isEmpty ? nil : request.written)
        #expect(try LightningMessage(decoding: wire) == .bitcoin(.request(id: 500, kind: 4, body: wire[11...])))
        let block = Array(repeating: UInt8(9), count: 100_000)
        let answer = ObjectAnswer.objects(.blocks, [block]).lightningBody(answering: .block(Network.regtest.chainHash))
        var answers: [UInt64: ObjectAnswer] = [:]
        for part in BitcoinMessage.answer(id: 500, body: answer) {
            answers.merge(session.onBytes(LightningMessage.bitcoin(part).encoded, now: .zero).answers) { $1 }
        }
        #expect(answers == [7: .objects(.blocks, [block])])
        #expect(session.onTimer(now: .zero + .seconds(3600)) == [])
    }

    @Test("a message that breaks the rules ends the link over an attached node, too")
    func attachedViolation() throws {
        let remote = try makeKey(0x42).publicKey
        var session = LightningSession(
            attachedTo: remote, features: LightningFeatures(Self.all), firstRequest: 500,
            configuration: try Self.configuration(Self.all))
        _ = session.onConnected(now: .zero)
        let end = session.onBytes(LightningMessage.bitcoin(.request(id: 5, kind: 4, body: [1])).encoded, now: .zero)
        #expect(end.disconnect?.code == .protocolViolation)
        // A warning is the node's to send, not ours.
        #expect(end.written.isEmpty)
    }

    @Test("what belongs to an earlier session over the same connection is ignored")
    func earlierSession() throws {
        var session = LightningSession(
            attachedTo: try makeKey(0x42).publicKey, features: LightningFeatures(Self.all), firstRequest: 500,
            configuration: try Self.configuration(Self.all))
        _ = session.onConnected(now: .zero)
        let late = LightningMessage.bitcoin(.answer(id: 3, remaining: 0, part: [1])).encoded
        #expect(session.onBytes(late, now: .zero) == [])
        let half = LightningMessage.bitcoin(.announcement(remaining: 5, part: [7])).encoded
        #expect(session.onBytes(half, now: .zero) == [])
        #expect(session.onBytes(half, now: .zero) == [])
        let tip = ObjectAnnouncement.tip(header: Network.regtest.genesis, height: 0)
        let body = try #require(tip.lightningBody)
        let whole = BitcoinMessage.announcement(body: body).map { LightningMessage.bitcoin($0).encoded }
        #expect(whole.flatMap { session.onBytes($0, now: .zero) }.announcements == [tip])
    }
}
