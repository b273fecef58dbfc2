// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetLightning
import AltNetPeerRecords
import Foundation
import Testing

/// A test vector of docs/protocol/peer-records.md.
struct NodeAddressVector: Sendable, CustomTestStringConvertible {
    let name: String
    let envelope: [UInt8]
    let results: [String]

    var testDescription: String { self.name }

    /// All of them, as they stand in the document.
    static let all: [NodeAddressVector] = {
        let file = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "docs/protocol/peer-records.md")
        guard let document = try? String(contentsOf: file, encoding: .utf8),
            let start = document.range(of: "# Test vectors\n"),
            let block = document[start.upperBound...].split(separator: "```\n").dropFirst().first
        else { return [] }
        return block.split(separator: "# ").map { text in
            let lines = text.split(separator: "\n")
            let digits = lines.dropFirst().prefix { !$0.hasPrefix("= ") }
            return NodeAddressVector(
                name: String(lines[0]), envelope: hex(digits.joined()),
                results: lines.dropFirst(1 + digits.count).map { String($0.dropFirst(2)) })
        }
    }()
}

@Suite("Node address records")
struct NodeAddressRecordTests {
    private static func text(_ certified: CertifiedNodeAddressRecord) -> [String] {
        let record = certified.record
        let chain = Network.allCases.first { $0.chainHash == record.chain }?.rawValue ?? "\(record.chain)"
        var lines = ["signed by \(record.peer)", "sequence \(record.sequence)", "chain \(chain)"]
        lines += record.bitcoin.map { "bitcoin \($0.text) services \(String($0.services, radix: 16))" }
        if let node = certified.lightningNode { lines.append("node \(node)") }
        return lines + record.lightning.map { "lightning \($0.text)" }
    }

    private static func key(of peer: PeerID) throws -> PeerPrivateKey {
        let (one, other) = (try EnvelopeTests.key(), try EnvelopeTests.lightningKey())
        return peer == one.peerID ? one : other
    }

    @Test("the document's vectors are what it says", arguments: NodeAddressVector.all)
    func vectors(_ vector: NodeAddressVector) throws {
        do throws(NodeAddressError) {
            let certified = try CertifiedNodeAddressRecord(verifying: vector.envelope)
            #expect(Self.text(certified) == vector.results)
            #expect(certified.envelope == vector.envelope)
        } catch {
            #expect(["refused \(error)"] == vector.results)
        }
    }

    @Test("the document has its vectors, and what is read is signed again to the same bytes")
    func hasVectors() throws {
        #expect(NodeAddressVector.all.count >= 20)
        let genuine = NodeAddressVector.all.filter { $0.results.first?.hasPrefix("refused") == false }
        #expect(genuine.count == 4)
        for vector in genuine where !vector.name.contains("future") {
            let record = try CertifiedNodeAddressRecord(verifying: vector.envelope).record
            #expect(try record.sealed(by: try Self.key(of: record.peer)).envelope == vector.envelope)
            #expect(try NodeAddressRecord(decoding: record.encoded) == record)
        }
    }

    @Test("a record of one domain never opens in the other")
    func domains() throws {
        let key = try EnvelopeTests.key()
        let peerRecord = PeerRecord(peer: key.peerID, sequence: 1, addresses: [])
        let nodeRecord = NodeAddressRecord(
            peer: key.peerID, sequence: 1, chain: Network.main.chainHash, bitcoin: [], lightning: [])
        #expect(throws: NodeAddressError.envelope(.payloadType([3, 1]))) {
            try CertifiedNodeAddressRecord(verifying: peerRecord.sealed(by: key).envelope)
        }
        let type = NodeAddressRecord.payloadType
        #expect(throws: PeerRecordError.envelope(.payloadType(type))) {
            try CertifiedPeerRecord(
                verifying: nodeRecord.sealed(by: key).envelope, namings: Set(PeerRecord.Naming.allCases))
        }
        // With the other's label as well.
        let relabelled = try SignedEnvelope(
            sealing: nodeRecord.encoded, type: type, domain: "libp2p-peer-record", key: key)
        #expect(throws: NodeAddressError.envelope(.badSignature)) {
            try CertifiedNodeAddressRecord(verifying: relabelled.bytes)
        }
        let twisted = try SignedEnvelope(
            sealing: peerRecord.encoded, type: [3, 1], domain: NodeAddressRecord.domain, key: key)
        #expect(throws: PeerRecordError.envelope(.badSignature)) {
            try CertifiedPeerRecord(verifying: twisted.bytes, namings: Set(PeerRecord.Naming.allCases))
        }
    }

    @Test("every cut of a record is refused")
    func cutOff() throws {
        let whole = try #require(NodeAddressVector.all.first).envelope
        for length in whole.indices {
            #expect(throws: NodeAddressError.self) { try CertifiedNodeAddressRecord(verifying: whole.prefix(length)) }
        }
    }

    @Test("more than the most addresses are neither signed nor read")
    func bounds() throws {
        let key = try EnvelopeTests.key()
        let one = try BitcoinEndpoint(text: "203.0.113.7:8333", services: 9)
        func record(_ count: Int) -> NodeAddressRecord {
            NodeAddressRecord(
                peer: key.peerID, sequence: 1, chain: Network.main.chainHash,
                bitcoin: [BitcoinEndpoint](repeating: one, count: count), lightning: [])
        }
        #expect(throws: NodeAddressError.tooManyAddresses(101)) { try record(101).sealed(by: key) }
        let signed = try SignedEnvelope(
            sealing: record(101).encoded, type: NodeAddressRecord.payloadType, domain: NodeAddressRecord.domain,
            key: key)
        #expect(throws: NodeAddressError.tooManyAddresses(101)) {
            try CertifiedNodeAddressRecord(verifying: signed.bytes)
        }
        let most = try record(100).sealed(by: key)
        #expect(try CertifiedNodeAddressRecord(verifying: most.envelope) == most)
        let wrong = try LightningAddress(text: "203.0.113.7:9735")
        #expect(throws: NodeAddressError.noLightningKey(.ed25519)) {
            _ = try NodeAddressRecord(
                peer: key.peerID, sequence: 1, chain: Network.main.chainHash, bitcoin: [], lightning: [wrong]
            ).sealed(by: key)
        }
    }

    @Test(
        "Bitcoin addresses are read from text and printed",
        arguments: [
            ("203.0.113.7:8333", 1), ("[2001:db8::7]:8333", 2),
            ("2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion:8333", 4),
            ("4dxj5apw3mkalk6hsc7jlqqpqlguqf7fn7mkihchgpwp6ub4feta.b32.i2p:0", 5), ("[fc00::1]:1", 6),
            ("[200::1]:1", 7),
        ])
    func texts(text: String, network: Int) throws {
        let endpoint = try BitcoinEndpoint(text: text, services: 1)
        #expect(Int(endpoint.networkID) == network)
        #expect(endpoint.text == text)
    }

    @Test(
        "what is no Bitcoin address is refused by name",
        arguments: [
            ("", BitcoinEndpointError.badText), ("203.0.113.7", .badText), ("example.org:8333", .badText),
            ("203.0.113.7:0", .badText), ("2001:db8::7:8333", .badText), ("expyuzz4wqqyqhjn.onion:1", .badText),
            ("x.b32.i2p", .badText), ("aaaa.b32.i2p:0", .badLength(networkID: 5, count: 2)),
            ("[::ffff:203.0.113.7]:8333", .badAddress(networkID: 2)),
        ])
    func badTexts(text: String, error: BitcoinEndpointError) {
        #expect(throws: error) { try BitcoinEndpoint(text: text, services: 1) }
    }
}
