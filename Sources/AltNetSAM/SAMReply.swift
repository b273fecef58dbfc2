// SPDX-License-Identifier: MIT

public import AltNetBase

/// One line of a SAM bridge: two words and pairs of key and value (SAM V3, "SAM message syntax").
struct SAMReply: Hashable, Sendable {
    /// The most pairs of a line: replies that we ask for have at most four.
    static let maximumPairs = 16

    /// The first two words, as in `SESSION STATUS`; the second is empty for `PING`.
    let topic: String
    let kind: String
    let values: [String: String]

    /// Reads a line without its end.
    init(line: [UInt8]) throws(SAMError) {
        var rest = line[...]
        func word() -> String {
            let bytes = rest.prefix { $0 != UInt8(ascii: " ") }
            rest = rest.dropFirst(bytes.count).drop { $0 == UInt8(ascii: " ") }
            return String(decoding: bytes, as: UTF8.self)
        }
        // Messages may be in anybody's language; all that is taken from a line otherwise is ASCII.
        guard !line.contains(where: { $0 < 0x20 || $0 == 0x7f }) else {
            throw .malformed("a line has control characters")
        }
        let topic = word()
        self.topic = topic
        self.kind = word()
        guard !self.topic.isEmpty, !self.topic.contains("=") else { throw .malformed("a line has no topic") }
        var values: [String: String] = [:]
        while !rest.isEmpty {
            let (key, value) = try Self.pair(&rest)
            guard values.count < Self.maximumPairs else { throw .malformed("a line has too many values") }
            guard values.updateValue(value, forKey: key) == nil else {
                throw .malformed("a line has a value twice")
            }
            rest = rest.drop { $0 == UInt8(ascii: " ") }
        }
        self.values = values
    }

    /// Reads `KEY`, `KEY=value` or `KEY="a value"`, in which a backslash takes the next character as it is.
    private static func pair(_ rest: inout ArraySlice<UInt8>) throws(SAMError) -> (key: String, value: String) {
        let key = rest.prefix { $0 != UInt8(ascii: "=") && $0 != UInt8(ascii: " ") }
        guard !key.isEmpty else { throw .malformed("a value has no key") }
        rest = rest.dropFirst(key.count)
        let name = String(decoding: key, as: UTF8.self)
        guard rest.first == UInt8(ascii: "=") else { return (name, "") }
        rest = rest.dropFirst()
        guard rest.first == UInt8(ascii: "\"") else {
            let value = rest.prefix { $0 != UInt8(ascii: " ") }
            rest = rest.dropFirst(value.count)
            return (name, String(decoding: value, as: UTF8.self))
        }
        rest = rest.dropFirst()
        var value: [UInt8] = []
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "\""):
                guard rest.isEmpty || rest.first == UInt8(ascii: " ") else {
                    throw .malformed("something follows a quoted value")
                }
                return (name, String(decoding: value, as: UTF8.self))
            case UInt8(ascii: "\\"):
                guard let escaped = rest.popFirst() else { throw .malformed("a quoted value has no end") }
                value.append(escaped)
            default: value.append(byte)
            }
        }
        throw .malformed("a quoted value has no end")
    }

    /// Returns when this is the answer to what was asked, and `RESULT=OK`.
    func expect(_ topic: String, _ kind: String, to command: String) throws(SAMError) {
        guard self.topic == topic, self.kind == kind else {
            throw .malformed("\(command) is answered by another message")
        }
        guard let result = self.values["RESULT"] else { throw .malformed("\(command) is answered without a result") }
        guard result == "OK" else {
            throw .refused(
                command: command, SAMResult(result), UntrustedText(self.values["MESSAGE"] ?? ""))
        }
    }

    func value(_ key: String, of command: String) throws(SAMError) -> String {
        guard let value = self.values[key] else { throw .malformed("the answer to \(command) lacks \(key)") }
        return value
    }
}

/// Why a bridge refuses (SAM V3, "RESULT values").
public enum SAMResult: Hashable, Sendable, CustomStringConvertible {
    case cannotReachPeer
    case duplicatedDestination
    case duplicatedID
    case routerFailed
    case invalidID
    case invalidKey
    case keyNotFound
    case noVersion
    case peerNotFound
    case timeout
    case other(UntrustedText)

    init(_ text: String) {
        self =
            switch text {
            case "CANT_REACH_PEER": .cannotReachPeer
            case "DUPLICATED_DEST": .duplicatedDestination
            case "DUPLICATED_ID": .duplicatedID
            case "I2P_ERROR": .routerFailed
            case "INVALID_ID": .invalidID
            case "INVALID_KEY": .invalidKey
            case "KEY_NOT_FOUND": .keyNotFound
            case "NOVERSION": .noVersion
            case "PEER_NOT_FOUND": .peerNotFound
            case "TIMEOUT": .timeout
            default: .other(UntrustedText(text))
            }
    }

    public var description: String {
        switch self {
        case .cannotReachPeer: "the peer cannot be reached"
        case .duplicatedDestination: "the destination is in use already"
        case .duplicatedID: "the session's name is in use already"
        case .routerFailed: "the router failed"
        case .invalidID: "there is no such session"
        case .invalidKey: "the key is not valid"
        case .keyNotFound: "the name is not known"
        case .noVersion: "it does not speak SAM 3.1"
        case .peerNotFound: "the peer was not found"
        case .timeout: "the peer did not answer in time"
        case .other(let text): "\(text)"
        }
    }
}

/// Why an I2P router cannot be used, or a peer not be reached. No text contains a key or a password.
public enum SAMError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Nothing answers where the bridge should be.
    case unreachable(String)
    case closed
    case timedOut(String)
    /// The other side does not speak the protocol.
    case malformed(String)
    /// The bridge refused a command, with its own words.
    case refused(command: String, SAMResult, UntrustedText)
    /// The router named another destination for an address than the one with that hash.
    case wrongDestination
    /// The bridge runs a session with another key than ours.
    case wrongKey
    /// A setting cannot be sent.
    case badSetting(String)

    /// What is wrong, as a sentence without its full stop.
    public var description: String {
        switch self {
        case .unreachable(let why): "the I2P router's SAM bridge cannot be reached: \(why)"
        case .closed: "the I2P router closed the connection"
        case .timedOut(let command): "the I2P router does not answer \(command) in time"
        case .malformed(let what): "what answers at sam does not speak SAM 3.1: \(what)"
        case .refused(let command, let result, let text):
            text.description.isEmpty
                ? "the I2P router refuses \(command): \(result)"
                : "the I2P router refuses \(command): \(result) (\(text))"
        case .wrongDestination: "the I2P router names a destination that does not belong to the address"
        case .wrongKey: "the I2P router made a session with another key than the one it was given"
        case .badSetting(let what): what
        }
    }
}
