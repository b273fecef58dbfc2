// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetKeys
internal import FoundationEssentials

/// The identifier of a JSON-RPC request, which its answer repeats. lightningd uses texts, older versions numbers.
enum RequestID: Hashable, Sendable, Codable {
    case text(String)
    case number(Int64)

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let number = try? container.decode(Int64.self) {
            self = .number(number)
        } else {
            self = .text(try container.decode(String.self))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .text(let text): try container.encode(text)
        case .number(let number): try container.encode(number)
        }
    }
}

/// What every message of lightningd has: a request has both members, a notification has no identifier.
struct Envelope: Decodable {
    let id: RequestID?
    let method: String
}

/// A message of lightningd whose parameters are of a known form.
struct Call<Parameters: Decodable>: Decodable {
    let params: Parameters
}

/// Bytes as lightningd writes them, in hexadecimal digits.
struct HexBytes: Hashable, Sendable, Codable {
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let bytes = Hex.decode(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "no hexadecimal digits")
        }
        self.bytes = bytes
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(Hex.encode(self.bytes))
    }
}

/// A node's identity as lightningd writes it.
struct NodeText: Hashable, Sendable, Codable {
    let node: NodeID

    init(_ node: NodeID) {
        self.node = node
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let node = NodeID(hex: try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "no public key")
        }
        self.node = node
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(self.node.description)
    }
}

/// The parameters of what lightningd sends us, as its version 26.06 has them (doc/schemas/hook and
/// doc/schemas/notification there). Members that we do not need are left out.
enum PluginParameters {
    struct Initialisation: Decodable {
        struct Options: Decodable {
            let startFile: String?

            private enum CodingKeys: String, CodingKey { case startFile = "altnet-start-file" }
        }
        struct Configuration: Decodable {
            let directory: String
            let rpcFile: String
            let network: String

            private enum CodingKeys: String, CodingKey {
                case directory = "lightning-dir"
                case rpcFile = "rpc-file"
                case network
            }
        }
        let options: Options
        let configuration: Configuration
    }

    struct CustomMessage: Decodable {
        let peer: NodeText
        let payload: HexBytes

        private enum CodingKeys: String, CodingKey {
            case peer = "peer_id"
            case payload
        }
    }

    struct Connected: Decodable {
        let connect: Peer
    }

    struct Disconnected: Decodable {
        let disconnect: Peer
    }

    struct Peer: Decodable {
        let id: NodeText
    }

    struct ChannelStateChanged: Decodable {
        struct Change: Decodable {
            let peer: NodeText

            private enum CodingKeys: String, CodingKey { case peer = "peer_id" }
        }
        let change: Change

        private enum CodingKeys: String, CodingKey { case change = "channel_state_changed" }
    }
}

/// What we say to lightningd, on standard output and on its RPC socket.
enum PluginOutput {
    struct Answer<Result: Encodable>: Encodable {
        let jsonrpc = "2.0"
        let id: RequestID
        let result: Result
    }

    struct Refusal: Encodable {
        struct Reason: Encodable {
            let code: Int
            let message: String
        }
        let jsonrpc = "2.0"
        let id: RequestID
        let error: Reason
    }

    struct Notification<Parameters: Encodable>: Encodable {
        let jsonrpc = "2.0"
        let method: String
        let params: Parameters
    }

    struct LogLine: Encodable {
        let level: String
        let message: String
    }

    /// The bytes of one message, with the two line feeds that lightningd itself puts behind each.
    static func encode(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // What is encoded here are texts and numbers of ours, which JSON can always represent.
        guard let data = try? encoder.encode(value) else { return [] }
        return Array(data) + [UInt8(ascii: "\n"), UInt8(ascii: "\n")]
    }
}
