// SPDX-License-Identifier: MIT

import AltNetBase
import Foundation
import Testing

@testable import AltNetSAM

/// A destination with an Ed25519 key certificate, and its private keys.
enum SampleKey {
    static func bytes(seed: UInt64) -> [UInt8] {
        var random = SeededRandom(seed: seed)
        return random.bytes(384) + [5, 0, 4, 0, 7, 0, 0] + random.bytes(256 + 32)
    }

    static func make(seed: UInt64 = 1) throws -> I2PPrivateKey {
        try I2PPrivateKey(I2PBase64.encode(Self.bytes(seed: seed)))
    }
}

@Suite("I2P destinations")
struct I2PDestinationTests {
    @Test("base 64 agrees with Foundation's, digits aside", arguments: 0..<200)
    func base64(_ count: Int) {
        var random = SeededRandom(seed: UInt64(count))
        let bytes = random.bytes(count)
        let theirs = Data(bytes).base64EncodedString().replacing("+", with: "-").replacing("/", with: "~")
        #expect(I2PBase64.encode(bytes) == theirs)
        #expect(I2PBase64.decode(theirs) == bytes)
    }

    @Test(
        "a text that is not the one text of its bytes is refused",
        arguments: ["A", "AA", "AAA", "A===", "====", "AB==", "AAB=", "AA+A", "AA/A", "AA A", "AA=A", "AAAA\n", "ÄAAA"])
    func strict(_ text: String) {
        #expect(I2PBase64.decode(text) == nil)
    }

    @Test("an address is the hash of the destination, in both spellings of base 32")
    func address() throws {
        let key = try SampleKey.make()
        let address = key.destination.address
        #expect(address.description.utf8.count == 60)
        #expect(I2PAddress(address.description) == address)
        #expect(I2PAddress(address.description.uppercased()) == address)
        #expect(I2PAddress(hash: address.hash) == address)
        #expect(try I2PDestination(base64: key.destination.base64) == key.destination)
        #expect(key.destination.bytes.count == 391 && "\(key.destination)" == "\(address)")
        #expect(I2PAddress(hash: []) == nil)
    }

    @Test(
        "what is no address is refused",
        arguments: [
            "", ".b32.i2p", "example.i2p", String(repeating: "a", count: 51) + ".b32.i2p",
            // 52 digits are 260 bits; the last four are not used and must be zero.
            String(repeating: "a", count: 51) + "b.b32.i2p", String(repeating: "a", count: 56) + ".b32.i2p",
            String(repeating: "1", count: 52) + ".b32.i2p", String(repeating: "a", count: 52) + ".onion",
        ])
    func noAddress(_ text: String) {
        #expect(I2PAddress(text) == nil)
    }

    @Test("a destination whose certificate says otherwise is refused, and a key that is too short")
    func sizes() throws {
        let whole = SampleKey.bytes(seed: 2)
        let destination = Array(whole.prefix(391))
        func reads(_ bytes: [UInt8]) -> Bool { (try? I2PDestination(base64: I2PBase64.encode(bytes))) != nil }
        #expect(reads(destination))
        #expect(!reads(Array(destination.dropLast())) && !reads(destination + [0]) && !reads([]))
        // A null certificate has no content; hashcash, hidden and signed ones are long gone.
        #expect(reads(Array(destination.prefix(384)) + [0, 0, 0]))
        #expect(!reads(Array(destination.prefix(384)) + [0, 0, 1, 0]))
        for kind in [1, 2, 3, 4, 6, 255] as [UInt8] {
            #expect(!reads(Array(destination.prefix(384)) + [kind] + Array(destination.suffix(6))))
        }
        #expect(!reads(Array(destination.prefix(384)) + [5, 0xff, 0xff] + [UInt8](repeating: 0, count: 0xffff)))
        #expect((try? I2PPrivateKey(I2PBase64.encode(whole))) != nil)
        #expect((try? I2PPrivateKey(I2PBase64.encode(Array(whole.prefix(391 + 256))))) == nil)
        #expect((try? I2PPrivateKey(I2PBase64.encode(destination))) == nil)
    }

    @Test("a key appears in no text and no dump")
    func secrecy() throws {
        let key = try SampleKey.make()
        var text = ""
        dump(key, to: &text)
        #expect(!("\(key) \(String(reflecting: key)) \(text)".contains(key.text.suffix(40))))
        let credentials = try SAMCredentials(user: "u", password: "hunter2")
        var dumped = ""
        dump(credentials, to: &dumped)
        #expect(!("\(credentials) \(String(reflecting: credentials)) \(dumped)".contains("hunter2")))
    }
}

