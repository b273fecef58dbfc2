// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import Foundation
import Testing

/// The tables of docs/protocol/records-over-bitcoin.md.
private enum RecordVectors {
    struct Row: Sendable, CustomTestStringConvertible {
        let command: String
        let payload: [UInt8]
        let about: String

        var testDescription: String { "\(self.command) \(self.about)" }
    }

    private static func rows(behind heading: String) -> [[Substring]] {
        let file = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "docs/protocol/records-over-bitcoin.md")
        guard let document = try? String(contentsOf: file, encoding: .utf8),
            let start = document.range(of: "\n\(heading)\n")
        else { return [] }
        return document[start.upperBound...].split(separator: "\n").drop { !$0.hasPrefix("| `") }
            .prefix { $0.hasPrefix("| `") }.map { $0.split(separator: "`") }
    }

    /// What is between the second pair of back quotes is the payload, what is around it says what it is.
    private static func row(_ parts: [Substring]) -> Row? {
        guard parts.count == 5, let payload = Hex.decode(String(parts[3])) else { return nil }
        return Row(command: String(parts[1]), payload: payload, about: String(parts[2] + parts[4]))
    }

    static let valid = Self.rows(behind: "Payloads in hexadecimal:").compactMap(Self.row)
    static let refused = Self.rows(behind: "Refused:").compactMap(Self.row)
}

@Suite("Messages about peer records")
struct RecordMessageTests {
    private static let messages: [P2PMessage] = [
        .feature(.peerRecords), .getpeerrecs(of: [], limit: 32),
        .getpeerrecs(of: [[0x12, 2, 0xaa], [0x12, 1, 0xbb]], limit: 2), .peerrecs([]), .peerrecs([[1, 2, 3], [4]]),
        .newpeerrec([1, 2, 3]),
    ]

    @Test("the document's vectors are what it says")
    func vectors() throws {
        try #require(RecordVectors.valid.count == Self.messages.count)
        for (row, message) in zip(RecordVectors.valid, Self.messages) {
            #expect(message.command == row.command)
            #expect(Hex.encode(message.payload) == Hex.encode(row.payload), "\(row.about)")
            #expect(try P2PMessage(command: row.command, payload: row.payload) == message, "\(row.about)")
        }
    }

    @Test("what the document calls refused is")
    func refusals() throws {
        try #require(RecordVectors.refused.count == 15)
        for row in RecordVectors.refused {
            #expect(throws: P2PPayloadError.self, "\(row.testDescription)") {
                try P2PMessage(command: row.command, payload: row.payload)
            }
        }
    }

    @Test("the largest of each come back, and one more is refused by its number")
    func largest() throws {
        let record = [UInt8](repeating: 7, count: P2PMessage.maximumPeerRecordSize)
        let peer = [UInt8](repeating: 7, count: P2PMessage.maximumPeerIDSize)
        let feature = P2PFeature(
            name: [UInt8](repeating: 97, count: 80), data: [UInt8](repeating: 1, count: P2PFeature.maximumDataLength))
        for message: P2PMessage in [
            .peerrecs(Array(repeating: record, count: 32)), .newpeerrec(record), .feature(feature),
            .getpeerrecs(of: Array(repeating: peer, count: 32), limit: 32),
        ] {
            #expect(try P2PMessage(command: message.command, payload: message.payload) == message)
        }
        #expect(throws: P2PPayloadError.bytes(.tooLong(length: 33, limit: 32))) {
            try P2PMessage(command: "peerrecs", payload: P2PMessage.peerrecs(Array(repeating: [1], count: 33)).payload)
        }
        #expect(throws: P2PPayloadError.outOfRange(33, expected: 1...32)) {
            try P2PMessage(command: "getpeerrecs", payload: [33, 0])
        }
    }
}
