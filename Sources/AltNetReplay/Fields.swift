// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin

/// A key with any name: so that unknown keys can be seen, and refused.
struct FieldName: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(stringValue: String) {
        self.stringValue = stringValue
    }

    init?(intValue: Int) { nil }
}

/// The fields of one JSON object, read by name.
struct Fields {
    private let container: KeyedDecodingContainer<FieldName>

    init(_ decoder: any Decoder) throws {
        self.container = try decoder.container(keyedBy: FieldName.self)
    }

    func refuseOthers(than known: Set<String>) throws {
        for key in self.container.allKeys.map(\.stringValue).sorted() where !known.contains(key) {
            throw self.problem("unknown key \(UntrustedText(key))")
        }
    }

    func value<Value: Decodable>(_ name: String) throws -> Value {
        try self.container.decode(Value.self, forKey: FieldName(stringValue: name))
    }

    func optional<Value: Decodable>(_ name: String) throws -> Value? {
        try self.container.decodeIfPresent(Value.self, forKey: FieldName(stringValue: name))
    }

    /// Whether there is such a key, also with null.
    func has(_ name: String) -> Bool { self.container.contains(FieldName(stringValue: name)) }

    func text(_ name: String) throws -> String { try self.value(name) }

    /// A moment in milliseconds since 1970.
    func time(_ name: String) throws -> WallClockTime {
        let milliseconds: Int64 = try self.value(name)
        guard Timestamps.plausible.contains(milliseconds) else {
            throw self.problem("\(name) is not a time in milliseconds since 1970: \(milliseconds)")
        }
        return WallClockTime(milliseconds: milliseconds)
    }

    /// A duration in milliseconds.
    func duration(_ name: String) throws -> Duration {
        let milliseconds: Int64 = try self.value(name)
        guard abs(milliseconds.clampedToInt) <= Timestamps.longest else {
            throw self.problem("\(name) is not a duration in milliseconds: \(milliseconds)")
        }
        return .milliseconds(milliseconds)
    }

    func hash(_ name: String) throws -> BlockHash {
        guard let hash = BlockHash(hex: try self.text(name)) else {
            throw self.problem("\(name) is not a block hash of 64 hexadecimal digits")
        }
        return hash
    }

    func header(_ name: String) throws -> BlockHeader {
        guard let bytes = Hex.decode(try self.text(name)), let header = BlockHeader(bytes: bytes) else {
            throw self.problem("\(name) is not a header of 160 hexadecimal digits")
        }
        return header
    }

    func problem(_ what: String) -> DecodingError {
        .dataCorrupted(DecodingError.Context(codingPath: self.container.codingPath, debugDescription: what))
    }
}

/// Writes the fields of one JSON object by name.
struct FieldWriter {
    private var container: KeyedEncodingContainer<FieldName>

    init(_ encoder: any Encoder) {
        self.container = encoder.container(keyedBy: FieldName.self)
    }

    mutating func write(_ name: String, _ value: some Encodable) throws {
        try self.container.encode(value, forKey: FieldName(stringValue: name))
    }
}

/// Which times files may have.
enum Timestamps {
    /// From the first block to the year 2106, when block times overflow; in milliseconds.
    static let plausible: ClosedRange<Int64> = 1_231_006_505_000...4_294_967_295_000
    /// The longest duration in milliseconds: a year says as much as any longer one.
    static let longest = 31_557_600_000
}

extension Int64 {
    fileprivate var clampedToInt: Int { Int(Swift.max(self, -Int64.max)) }
}

extension DecodingError {
    /// What is wrong, as half a sentence.
    var sentence: String {
        switch self {
        case .dataCorrupted(let context):
            context.codingPath.isEmpty && context.debugDescription.contains("JSON")
                ? "not a JSON value" : context.debugDescription
        case .keyNotFound(let key, _): "\(UntrustedText(key.stringValue)) is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            "\(Self.name(context.codingPath)) is of the wrong type"
        @unknown default: "not readable"
        }
    }

    private static func name(_ path: [any CodingKey]) -> String {
        path.isEmpty ? "the value" : UntrustedText(path.map(\.stringValue).joined(separator: ".")).description
    }
}
