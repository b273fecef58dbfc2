// SPDX-License-Identifier: MIT

public import AltNetBase

/// Why bytes are no TLV stream.
public enum TLVError: Error, Hashable, Sendable {
    /// A type or length is cut off or not in its shortest form, or a value is cut off.
    case malformed(ByteReaderError)
    /// A type is not greater than the one before it.
    case notIncreasing(type: UInt64, after: UInt64)
    /// A type is even and means nothing here, so that the whole stream must be refused.
    case unknownEvenType(UInt64)
}

/// A series of records that carry their type and length, in strictly increasing order of type (BOLT 1,
/// "Type-Length-Value Format").
public struct TLVStream: Hashable, Sendable {
    /// The records that were asked for: value by type.
    public private(set) var values: [UInt64: ArraySlice<UInt8>] = [:]

    /// A stream without records.
    public init() {}

    /// Reads everything that is left of `reader`. Keeps the records of `known` types, skips unknown odd ones, and
    /// refuses the stream for an unknown even one. The values are left to the caller, who MUST refuse them when they do
    /// not have exactly the form of their type.
    public init(_ reader: inout ByteReader, known: Set<UInt64>) throws(TLVError) {
        var previous: UInt64?
        while !reader.isAtEnd {
            let (type, value) = try Self.record(&reader)
            if let previous, type <= previous { throw .notIncreasing(type: type, after: previous) }
            previous = type
            if known.contains(type) {
                self.values[type] = value
            } else if type.isMultiple(of: 2) {
                throw .unknownEvenType(type)
            }
        }
    }

    /// Gives a record its value, or removes it with `nil`.
    public mutating func set(_ type: UInt64, to value: [UInt8]?) {
        self.values[type] = value?[...]
    }

    /// Appends the records in order of their types.
    public func append(to bytes: inout [UInt8]) {
        for (type, value) in self.values.sorted(by: { $0.key < $1.key }) {
            bytes.appendBigSize(type)
            bytes.appendBigSize(UInt64(value.count))
            bytes.append(contentsOf: value)
        }
    }

    private static func record(_ reader: inout ByteReader) throws(TLVError) -> (UInt64, ArraySlice<UInt8>) {
        do throws(ByteReaderError) {
            let type = try reader.bigSize()
            let length = try reader.bigSize()
            // The reader refuses what is longer than what is left, so any clamped length is refused as well.
            return (type, try reader.bytes(Int(clamping: length)))
        } catch {
            throw .malformed(error)
        }
    }
}
