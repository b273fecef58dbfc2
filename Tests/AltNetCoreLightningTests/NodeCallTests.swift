// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import AltNetLightningAttachment
import Testing

@testable import AltNetCoreLightning

@Suite("Calls of lightningd's JSON-RPC")
struct NodeCallTests {
    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    @Test("are written as lightningd reads them")
    func requests() throws {
        #expect(
            Self.text(NodeCalls.send([0xad, 0x71, 0xff], to: Nodes.one).encode(id: 7))
                == #"{"id":7,"jsonrpc":"2.0","method":"sendcustommsg","params":{"msg":"ad71ff","node_id":"\#(Nodes.one)"}}"#
                + "\n\n")
        #expect(
            Self.text(NodeCalls.peers(nil).encode(id: 1))
                == #"{"filter":{"peers":[{"connected":true,"features":true,"id":true}]},"id":1,"jsonrpc":"2.0","#
                + #""method":"listpeers","params":{}}"# + "\n\n")
        let onion = AttachedOnionMessage(firstNode: Nodes.one, pathKey: Nodes.two, onion: [0, 1])
        #expect(
            Self.text(NodeCalls.inject(onion).encode(id: 2))
                == #"{"id":2,"jsonrpc":"2.0","method":"injectonionmessage","params":{"message":"0001","#
                + #""path_key":"\#(Nodes.two)"}}"# + "\n\n")
        #expect(
            Self.text(NodeCalls.connect(Nodes.one, host: "127.0.0.1", port: 9735).encode(id: 3))
                == #"{"id":3,"jsonrpc":"2.0","method":"connect","params":{"host":"127.0.0.1","id":"\#(Nodes.one)","#
                + #""port":9735}}"# + "\n\n")
    }

    @Test(
        "have errors that say what they mean",
        arguments: [
            (-32600, "No such peer: x", AttachmentError.notConnected(Nodes.one)),
            (-32600, "Peer is not connected", .notConnected(Nodes.one)),
            (
                -32600, "Cannot send messages of type 18",
                .refused(code: -32600, UntrustedText("Cannot send messages of type 18"))
            ),
            (-32601, "Unknown command", .unsupported("this lightningd has no method")),
            (400, "Unable to connect, no address known for peer", .peerUnreachable(Nodes.one)),
            (401, "All addresses failed: 192.0.2.7:9735", .peerUnreachable(Nodes.one)),
            (402, "gone", .peerUnreachable(Nodes.one)),
            (-1, "can't process onionpacket ss=0011", .refused(code: -1, UntrustedText("can't process onionpacket"))),
        ])
    func errors(code: Int, message: String, error: AttachmentError) {
        #expect(NodeFailure(code: code, message: message).error(method: "method", peer: Nodes.one) == error)
    }

    @Test(
        "take the answers that fit, and refuse the others",
        arguments: [
            (#"{"id":1,"result":{"peers":[]}}"#, nil),
            (#"{"id":1,"result":{"peers":[{"id":"\#(Nodes.one)","connected":true}]}}"#, nil),
            (#"{"id":1,"result":{"peers":[{"id":"00","connected":true}]}}"#, "has not the form"),
            (#"{"id":1,"result":[]}"#, "has not the form"), (#"{"id":1}"#, "has neither result nor error"),
            (#"{"id":1,"error":{"code":5,"message":"no"}}"#, "refused (5): no"),
        ] as [(String, String?)])
    func answers(text: String, complaint: String?) throws {
        let answer = try #require(NodeAnswer(Array(text.utf8)))
        #expect(answer.id == 1)
        do throws(AttachmentError) {
            _ = try answer.result(of: NodeCalls.peers(nil), peer: nil)
            #expect(complaint == nil)
        } catch {
            #expect(error.description.contains(try #require(complaint)))
        }
    }

    @Test("give the identities of open channels only")
    func channels() throws {
        let identity = String(repeating: "07", count: 32)
        let channels = [
            #"{"peer_id":"\#(Nodes.one)","state":"CHANNELD_NORMAL","channel_id":"\#(identity)"}"#,
            #"{"peer_id":"\#(Nodes.one)","state":"CHANNELD_AWAITING_LOCKIN","channel_id":"\#(identity)"}"#,
            #"{"peer_id":"\#(Nodes.two)","state":"CHANNELD_NORMAL"}"#,
            #"{"peer_id":"\#(Nodes.two)","state":"CHANNELD_NORMAL","channel_id":"0707"}"#,
        ]
        let text = #"{"id":1,"result":{"channels":[\#(channels.joined(separator: ","))]}}"#
        let answer = try #require(NodeAnswer(Array(text.utf8)))
        let open = try answer.result(of: NodeCalls.channels(nil), peer: nil).open
        #expect(open == [Nodes.one: [[UInt8](repeating: 7, count: 32)]])
    }

    @Test("what a node announced is taken over as far as it can be understood, and no more than a few")
    func announced() throws {
        #expect(
            Self.text(NodeCalls.nodes(Nodes.one).encode(id: 1))
                == #"{"filter":{"nodes":[{"addresses":true,"nodeid":true}]},"id":1,"jsonrpc":"2.0","#
                + #""method":"listnodes","params":{"id":"\#(Nodes.one)"}}"# + "\n\n")
        func addresses(_ nodes: String) throws -> [String] {
            let answer = try #require(NodeAnswer(Array(#"{"id":1,"result":{"nodes":[\#(nodes)]}}"#.utf8)))
            return try answer.result(of: NodeCalls.nodes(Nodes.one), peer: nil).addresses(of: Nodes.one).map(\.text)
        }
        let onion = "cqkvoyooxkpi763a4wczaludrheuwpt7ndghhfymv5hohgkmm26pboqd.onion"
        #expect(
            try addresses(
                #"{"nodeid":"\#(Nodes.one)","addresses":[{"type":"ipv4","address":"203.0.113.7","port":9735},"#
                    + #"{"type":"ipv6","address":"2001:db8::7","port":1},{"type":"torv2","address":"x.onion","port":2},"#
                    + #"{"type":"torv3","address":"\#(onion)","port":3},{"type":"dns","address":"example.org","port":4},"#
                    + #"{"type":"ipv4","address":"203.0.113.7\",\"","port":5},{"type":"websocket","port":6}]}"#)
                == ["203.0.113.7:9735", "[2001:db8::7]:1", "\(onion):3", "example.org:4"])
        // Of another node than the one asked about; of one that only a channel is known of; nothing.
        #expect(
            try addresses(
                #"{"nodeid":"\#(Nodes.two)","addresses":[{"type":"ipv4","address":"203.0.113.7","port":9735}]}"#
            ).isEmpty)
        #expect(try addresses(#"{"nodeid":"\#(Nodes.one)"}"#).isEmpty)
        #expect(try addresses("").isEmpty)
        let many = (1...200).map { #"{"type":"ipv4","address":"203.0.113.\#($0)","port":1}"# }
        #expect(
            try addresses(#"{"nodeid":"\#(Nodes.one)","addresses":[\#(many.joined(separator: ","))]}"#).count
                == AnnouncedAddresses.maximum)
    }

    @Test(
        "whose answers are no objects with an identifier belong to nobody",
        arguments: [
            (#"{"method":"progress"}"#, true), (#"{"id":"text"}"#, false), ("{x}", false),
        ])
    func foreign(text: String, isAnswer: Bool) {
        let answer = NodeAnswer(Array(text.utf8))
        #expect((answer != nil) == isAnswer)
        #expect(answer?.id == nil)
    }
}
