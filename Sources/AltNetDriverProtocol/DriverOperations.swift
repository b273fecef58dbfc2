// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import FoundationEssentials
internal import SwiftProtobuf

/// What an operation came to.
public enum OperationOutcome: Hashable, Sendable {
    /// A JSON object, at most ``OperationRules/maximumResult`` bytes.
    case success([UInt8])
    /// Why it was not done: one sentence for the operator.
    case failure(String)
}

/// The form of operations: what an operator can ask of a driver beside carrying objects.
///
/// Which names there are and what their JSON means is the driver's business.
public enum OperationRules {
    /// The most operations that a driver offers: several times what any driver has.
    public static let maximumNames = 32
    /// The longest name, in bytes.
    public static let maximumNameLength = 64
    /// The largest body, in bytes: the largest transaction that nodes relay if it has no witnesses, 100,000 bytes, as
    /// hexadecimal digits, and something around it.
    public static let maximumBody = 256 * 1024
    /// The largest result, in bytes: some thousand entries of a list, which is more than people read.
    public static let maximumResult = 1024 * 1024
    /// The most operations without a result per driver: an operator's scripts run a few at once. Their bodies take
    /// 32 MiB at most.
    public static let maximumOpen = 128
    /// How long a caller waits for a result: a minute, which is as long as a message may take, and as much again.
    public static let deadline: Duration = .seconds(120)

    /// Whether a text has the form of an operation's name: 1 to 64 of a-z, 0-9, "." and "-".
    public static func isName(_ name: String) -> Bool {
        (1...Self.maximumNameLength).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."),
                    UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }

    /// Whether bytes are a JSON object. What its members are is not looked at.
    public static func isObject(_ bytes: [UInt8]) -> Bool {
        (try? JSONDecoder().decode([String: Anything].self, from: Data(bytes))) != nil
    }

    /// A member of an object that nobody here reads.
    private struct Anything: Decodable {
        init(from decoder: any Decoder) throws {}
    }

    static func checked(names: [String]) throws(DriverProtocolError) -> [String] {
        guard names.count <= Self.maximumNames else { throw DriverProtocolError("\(names.count) operations") }
        guard names.allSatisfy(Self.isName) else {
            throw DriverProtocolError(
                "an operation whose name is not 1 to \(Self.maximumNameLength) of a-z, 0-9, \".\" and \"-\"")
        }
        guard Set(names).count == names.count else { throw DriverProtocolError("the same operation twice") }
        return names
    }
}

extension OperationOutcome {
    init(_ message: Altnet_Driver_V1_OperationResult) throws(DriverProtocolError) {
        switch message.outcome {
        case .body(let body):
            guard body.count <= OperationRules.maximumResult else {
                throw DriverProtocolError(
                    "the result of an operation of more than \(OperationRules.maximumResult) bytes")
            }
            let bytes = [UInt8](body)
            guard OperationRules.isObject(bytes) else {
                throw DriverProtocolError("the result of an operation that is not a JSON object")
            }
            self = .success(bytes)
        case .failure(let sentence):
            guard (1...DriverProtocol.maximumReasonLength).contains(sentence.utf8.count) else {
                throw DriverProtocolError(
                    "an operation that failed for a reason of \(sentence.utf8.count) bytes, which is not 1 to \(DriverProtocol.maximumReasonLength)"
                )
            }
            self = .failure(UntrustedText(sentence).description)
        case nil: throw DriverProtocolError("the result of an operation without an outcome")
        }
    }

    func protobuf(_ id: UInt64) -> Altnet_Driver_V1_OperationResult {
        .with {
            $0.id = id
            switch self {
            case .success(let body): $0.body = Data(body)
            // A character has at most four bytes, so this many always fit.
            case .failure(let sentence):
                $0.failure =
                    sentence.isEmpty
                    ? "no reason given" : String(sentence.prefix(DriverProtocol.maximumReasonLength / 4))
            }
        }
    }
}
