// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetKeys
import AltNetLightning
import AltNetLightningAttachment
import Foundation
import Testing

@testable import AltNetCoreLightning

/// Points of the curve: one and two times its generator.
enum Nodes {
    static let one = Self.node("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
    static let two = Self.node("02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5")

    private static func node(_ text: String) -> NodeID {
        guard let node = NodeID(hex: text) else { preconditionFailure("\(text) is a point of the curve") }
        return node
    }
}

@Suite("lightningd's plugin protocol")
struct PluginSessionTests {
    private static func session() -> PluginSession {
        PluginSession(manifest: PluginManifest(messageTypes: CoreLightningPlugin.messageTypes))
    }

    /// What a fresh session makes of a text.
    private static func directives(_ text: String) throws -> [PluginDirective] {
        var session = Self.session()
        return try session.onBytes(text.utf8)
    }

    private static func written(_ directives: [PluginDirective]) throws -> [NSDictionary] {
        try directives.compactMap { directive in
            guard case .write(let bytes) = directive else { return nil }
            return try JSONSerialization.jsonObject(with: Data(bytes)) as? NSDictionary
        }
    }

    private static func events(_ directives: [PluginDirective]) -> [PluginEvent] {
        directives.compactMap { directive in
            guard case .event(let event) = directive else { return nil }
            return event
        }
    }

