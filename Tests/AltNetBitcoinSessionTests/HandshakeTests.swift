// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetObjects
import Testing

@testable import AltNetBitcoinSession

@Suite("Bitcoin handshake")
struct HandshakeTests {
    @Test("an outbound session speaks first")
    func outbound() throws {
        var script = SessionScript(direction: .outbound)
        let opening = script.connect()
        #expect(opening.commands == ["version"])
        guard case .version(let version) = opening.written.first else { return }
        #expect(version.protocolVersion == 70016)
        #expect(version.services == 0)
        #expect(version.time == 1_700_000_000)
        #expect(version.nonce == 0xa1)
        #expect(version.startHeight == 7)
        #expect(!version.relay)
        #expect(String(decoding: version.userAgent, as: UTF8.self) == "/AltNet:0.1.0/")

        #expect(script.receive(.version(.sample)).commands == ["wtxidrelay", "sendaddrv2", "verack"])
        #expect(script.receive(.wtxidrelay, .sendaddrv2).isQuiet)
        let end = script.receive(.verack)
        #expect(end.commands == ["sendheaders"])
        let peer = try #require(end.peer)
        #expect(peer.agent.description == "/Satoshi:31.0.0/")
        #expect(peer.claimedHeight == 840_000)
        #expect(peer.identity.isEmpty)
        #expect(peer.serves == [.headers, .addresses, .tips, .blocks])
    }

    @Test("an inbound session tells the other side where it sees it, and others tell nothing")
    func receiver() throws {
        var configuration = BitcoinPeerSession.Configuration.sample(direction: .inbound)
        configuration.receiver = try #require(P2PAddressField(address: [203, 0, 113, 9], port: 4711))
        for (configuration, expected) in [
            (configuration, configuration.receiver), (.sample(direction: .inbound), .empty),
        ] {
            var script = SessionScript(configuration)
            _ = script.connect()
            guard case .version(let version)? = script.receive(.version(.sample)).written.first else {
                return #expect(Bool(false), "no version was sent")
            }
            #expect(version.receiver == expected)
            #expect(version.sender == .empty)
        }
    }

    @Test("an inbound session answers")
    func inbound() {
        var script = SessionScript(direction: .inbound)
        #expect(script.connect().isQuiet)
        let answer = script.receive(.version(.sample))
        #expect(answer.commands == ["version", "wtxidrelay", "sendaddrv2", "verack"])
        #expect(answer.peer == nil)
        #expect(script.receive(.verack).peer != nil)
    }

    @Test("survives any cut of the other side's bytes", arguments: [BitcoinPeerSession.Direction.outbound, .inbound])
    func byteByByte(direction: BitcoinPeerSession.Direction) {
        var script = SessionScript(direction: direction)
        var outcome = script.connect()
        let messages: [P2PMessage] = [.version(.sample), .wtxidrelay, .sendaddrv2, .verack, .sendheaders, .ping(9)]
        for byte in messages.flatMap({ $0.encoded(for: .regtest) }) { outcome.append(script.receive(bytes: [byte])) }
        #expect(outcome.peer != nil)
        #expect(outcome.written.last == .pong(9))
    }

    @Test("spares old peers the messages that they may not know")
    func courtesy() {
        var script = SessionScript(direction: .outbound)
        _ = script.connect()
        #expect(script.receive(.version(.sample.with { $0.protocolVersion = 70015 })).commands == ["verack"])
    }

    @Test("refuses an obsolete version and says which", arguments: [Int32.min, 0, 209, 31800, 70014])
    func obsolete(version: Int32) {
        var script = SessionScript(direction: .inbound)
        _ = script.connect()
        let outcome = script.receive(.version(.sample.with { $0.protocolVersion = version }))
        #expect(outcome.end?.code == .protocolViolation)
        #expect(outcome.end?.detail.contains("\(version)") == true)
        #expect(outcome.end?.detail.contains("70015") == true)
        #expect(outcome.written.isEmpty)
    }

    @Test("recognises itself by its nonce and by those of its other connections", arguments: [0xa1, 0xa2, 0xa3])
    func selfConnection(nonce: UInt64) {
        for direction in [BitcoinPeerSession.Direction.inbound, .outbound] {
            var script = SessionScript(direction: direction)
            _ = script.connect()
            let outcome = script.receive(.version(.sample.with { $0.nonce = nonce }))
            #expect(outcome.end?.code == .selfConnection)
            #expect(outcome.written.isEmpty)
        }
    }

