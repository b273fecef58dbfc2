// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import AltNetOnion
import Foundation
import Testing

/// BOLT 4's vectors, as the files in `Vectors` have them.
enum Vectors {
    static func read<Value: Decodable>(_ name: String, as type: Value.Type = Value.self) throws -> Value {
        let url = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "Vectors/\(name).json")
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .custom { Name(words: $0.last?.stringValue ?? "") }
        return try decoder.decode(type, from: Data(contentsOf: url))
    }

    /// A name of the files, as Swift writes it; formulas stay as they are.
    private struct Name: CodingKey {
        let stringValue: String
        let intValue: Int? = nil

        init(words: String) {
            let parts = words.split(separator: "_")
            let isFormula = words.contains("(")
            self.stringValue =
                isFormula ? words : parts.prefix(1).joined() + parts.dropFirst().map(\.capitalized).joined()
        }

        init(stringValue: String) { self.stringValue = stringValue }

        init?(intValue: Int) { nil }
    }

    static func key(_ hex: String) throws -> NodePrivateKey {
        try #require(NodePrivateKey(bytes: try Self.bytes(hex)))
    }

    static func node(_ hex: String) throws -> NodeID { try #require(NodeID(hex: hex)) }

    static func bytes(_ hex: String) throws -> [UInt8] { try #require(Hex.decode(hex)) }
}

/// `onion-test.json`.
struct OnionVector: Decodable {
    struct Hop: Decodable {
        let pubkey: String
        /// With its length in front.
        let payload: String
    }

    struct Generate: Decodable {
        let sessionKey: String
        let associatedData: String
        let hops: [Hop]
    }

    let generate: Generate
    let onion: String
    /// The private keys of the hops.
    let decode: [String]

    /// The hops as our API has them, without lengths.
    func hops() throws -> [OnionHop] {
        try self.generate.hops.map { hop in
            let bytes = try Vectors.bytes(hop.payload)
            return OnionHop(try Vectors.node(hop.pubkey), Array(bytes.dropFirst(bytes.first == 0xfd ? 3 : 1)))
        }
    }
}

/// `onion-error-test.json`.
struct ErrorVector: Decodable {
    struct Hop: Decodable {
        let pubkey: String
        let hopSharedSecret: String
        let ammagKey: String
        let umKey: String?
        let payload: String?
    }

    struct Generate: Decodable {
        let sessionKey: String
        let failureMessage: String
        let hops: [Hop]
    }

    let generate: Generate
    let errorpacket: String
}