    private static func initialisation(
        file: String? = "/run/start", network: String = "regtest", directory: String = "/lightning/regtest"
    ) -> String {
        let options = file.map { #""altnet-start-file":"\#($0)""# } ?? ""
        return #"{"jsonrpc":"2.0","id":"i","method":"init","params":{"options":{\#(options)},"configuration":"#
            + #"{"lightning-dir":"\#(directory)","rpc-file":"lightning-rpc","network":"\#(network)"}}}"#
    }

    @Test("says in its manifest what it takes and offers")
    func manifest() throws {
        let answer = try #require(
            Self.written(Self.directives(#"{"jsonrpc":"2.0","id":"cln:getmanifest#1","method":"getmanifest"}"#)).first)
        #expect(answer["id"] as? String == "cln:getmanifest#1")
        let manifest = try #require(answer["result"] as? [String: Any])
        let features = try #require((manifest["featurebits"] as? [String: String])?["init"])
        #expect(LightningFeatures(bytes: try #require(Hex.decode(features))).bits == [445])
        #expect((manifest["featurebits"] as? [String: String])?.count == 1)
        #expect(manifest["custommessages"] as? [Int] == [386])
        #expect(manifest["dynamic"] as? Bool == false)
        #expect(manifest["nonnumericids"] as? Bool == true)
        let hooks = try #require(manifest["hooks"] as? [[String: Any]])
        #expect(
            hooks.compactMap { $0["name"] as? String }
                == ["custommsg", "onion_message_recv", "onion_message_recv_secret"])
        #expect(
            hooks.first?["filters"] as? [Int]
                == [209, 385, 386, 44401, 44403, 44405, 44407, 44409, 44411, 44413, 44415, 44417])
        #expect(hooks.dropFirst().allSatisfy { $0["filters"] == nil })
        let option = try #require((manifest["options"] as? [[String: String]])?.first)
        #expect(option["name"] == "altnet-start-file")
        #expect(option["default"] == nil)
    }

    @Test("says in each case what a recorded lightningd heard then")
    func recording() throws {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("Recordings/lightningd-26.06.jsonl")
        let lines = try String(contentsOf: path, encoding: .utf8).split(separator: "\n")
        var session = Self.session()
        var said: [NSDictionary] = []
        var recorded: [NSDictionary] = []
        var events: [PluginEvent] = []
        for line in lines {
            let entry = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
            let message = try #require(entry["message"] as? NSDictionary)
            switch entry["from"] as? String {
            case "plugin": recorded.append(message)
            case "lightningd":
                var directives = try session.onBytes(try JSONSerialization.data(withJSONObject: message))
                if directives.contains(where: { if case .initialise = $0 { true } else { false } }) {
                    directives += session.answerInitialisation(disabling: nil)
                }
                said += try Self.written(directives)
                events += Self.events(directives)
                #expect(!directives.contains { if case .ignored = $0 { true } else { false } })
            default: continue
            }
        }
        #expect(recorded.count > 10)
        // lightningd heard some of the answers later than others.
        #expect(Set(said) == Set(recorded))
        #expect(events.contains { if case .onionMessage = $0 { true } else { false } })
        #expect(events.contains { if case .channelsChanged = $0 { true } else { false } })
    }

    @Test(
        "takes lightningd's networks by its names",
        arguments: [
            ("bitcoin", Network.main), ("testnet", .testnet3), ("testnet4", .testnet4), ("signet", .signet),
            ("regtest", .regtest),
        ])
    func networks(name: String, network: Network) throws {
        guard case .initialise(let configuration)? = try Self.directives(Self.initialisation(network: name)).first
        else {
            Issue.record("\(name) was not taken")
            return
        }
        #expect(configuration.network == network)
        #expect(configuration.startFile == "/run/start")
        #expect(configuration.socketPath == "/lightning/regtest/lightning-rpc")
    }

    @Test(
        "disables itself without a start file that it can use, and on a network that it does not know",
        arguments: [
            (nil, "regtest", "is not set"), ("", "regtest", "is not set"), ("start", "regtest", "absolute path"),
            ("/run/start", "liquidv1", "liquidv1"), ("/run/start", "main", "network main"),
        ] as [(String?, String, String)])
    func disabled(file: String?, network: String, reason: String) throws {
        let answers = try Self.written(Self.directives(Self.initialisation(file: file, network: network)))
        #expect(answers.count == 2)
        let line = try #require(answers.first?["params"] as? [String: String])
        let result = try #require(answers.last?["result"] as? [String: String])
        #expect(line["level"] == "warn")
        #expect(line["message"]?.contains(reason) == true)
        #expect(result["disable"]?.contains(reason) == true)
    }

    @Test("uses the socket's name alone where the whole path is too long for a socket, and an absolute name as it is")
    func longPath() throws {
        let directory = "/" + String(repeating: "d", count: 100)
        guard case .initialise(let long)? = try Self.directives(Self.initialisation(directory: directory)).first else {
            Issue.record("init was not taken")
            return
        }
        #expect(long.socketPath == "lightning-rpc")
    }

    @Test("is initialised once")
    func onlyOnce() throws {
        var session = Self.session()
        _ = try session.onBytes(Self.initialisation().utf8)
        #expect(session.answerInitialisation(disabling: nil).count == 1)
        #expect(session.answerInitialisation(disabling: nil).isEmpty)
        let again = try Self.written(try session.onBytes(Self.initialisation().utf8))
        #expect((again.first?["error"] as? [String: Any])?["code"] as? Int == -32601)
    }

    @Test(
        "ends at an init that it cannot read, and at what is no message",
        arguments: [
            (#"{"id":1,"method":"init","params":{}}"#, true), (#"{"id":1}"#, false), (#"{"method":7}"#, false),
            (#"{a}"#, false), (#"{"id":{},"method":"custommsg"}"#, false), ("{]", false),
        ])
    func nonsense(text: String, isInitialisation: Bool) {
        #expect {
            try Self.directives(text)
        } throws: { error in
            switch error as? PluginProtocolError {
            case .badInitialisation: isInitialisation
            case .notAMessage: !isInitialisation
            case .framing, nil: false
            }
        }
    }

    @Test(
        "answers hooks with continue whatever they bring, with the identifier that they have",
        arguments: [
            (#""cln:custommsg#55""#, #"{"payload":"ad710102","peer_id":"\#(Nodes.one)"}"#, 1),
            ("7", #"{"payload":"ad71","peer_id":"\#(Nodes.one)"}"#, 1),
            ("7", #"{"payload":"0007","peer_id":"\#(Nodes.one)"}"#, 0),
            ("7", #"{"payload":"ad","peer_id":"\#(Nodes.one)"}"#, 0),
            ("7", #"{"payload":"ad71","peer_id":"00"}"#, 0), ("7", #"{"payload":"zz","peer_id":"\#(Nodes.one)"}"#, 0),
            ("7", "null", 0), ("7", "[]", 0), ("7", "{}", 0),
        ])
    func hooks(id: String, parameters: String, events: Int) throws {
        let directives = try Self.directives(
            #"{"jsonrpc":"2.0","id":\#(id),"method":"custommsg","params":\#(parameters)}"#)
        let expected = #"{"id":\#(id),"jsonrpc":"2.0","result":{"result":"continue"}}"# + "\n\n"
        #expect(directives.first == .write(Array(expected.utf8)))
        #expect(Self.events(directives).count == events)
    }

    @Test("gives the message of a hook, and those of notifications")
    func events() throws {
        let message = #"{"id":"1","method":"custommsg","params":{"payload":"ad71FF","peer_id":"\#(Nodes.one)"}}"#
        #expect(Self.events(try Self.directives(message)) == [.message(from: Nodes.one, [0xad, 0x71, 0xff])])
        let notifications: [(String, PluginEvent)] = [
            (
                #"{"method":"connect","params":{"connect":{"id":"\#(Nodes.one)","direction":"in"}}}"#,
                .connected(Nodes.one)
            ),
            (#"{"method":"disconnect","params":{"disconnect":{"id":"\#(Nodes.two)"}}}"#, .disconnected(Nodes.two)),
            (
                #"{"method":"channel_state_changed","params":{"channel_state_changed":{"peer_id":"\#(Nodes.two)"}}}"#,
                .channelsChanged(Nodes.two)
            ),
        ]
        for (text, event) in notifications { #expect(try Self.directives(text) == [.event(event)]) }
        #expect(try Self.directives(#"{"method":"shutdown","params":{"shutdown":{}}}"#) == [.end])
        #expect(
            try Self.directives(#"{"method":"connect","params":{}}"#)
                == [.ignored("lightningd's notification connect is not understood")])
    }

    @Test("puts an onion message's fields and reply path together again")
    func onion() throws {
        let path =
            #"{"first_node_id":"\#(Nodes.one)","first_path_key":"\#(Nodes.two)","hops":["#
            + #"{"blinded_node_id":"\#(Nodes.two)","encrypted_recipient_data":"0a0b0c"}]}"#
        let text =
            #"{"id":"1","method":"onion_message_recv_secret","params":{"onion_message":{"pathsecret":"1111","#
            + #""reply_blindedpath":\#(path),"invoice_request":"01","invoice":"02","invoice_error":"03","#
            + #""unknown_fields":[{"number":65,"value":"aabb"},{"number":18446744073709551615,"value":""}]}}}"#
        let directives = try Self.directives(text)
        #expect(
            Self.events(directives) == [
                .onionMessage(
                    OnionDelivery(
                        fields: [64: [1], 66: [2], 68: [3], 65: [0xaa, 0xbb], .max: []],
                        replyPath: Nodes.one.bytes + Nodes.two.bytes + [1] + Nodes.two.bytes + [
                            0, 3, 0x0a, 0x0b, 0x0c,
                        ],
                        pathSecret: [0x11, 0x11]))
            ])
    }

    @Test(
        "writes a reply path that begins at a channel as BOLT 4's sciddir_or_pubkey",
        arguments: [
            ("103x1x2", 1, "010000670000010002"), ("16777215x16777215x65535", 0, "00ffffffffffffffff"),
            ("16777216x0x0", 0, nil), ("1x2", 0, nil), ("1x2x", 0, nil), ("1x2x3", 2, nil), ("ax2x3", 0, nil),
        ] as [(String, Int, String?)])
    func channelPath(channel: String, direction: Int, bytes: String?) throws {
        let path =
            #"{"first_scid":"\#(channel)","first_scid_dir":\#(direction),"first_path_key":"\#(Nodes.two)","#
            + #""hops":[]}"#
        let text =
            #"{"id":"1","method":"onion_message_recv","params":{"onion_message":{"#
            + #""reply_blindedpath":\#(path),"unknown_fields":[]}}}"#
        let events = Self.events(try Self.directives(text))
        guard let bytes else {
            #expect(events.isEmpty)
            return
        }
        let expected = try #require(Hex.decode(bytes)) + Nodes.two.bytes + [0]
        #expect(events == [.onionMessage(OnionDelivery(fields: [:], replyPath: expected))])
    }
}