    @Test("takes nobody for itself who sends no nonce")
    func noNonce() {
        var script = SessionScript(.sample(nonce: 0))
        _ = script.connect()
        #expect(script.receive(.version(.sample.with { $0.nonce = 0 }), .verack).peer != nil)
    }

    @Test("tells a node of another network from something else entirely")
    func wrongNetwork() {
        for other in Network.allCases where other != .regtest {
            var script = SessionScript()
            _ = script.connect()
            let end = script.receive(bytes: P2PMessage.version(.sample).encoded(for: other)).end
            #expect(end?.code == .wrongNetwork)
            #expect(end?.detail.contains(other.rawValue) == true)
        }
        var script = SessionScript()
        _ = script.connect()
        #expect(script.receive(bytes: Array("SSH-2.0-OpenSSH".utf8)).end?.code == .protocolViolation)
    }

    @Test("ends when version or verack does not come within 60 seconds")
    func deadline() {
        var silent = SessionScript()
        _ = silent.connect()
        #expect(silent.wait(.seconds(59)).isQuiet)
        #expect(silent.wait(.seconds(1)).end?.code == .timedOut)

        var halfway = SessionScript()
        _ = halfway.connect()
        #expect(halfway.wait(.seconds(50)).isQuiet)
        _ = halfway.receive(.version(.sample))
        #expect(halfway.wait(.seconds(9)).isQuiet)
        let end = halfway.wait(.seconds(1)).end
        #expect(end?.code == .timedOut)
        #expect(end?.detail.contains("verack") == true)
    }

    @Test("ignores what comes before version and before verack, as Bitcoin Core does")
    func early() {
        var script = SessionScript(direction: .inbound)
        _ = script.connect()
        #expect(script.receive(.verack, .ping(1), .getheaders(locator: [.zero], stop: .zero), .getaddr).isQuiet)
        _ = script.receive(.version(.sample))
        #expect(script.receive(.ping(1), .inv([]), .getaddr, .version(.sample)).isQuiet)
        #expect(script.receive(.verack).peer != nil)
    }

    @Test("ignores a second version and a second verack")
    func duplicates() {
        var script = SessionScript.established()
        #expect(script.receive(.version(.sample), .verack).isQuiet)
    }

    @Test("ends when negotiation goes on after verack", arguments: [P2PMessage.wtxidrelay, .sendaddrv2])
    func lateNegotiation(message: P2PMessage) {
        var script = SessionScript.established()
        #expect(script.receive(message).end?.code == .protocolViolation)
    }

    @Test("accepts only small messages from strangers")
    func strangers() {
        var script = SessionScript(direction: .inbound)
        _ = script.connect()
        let end = script.receive(.unknown(command: "alert", size: 4097)).end
        #expect(end?.code == .limitExceeded)

        var friend = SessionScript.established()
        #expect(friend.receive(.unknown(command: "alert", size: 100_000)).isQuiet)
    }

    @Test("does not claim a height for a peer that claims a negative one")
    func negativeHeight() {
        var script = SessionScript()
        _ = script.connect()
        let peer = script.receive(.version(.sample.with { $0.startHeight = -1 }), .verack).peer
        #expect(peer != nil)
        #expect(peer?.claimedHeight == nil)
    }

    @Test("shows an agent with control characters as printable text only")
    func agent() {
        var script = SessionScript()
        _ = script.connect()
        let version = P2PVersion.sample.with { $0.userAgent = [27, 91, 72, 10, 255] }
        #expect(script.receive(.version(version), .verack).peer?.agent.description == "?[H??")
    }

    @Test("says nothing and does nothing after the end")
    func afterTheEnd() {
        var script = SessionScript()
        _ = script.connect()
        #expect(script.receive(bytes: [0, 0, 0, 0]).end != nil)
        #expect(script.receive(.version(.sample)).isQuiet)
        #expect(script.request(1, .block(.zero)).isQuiet)
        #expect(script.wait(.seconds(3600)).isQuiet)
    }

    @Test("reports a damaged stream with a named reason")
    func damaged() {
        var checksum = SessionScript.established()
        var bytes = P2PMessage.ping(1).encoded(for: .regtest)
        bytes[24] ^= 1
        #expect(checksum.receive(bytes: bytes).end?.detail == "the checksum of ping does not fit its payload")

        var payload = SessionScript.established()
        let frame = P2PMessage.frame(command: "inv", payload: [0xfd, 1, 0], network: .regtest)
        #expect(payload.receive(bytes: frame).end?.detail == "malformed inv: a length is not in its shortest form")
    }
}
