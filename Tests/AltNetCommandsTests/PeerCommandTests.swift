// SPDX-License-Identifier: MIT

import AltNetControl
import AltNetPeerRecords
import ArgumentParser
import Testing

@testable import AltNetCommands

@Suite("altnet peers")
struct PeerCommandTests {
    private static let key = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    private static let peer = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
    private static let place = "/ip4/203.0.113.7/tcp/9735"

    private static func parse<Command>(_ words: [String], as type: Command.Type) throws -> Command {
        try #require(try ControlCommand.parseAsRoot(["peers"] + words) as? Command)
    }

    private static func refusal(of words: [String]) throws -> String {
        let error = #expect(throws: (any Error).self) { try ControlCommand.parseAsRoot(["peers"] + words) }
        let refusal = try #require(error)
        #expect(ControlCommand.exitCode(for: refusal) == .validationFailure)
        return ControlCommand.message(for: refusal)
    }

    @Test func `A Lightning node is the peer whose id follows from its key`() throws {
        let id = try #require(PeerID(identity: Self.key))
        #expect(try PeerText.id(Self.key) == id)
        #expect(try PeerText.id(Self.key.uppercased()) == id)
        #expect(try PeerText.id(id.description) == id)
        #expect(try PeerText.id(Self.peer).description == Self.peer)
        for words in [
            ["show", Self.key], ["forget", Self.key], ["forget", Self.key, Self.place], ["list", "--after", Self.key],
        ] {
            #expect(throws: Never.self) { try ControlCommand.parseAsRoot(["peers"] + words) }
        }
        // No point of the curve, too short, and something else.
        for text in ["05" + Self.key.dropFirst(2), String(Self.key.dropLast()), "nobody"] {
            #expect(try Self.refusal(of: ["show", text]).contains("by its key, 66 hexadecimal digits"))
        }
    }

    @Test func `Addresses are added with what is spoken there`() throws {
        let add = try Self.parse(["add", Self.key, Self.place, "--use", "lightning"], as: PeersCommand.Add.self)
        #expect(add.use == .lightning)
        let id = try #require(PeerID(identity: Self.key)).description
        #expect(
            try PeerText.additions(add.words, network: nil, use: add.use) == [
                PeerAddition(peer: id, addresses: [Self.place], use: "lightning")
            ])
        let whole = "\(Self.place)/p2p/\(Self.peer)"
        #expect(
            try PeerText.additions([whole], network: nil, use: .bitcoin) == [
                PeerAddition(peer: Self.peer, addresses: [whole], use: "bitcoin")
            ])
        #expect(try PeerText.additions([whole], network: nil) == [PeerAddition(peer: Self.peer, addresses: [whole])])
        #expect(try Self.refusal(of: ["add", Self.key, Self.place, "--use", "mail"]).contains("mail"))
        #expect(try Self.refusal(of: ["add", "--record", "r", "--use", "bitcoin"]).contains("--use is for addresses"))
    }

    @Test func `The list names the Lightning node where an entry is one`() {
        let node = PeerNodeReport(lightningNode: Self.key, sequence: nil, record: nil, addresses: [])
        let peers = [
            PeerReport(id: Self.peer, sequence: nil, record: nil, addresses: []),
            PeerReport(id: "16Uiu2", sequence: nil, record: nil, addresses: [], node: node),
        ]
        let both = PeerText.list(PeerListReport(peers: peers, total: 2, next: nil)).split(separator: "\n")
        #expect(both.count == 3 && both[0].hasSuffix("LIGHTNING NODE"), "\(both)")
        #expect(both[2].hasPrefix("16Uiu2") && both[2].hasSuffix(Self.key) && !both[1].contains(Self.key), "\(both)")
        let without = PeerText.list(PeerListReport(peers: [peers[0]], total: 1, next: nil))
        #expect(!without.contains("LIGHTNING"), "\(without)")
    }
}
