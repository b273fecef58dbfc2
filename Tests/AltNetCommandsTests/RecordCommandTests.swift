// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetPeerRecords
import ArgumentParser
import Foundation
import Testing

@testable import AltNetCommands

@Suite("altnet record")
struct RecordCommandTests {
    /// Runs a command line in a directory of its own and says its status.
    private static func run(_ arguments: [String]) async throws -> Int32 {
        do {
            var command = try ControlCommand.parseAsRoot(["record"] + arguments)
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
            return 0
        } catch {
            return ControlCommand.exitCode(for: error).rawValue
        }
    }

    private static func inDirectory(_ body: (String) async throws -> Void) async throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "record-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        defer { try? FileManager.default.removeItem(at: directory) }
        try await body(directory.path())
    }

    private static func bytes(_ path: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    }

    @Test("a record is made, verified and made again with a higher number; its key is the owner's alone")
    func create() async throws {
        try await Self.inDirectory { directory in
            let (key, record, next) = (directory + "/peer.key", directory + "/a", directory + "/b")
            let address = "/ip4/203.0.113.5/tcp/4001"
            #expect(try await Self.run(["create", record, "--key", key, "--address", address]) == 0)
            let first = try CertifiedPeerRecord(verifying: Self.bytes(record)).record
            #expect(first.addresses.map(\.description) == [address])
            let mode = try FileManager.default.attributesOfItem(atPath: key)[.posixPermissions] as? Int
            #expect(mode == 0o600)
            #expect(try await Self.run(["verify", record]) == 0)
            #expect(try await Self.run(["verify", record, "--peer", first.peer.description, "--kind", "peer"]) == 0)
            #expect(try await Self.run(["verify", record, "--kind", "node"]) == 1)
            #expect(try await Self.run(["inspect", record, "--json"]) == 0)
            // A file that is there is left alone.
            #expect(try await Self.run(["create", record, "--key", key]) == 1)
            #expect(try await Self.run(["create", next, "--key", key]) == 0)
            let second = try CertifiedPeerRecord(verifying: Self.bytes(next)).record
            #expect(second.peer == first.peer)
            #expect(second.sequence > first.sequence)
            #expect(try await Self.run(["verify", directory + "/nothing"]) == 66)
        }
    }

    @Test("a node's record is signed with the Lightning node's key, and with no other if it has Lightning addresses")
    func node() async throws {
        try await Self.inDirectory { directory in
            let (key, record) = (directory + "/node.key", directory + "/a")
            let made = FileManager.default.createFile(
                atPath: key, contents: Data((String(repeating: "07", count: 32) + "\n").utf8),
                attributes: [.posixPermissions: 0o600])
            #expect(made)
            let arguments = [
                "--kind", "node", "--bitcoin", "203.0.113.5:8333", "--services", "0x409", "--lightning",
                "203.0.113.5:9735", "--network", "regtest",
            ]
            #expect(try await Self.run(["create", record, "--lightning-key", key] + arguments) == 0)
            let certified = try CertifiedNodeAddressRecord(verifying: Self.bytes(record))
            #expect(certified.record.bitcoin.map(\.text) == ["203.0.113.5:8333"])
            #expect(certified.record.bitcoin.map(\.services) == [0x409])
            #expect(certified.record.lightning.map(\.text) == ["203.0.113.5:9735"])
            #expect(try await Self.run(["verify", record, "--kind", "node"]) == 0)
            let other = directory + "/peer.key"
            #expect(try await Self.run(["create", directory + "/b", "--key", other] + arguments) == 1)
            #expect(!FileManager.default.fileExists(atPath: directory + "/b"))
            try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: key)
            #expect(try await Self.run(["create", directory + "/b", "--lightning-key", key] + arguments) == 1)
        }
    }

    @Test("older names are made and taken only when asked for")
    func older() async throws {
        try await Self.inDirectory { directory in
            let (key, record) = (directory + "/peer.key", directory + "/a")
            #expect(try await Self.run(["create", record, "--key", key, "--older", "--sequence", "7"]) == 0)
            #expect(try await Self.run(["verify", record]) == 1)
            #expect(try await Self.run(["verify", record, "--older"]) == 0)
            let report = RecordReport(try Self.bytes(record), naming: [.current])
            #expect(report.problem?.contains("--older") == true)
            #expect(report.sequence == 7)
            // No number twice, none backwards, and none after which there is none.
            for (number, status) in [("7", 1), ("6", 1), ("18446744073709551615", 1), ("9", 0), ("8", 1)]
                as [(String, Int32)]
            {
                let arguments = ["create", "\(directory)/\(number)", "--key", key, "--sequence", number]
                #expect(try await Self.run(arguments) == status, "\(number)")
            }
            #expect(try await Self.run(["create", directory + "/next", "--key", key]) == 0)
            #expect(try CertifiedPeerRecord(verifying: Self.bytes(directory + "/next")).record.sequence > 9)
        }
    }

    @Test(
        "what is mistyped is refused before a key is touched",
        arguments: [
            ["create", "f"], ["create", "f", "--key", "k", "--lightning-key", "k"],
            ["create", "f", "--key", "k", "--address", "x"], ["create", "f", "--key", "k", "--bitcoin", "1.2.3.4:5"],
            ["create", "f", "--key", "k", "--kind", "node", "--address", "/tcp/1"],
            ["create", "f", "--key", "k", "--kind", "node", "--older"],
            ["create", "f", "--key", "k", "--kind", "node", "--bitcoin", "example.org:8333"],
            ["create", "f", "--key", "k", "--kind", "node", "--services", "+1"],
            ["create", "f", "--key", "k", "--kind", "node", "--services", "0x10000000000000000"],
            ["create", "f", "--key", "k", "--kind", "node", "--lightning", "a b:1"],
            ["create", "f", "--key", "k", "--kind", "node", "--network", "moon"],
            ["create", "f", "--key", "k", "--sequence", "-1"], ["verify", "f", "--peer", "x"], ["verify"],
        ])
    func mistakes(arguments: [String]) async throws {
        #expect(throws: (any Error).self) { try ControlCommand.parseAsRoot(["record"] + arguments) }
    }

    private static func sealed(_ addresses: [String] = ["/dns/k\u{f6}ln.de/tcp/1"]) throws -> [UInt8] {
        let key = try #require(PeerPrivateKey.ed25519(seed: [UInt8](repeating: 5, count: 32)))
        let list = try addresses.map { try Multiaddress(text: $0) }
        return try PeerRecord(peer: key.peerID, sequence: 3, addresses: list).sealed(by: key).envelope
    }

    @Test("bytes, hexadecimal digits and base 64 are told apart")
    func forms() async throws {
        let envelope = try Self.sealed()
        let base64 = Data(envelope).base64EncodedString()
        try await Self.inDirectory { directory in
            let path = directory + "/f"
            let urls = base64.replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
            let forms = [
                Data(envelope), Data(Hex.encode(envelope).utf8),
                Data((Hex.encode(envelope).uppercased() + "\r\n").utf8),
                Data(base64.utf8), Data((base64.prefix(70) + "\n" + base64.dropFirst(70) + "\n").utf8), Data(urls.utf8),
            ]
            for form in forms {
                try form.write(to: URL(fileURLWithPath: path))
                #expect(try InputFile.record(path) == envelope)
            }
        }
    }

    @Test("of a record that is not genuine everything is shown, and the first line says so")
    func inspect() throws {
        let good = try Self.sealed()
        #expect(RecordReport(good, naming: [.current]).text.hasPrefix("GENUINE "))
        var forged = good
        forged[forged.count - 1] ^= 1
        let report = RecordReport(forged, naming: [.current])
        #expect(!report.genuine)
        let lines = report.text.split(separator: "\n")
        #expect(lines[0].hasPrefix("NOT GENUINE "))
        #expect(lines[1].contains("nobody vouches for it"))
        #expect(report.sequence == 3)
        // Others' text cannot leave its line, nor ASCII.
        #expect(report.text.utf8.allSatisfy { (0x20...0x7e).contains($0) || $0 == 0x0a })
        #expect(report.text.contains("/dns/k??ln.de/tcp/1"))
        for length in good.indices {
            let cut = RecordReport(Array(good.prefix(length)), naming: [.current])
            #expect(!cut.genuine && cut.problem != nil)
        }
    }

    @Test("a payload that cannot be read, and a type that nobody knows, are shown as they are")
    func unreadable() throws {
        let key = try #require(PeerPrivateKey.ed25519(seed: [UInt8](repeating: 5, count: 32)))
        let strange = try SignedEnvelope(sealing: [1, 2, 3], type: [0x1b, 0x5b], domain: "x", key: key)
        let report = RecordReport(strange.bytes, naming: [.current])
        #expect(!report.genuine)
        #expect(report.payloadType == "1b5b")
        #expect(report.unreadablePayload == "010203")
        #expect(report.signer == key.peerID.description)
        let broken = try SignedEnvelope(sealing: [0x0f], type: [3, 1], domain: "libp2p-peer-record", key: key)
        #expect(RecordReport(broken.bytes, naming: [.current]).problem?.contains("wire type 7") == true)
        #expect(RecordReport([], naming: [.current]).problem?.contains("public key") == true)
    }
}
