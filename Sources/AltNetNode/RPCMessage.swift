// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import FoundationEssentials

/// A parameter of a JSON-RPC call: what the calls that we make need, and no more.
enum RPCParameter: Hashable, Sendable, Encodable {
    case text(String)
    case number(Int64)
    case flag(Bool)
    case texts([String])

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .text(let text): try container.encode(text)
        case .number(let number): try container.encode(number)
        case .flag(let flag): try container.encode(flag)
        case .texts(let texts): try container.encode(texts)
        }
    }
}

/// One JSON-RPC call.
struct RPCCall: Hashable, Sendable {
    let method: String
    let parameters: [RPCParameter]

    init(_ method: String, _ parameters: RPCParameter...) {
        self.method = method
        self.parameters = parameters
    }
}

/// The node understood the call and answered with an error.
struct RPCFailure: Hashable, Sendable, Decodable {
    let code: Int
    /// Printable and bounded.
    let message: String

    init(code: Int, message: String) {
        self.code = code
        self.message = UntrustedText(message).description
    }

    private enum Key: CodingKey { case code, message }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        self.init(
            code: try container.decode(Int.self, forKey: .code),
            message: try container.decodeIfPresent(String.self, forKey: .message) ?? "")
    }

    /// What it means to a caller. Core's RPC_IN_WARMUP is no refusal: the node is starting.
    var error: NodeError {
        if self.code == Code.inWarmup { return .unreachable("Bitcoin Core is starting: \(self.message)") }
        return .rejected(code: self.code, message: self.message)
    }

    /// Core's error codes that we act on (`src/rpc/protocol.h`).
    enum Code {
        static let misc = -1
        static let notFound = -5
        static let invalidParameter = -8
        static let inWarmup = -28
        static let methodNotFound = -32601
    }
}

/// Builds requests and reads answers, for JSON-RPC 2.0 (Bitcoin Core 28 and later) and the mixture of 1.0 and 1.1 that
/// earlier versions speak: there the request's version is ignored, and both `result` and `error` are always present.
enum RPCMessage {
    /// The most calls in one batch: enough to make round trips cheap, few enough that one of the node's RPC threads is
    /// not held for long.
    static let maximumBatch = 200

    private struct Request: Encodable {
        let jsonrpc = "2.0"
        let id: Int
        let method: String
        let params: [RPCParameter]
    }

    private struct Answer<Result: Decodable & Sendable>: Decodable {
        let id: Int?
        let outcome: RPCOutcome<Result>

        private enum Key: CodingKey { case id, result, error }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Key.self)
            self.id = try container.decodeIfPresent(Int.self, forKey: .id)
            if let failure = try container.decodeIfPresent(RPCFailure.self, forKey: .error) {
                self.outcome = .failed(failure)
            } else {
                self.outcome = .answered(try container.decode(Result.self, forKey: .result))
            }
        }
    }

    static func encode(_ call: RPCCall) throws(NodeError) -> [UInt8] {
        try Self.encode(Request(id: 0, method: call.method, params: call.parameters))
    }

    /// The calls get the numbers from 0 on.
    static func encode(_ calls: [RPCCall]) throws(NodeError) -> [UInt8] {
        try Self.encode(
            calls.enumerated().map { Request(id: $0.offset, method: $0.element.method, params: $0.element.parameters) })
    }

    /// Reads the answer to a single call.
    static func decode<Result: Decodable & Sendable>(
        _ bytes: [UInt8], of method: String, as type: Result.Type
    ) throws(NodeError) -> RPCOutcome<Result> {
        let answer = try Self.decode(Answer<Result>.self, bytes, of: method)
        switch (answer.outcome, answer.id) {
        // A node that could not read the request at all answers with the null identifier.
        case (.failed, nil), (_, 0): return answer.outcome
        case (_, let id):
            throw .malformed("the node answered to call \(id.map(String.init) ?? "null") where \(method) was call 0")
        }
    }

    /// Reads the answers to a batch, in the order of the calls, whatever order they came in.
    static func decode<Result: Decodable & Sendable>(
        _ bytes: [UInt8], of method: String, count: Int, as type: Result.Type
    ) throws(NodeError) -> [RPCOutcome<Result>] {
        // A batch that is refused as a whole has one answer.
        guard bytes.first(where: { !Self.isSpace($0) }) == UInt8(ascii: "[") else {
            let whole: RPCOutcome<Result> = try Self.decode(bytes, of: method, as: type)
            guard case .failed(let failure) = whole else {
                throw .malformed("the node answered to a batch of \(method) with one answer")
            }
            throw failure.error
        }
        let answers = try Self.decode([Answer<Result>].self, bytes, of: method)
        var ordered = [RPCOutcome<Result>?](repeating: nil, count: count)
        for answer in answers {
            guard let id = answer.id, ordered.indices.contains(id), ordered[id] == nil else {
                throw .malformed("the node answered to a batch of \(method) with an answer to another call")
            }
            ordered[id] = answer.outcome
        }
        let complete = ordered.compactMap { $0 }
        guard complete.count == count else {
            throw .malformed("the node answered to \(complete.count) of \(count) calls of \(method)")
        }
        return complete
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        [UInt8(ascii: " "), UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: "\t")].contains(byte)
    }

    private static func encode(_ value: some Encodable) throws(NodeError) -> [UInt8] {
        do {
            return Array(try JSONEncoder().encode(value))
        } catch {
            throw .malformed("the call cannot be written as JSON: \(error)")
        }
    }

    private static func decode<Value: Decodable>(
        _ type: Value.Type, _ bytes: [UInt8], of method: String
    ) throws(NodeError) -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch {
            throw .malformed("the answer to \(method) is not what Bitcoin Core says: \(Self.describe(error))")
        }
    }

    /// What is wrong with some JSON, and where. Nothing of the text itself: it may be long, and secret.
    private static func describe(_ error: any Error) -> String {
        func place(_ context: DecodingError.Context) -> String {
            context.codingPath.map { $0.intValue.map(String.init) ?? $0.stringValue }.joined(separator: ".")
        }
        let text =
            switch error {
            case DecodingError.keyNotFound(let key, let context):
                "\(place(context)) lacks \(key.stringValue)"
            case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context):
                "\(place(context)) has another type"
            case DecodingError.dataCorrupted(let context):
                // Numbers that fit no type come without a place.
                context.codingPath.isEmpty
                    ? "no JSON, or a number too large" : "\(place(context)) has a value out of range"
            default: "no JSON"
            }
        return UntrustedText(text).description
    }
}

/// How one JSON-RPC call ended.
enum RPCOutcome<Result: Sendable>: Sendable {
    case answered(Result)
    case failed(RPCFailure)

    /// The result, or the failure as an error.
    func get() throws(NodeError) -> Result {
        switch self {
        case .answered(let result): return result
        case .failed(let failure): throw failure.error
        }
    }
}