@Suite("SAM messages")
struct SAMMessageTests {
    @Test("a line's values are read with and without quotes")
    func reads() throws {
        let reply = try SAMReply(
            line: Array(#"STREAM STATUS RESULT=I2P_ERROR MESSAGE="no \"lease\\set\" here" A= B=x=y FLAG"#.utf8))
        #expect(reply.topic == "STREAM" && reply.kind == "STATUS")
        let expected = [
            "RESULT": "I2P_ERROR", "MESSAGE": #"no "lease\set" here"#, "A": "", "B": "x=y", "FLAG": "",
        ]
        #expect(reply.values == expected)
        let error = #expect(throws: SAMError.self) { try reply.expect("STREAM", "STATUS", to: "STREAM CONNECT") }
        #expect(
            error?.description
                == #"the I2P router refuses STREAM CONNECT: the router failed (no "lease\set" here)"#)
    }

    @Test(
        "broken lines are refused",
        arguments: [
            "", " ", "=", "A=B C", "HELLO REPLY =x", #"HELLO REPLY A="x"#, #"HELLO REPLY A="x"y"#,
            #"HELLO REPLY A="x\"#, "HELLO REPLY A=1 A=2", "HELLO REPLY A=\u{1b}[31m", "HELLO REPLY\tA=1",
            "HELLO REPLY " + (0...16).map { "K\($0)=1" }.joined(separator: " "),
        ])
    func refuses(_ line: String) {
        #expect(throws: SAMError.self) { try SAMReply(line: Array(line.utf8)) }
    }

    @Test("a message from the router cannot draw on the terminal")
    func untrusted() throws {
        let reply = try SAMReply(line: Array("A B RESULT=X\u{9b}31m MESSAGE=\u{202e}".utf8))
        let error = #expect(throws: SAMError.self) { try reply.expect("A", "B", to: "X") }
        #expect(error?.description.utf8.allSatisfy { (0x20...0x7e).contains($0) } == true)
    }

    @Test(
        "every command is said and answered as the specification has it, cut anywhere",
        arguments: 1...20 as ClosedRange<UInt64>)
    func dialogues(_ seed: UInt64) throws {
        let key = try SampleKey.make()
        let peer = try SampleKey.make(seed: 2).destination
        let destination = key.destination.base64
        let conversations: [(SAMDialogue.Command, String, String, [SAMDialogue.Step])] = [
            (
                .generateKey, "DEST GENERATE SIGNATURE_TYPE=7", "DEST REPLY PUB=\(destination) PRIV=\(key.text)",
                [.key(key)]
            ),
            (
                .createSession(id: "ab", key: key, tunnels: SAMTunnels(length: 1, quantity: 3)),
                "SESSION CREATE STYLE=STREAM ID=ab DESTINATION=\(key.text) inbound.length=1 outbound.length=1 "
                    + "inbound.quantity=3 outbound.quantity=3 i2cp.leaseSetEncType=4,0",
                "SESSION STATUS RESULT=OK DESTINATION=\(key.text)\nPING a b",
                [.session, .send(Array("PONG a b\n".utf8))]
            ),
            (
                .lookUp(peer.address), "NAMING LOOKUP NAME=\(peer.address)",
                "NAMING REPLY RESULT=OK NAME=\(peer.address) VALUE=\(peer.base64)", [.destination(peer)]
            ),
            (
                .connect(id: "ab", peer: "\(peer.address)"),
                "STREAM CONNECT ID=ab DESTINATION=\(peer.address) SILENT=false", "STREAM STATUS RESULT=OK",
                [.stream(from: nil)]
            ),
            (
                .accept(id: "ab"), "STREAM ACCEPT ID=ab SILENT=false", "STREAM STATUS RESULT=OK\n\(peer.base64)",
                [.accepting, .stream(from: peer)]
            ),
            (
                .accept(id: "ab"), "STREAM ACCEPT ID=ab SILENT=false",
                "STREAM STATUS RESULT=OK\n\(peer.base64) FROM_PORT=0 TO_PORT=65535",
                [.accepting, .stream(from: peer)]
            ),
        ]
        for (command, text, answer, expected) in conversations {
            var random = SeededRandom(seed: seed)
            var dialogue = SAMDialogue(command)
            #expect(dialogue.start() == Array("HELLO VERSION MIN=3.1 MAX=3.1\n".utf8))
            let isStream = if case .stream = expected.last { true } else { false }
            let after = isStream ? "bytes\nof the stream" : ""
            var rest = Array("HELLO REPLY RESULT=OK VERSION=3.1\n\(answer)\n\(after)".utf8)[...]
            var steps: [SAMDialogue.Step] = []
            while !rest.isEmpty {
                let piece = rest.prefix(Int.random(in: 1...200, using: &random))
                steps += try dialogue.receive(piece)
                rest = rest.dropFirst(piece.count)
            }
            #expect(steps == [.send(Array((text + "\n").utf8))] + expected)
            #expect(dialogue.takeRest() == Array(after.utf8) && dialogue.takeRest().isEmpty)
        }
    }

    @Test("answers that do not belong to the question are refused by name")
    func answers() throws {
        let key = try SampleKey.make()
        let other = try SampleKey.make(seed: 2)
        let accept = "STREAM STATUS RESULT=OK\n"
        let cases: [(SAMDialogue.Command, String, SAMError?)] = [
            (.generateKey, "DEST REPLY PUB=\(other.destination.base64) PRIV=\(key.text)", .wrongKey),
            (
                .generateKey, "DEST REPLY RESULT=I2P_ERROR MESSAGE=no",
                .refused(command: "DEST GENERATE", .routerFailed, UntrustedText("no"))
            ),
            (.generateKey, "STREAM STATUS RESULT=OK", nil),
            (.generateKey, "DEST REPLY PUB=\(key.destination.base64)", nil),
            (
                .createSession(id: "a", key: key, tunnels: .standard),
                "SESSION STATUS RESULT=OK DESTINATION=\(other.text)", .wrongKey
            ),
            (.createSession(id: "a", key: key, tunnels: .standard), "SESSION STATUS RESULT=OK", .wrongKey),
            (
                .createSession(id: "a", key: key, tunnels: .standard), "SESSION STATUS RESULT=DUPLICATED_DEST",
                .refused(command: "SESSION CREATE", .duplicatedDestination, UntrustedText(""))
            ),
            (
                .lookUp(key.destination.address), "NAMING REPLY RESULT=OK NAME=x VALUE=\(other.destination.base64)",
                .wrongDestination
            ),
            (.connect(id: "a", peer: "x"), "STREAM STATUS", nil),
            (.connect(id: "a", peer: "x"), "SESSION STATUS RESULT=OK", nil),
            (
                .connect(id: "a", peer: "x"), "STREAM STATUS RESULT=CANT_REACH_PEER",
                .refused(command: "STREAM CONNECT", .cannotReachPeer, UntrustedText(""))
            ),
            (.accept(id: "a"), accept + "not-a-destination", nil),
            (.accept(id: "a"), accept + "", nil),
            (.accept(id: "a"), accept + "STREAM STATUS RESULT=OK", nil),
            (
                .accept(id: "a"), accept + "STREAM STATUS RESULT=I2P_ERROR MESSAGE=\"gone\"",
                .refused(command: "STREAM ACCEPT", .routerFailed, UntrustedText("gone"))
            ),
        ]
        for (command, answer, expected) in cases {
            var dialogue = SAMDialogue(command)
            _ = try dialogue.receive(Array("HELLO REPLY RESULT=OK VERSION=3.1\n".utf8))
            let error = #expect(throws: SAMError.self, "\(answer)") {
                try dialogue.receive(Array((answer + "\n").utf8))
            }
            if let expected { #expect(error == expected) }
        }
    }

    @Test("an endless line is cut off at its bound, whatever it holds", arguments: 1...20 as ClosedRange<UInt64>)
    func noise(_ seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var dialogue = SAMDialogue(.generateKey)
        #expect(throws: SAMError.self) {
            for _ in 0..<1_000 {
                let bytes = random.bytes(100)
                _ = try dialogue.receive(seed.isMultiple(of: 2) ? bytes : bytes.filter { $0 != 10 })
                #expect(dialogue.held <= SAMDialogue.maximumLine)
            }
        }
    }

    @Test("credentials are quoted, and those that would be more than a word are refused")
    func credentials() throws {
        let dialogue = SAMDialogue(.generateKey, credentials: try SAMCredentials(user: "a b", password: #"p"\"#))
        let text = String(decoding: dialogue.start(), as: UTF8.self)
        #expect(text == #"HELLO VERSION MIN=3.1 MAX=3.2 USER="a b" PASSWORD="p\"\\""# + "\n")
        for (user, password) in [
            ("", "p"), ("u", ""), ("u\n", "p"), ("u", "p\r"), (String(repeating: "u", count: 256), "p"),
        ] {
            #expect(throws: SAMError.self) { try SAMCredentials(user: user, password: password) }
        }
    }

    @Test("tunnels keep within what I2P allows")
    func tunnels() {
        #expect(SAMTunnels(length: -1, quantity: 0) == SAMTunnels(length: 0, quantity: 1))
        #expect(SAMTunnels(length: 99, quantity: 99) == SAMTunnels(length: 7, quantity: 16))
    }
}
