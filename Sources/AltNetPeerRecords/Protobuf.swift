// SPDX-License-Identifier: MIT

/// Why bytes are no Protocol Buffers message that we read.
public enum ProtobufError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The bytes end within a field.
    case truncated
    case varint(VarintError)
    /// A field number of zero, or above 2^29 - 1.
    case badField
    /// Groups and unknown kinds of field.
    case wireType(UInt8)

    public var description: String {
        switch self {
        case .truncated: "the message ends within a field"
        case .varint(let error): error.description
        case .badField: "a field has a number that Protocol Buffers do not have"
        case .wireType(let type): "a field is of wire type \(type), which is not in use"
        }
    }
}

/// What one field holds.
public enum ProtobufValue: Hashable, Sendable {
    case varint(UInt64)
    case fixed64(UInt64)
    case bytes(ArraySlice<UInt8>)
    case fixed32(UInt32)

    /// The bytes of a string, bytes or message field; `nil` for numbers.
    public var bytes: ArraySlice<UInt8>? {
        if case .bytes(let bytes) = self { bytes } else { nil }
    }

    /// The number of an integer, enumeration or Boolean field; `nil` for others.
    public var number: UInt64? {
        if case .varint(let number) = self { number } else { nil }
    }
}

/// Reads the fields of a Protocol Buffers message one after the other, as libp2p's messages need it: no schema, no
/// groups, and varints in their shortest form only.
public struct ProtobufReader: Sendable {
    private let bytes: ArraySlice<UInt8>
    private var index: Int

    public init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        self.index = bytes.startIndex
    }

    public init(_ bytes: [UInt8]) {
        self.init(bytes[...])
    }

    public init(_ bytes: some Collection<UInt8>) {
        self.init(Array(bytes)[...])
    }

    /// The next field, or `nil` after the last one.
    public mutating func next() throws(ProtobufError) -> (field: Int, value: ProtobufValue)? {
        guard self.index < self.bytes.endIndex else { return nil }
        let key = try self.varint()
        let field = key >> 3
        guard (1...0x1fff_ffff).contains(field) else { throw .badField }
        return (Int(field), try self.value(UInt8(key & 7)))
    }

    private mutating func value(_ wireType: UInt8) throws(ProtobufError) -> ProtobufValue {
        switch wireType {
        case 0: return .varint(try self.varint())
        case 1: return .fixed64(try self.take(8).reversed().reduce(0) { $0 << 8 | UInt64($1) })
        case 2: return .bytes(try self.take(try self.varint()))
        case 5: return .fixed32(try self.take(4).reversed().reduce(0) { $0 << 8 | UInt32($1) })
        default: throw .wireType(wireType)
        }
    }

    private mutating func take(_ count: UInt64) throws(ProtobufError) -> ArraySlice<UInt8> {
        guard count <= UInt64(self.bytes.endIndex - self.index) else { throw .truncated }
        let start = self.index
        self.index += Int(count)
        return self.bytes[start..<self.index]
    }

    private mutating func varint() throws(ProtobufError) -> UInt64 {
        do {
            return try UnsignedVarint.read(
                self.bytes, at: &self.index, maximumSize: UnsignedVarint.maximumProtobufSize)
        } catch {
            throw error == .truncated ? .truncated : .varint(error)
        }
    }
}

/// Writes the fields of a Protocol Buffers message in the order in which they are given.
public struct ProtobufWriter: Sendable {
    public private(set) var encoded: [UInt8] = []

    public init() {}

    /// - Parameter capacity: about how many bytes will be written.
    init(capacity: Int) {
        self.encoded.reserveCapacity(capacity)
    }

    /// An integer, enumeration or Boolean field.
    public mutating func varint(_ field: Int, _ value: UInt64) {
        UnsignedVarint.append(UInt64(field) << 3, to: &self.encoded)
        UnsignedVarint.append(value, to: &self.encoded)
    }

    /// A string, bytes or message field.
    public mutating func bytes(_ field: Int, _ value: some Collection<UInt8>) {
        UnsignedVarint.append(UInt64(field) << 3 | 2, to: &self.encoded)
        UnsignedVarint.append(UInt64(value.count), to: &self.encoded)
        self.encoded.append(contentsOf: value)
    }

    /// A string field.
    public mutating func string(_ field: Int, _ value: String) {
        self.bytes(field, value.utf8)
    }
}
