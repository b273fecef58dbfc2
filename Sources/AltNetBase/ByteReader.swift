// SPDX-License-Identifier: MIT

/// Why bytes from outside could not be read.
public enum ByteReaderError: Error, Hashable, Sendable {
    /// The input ended before a value of `needed` bytes was complete.
    case truncated(needed: Int, available: Int)
    /// A CompactSize, BigSize or similar integer was not encoded in its shortest form.
    case notMinimal
    /// A count or length is above what the caller allows.
    case tooLong(length: UInt64, limit: Int)
    /// Bytes remain after the last field.
    case trailingBytes(Int)
}

/// Reads integers and byte strings from front to back, never beyond the end.
///
/// A value type: copying it is a bookmark.
public struct ByteReader: Sendable {
    /// What has not been read yet.
    public private(set) var remaining: ArraySlice<UInt8>

    public init(_ bytes: [UInt8]) {
        self.remaining = bytes[...]
    }

    public init(_ bytes: ArraySlice<UInt8>) {
        self.remaining = bytes
    }

    /// The number of bytes not read yet.
    public var count: Int { self.remaining.count }

    /// Whether everything has been read.
    public var isAtEnd: Bool { self.remaining.isEmpty }

    /// Takes the next `count` bytes.
    public mutating func bytes(_ count: Int) throws(ByteReaderError) -> ArraySlice<UInt8> {
        guard count >= 0, count <= self.remaining.count else {
            throw .truncated(needed: count, available: self.remaining.count)
        }
        let head = self.remaining.prefix(count)
        self.remaining = self.remaining.dropFirst(count)
        return head
    }

    /// Takes everything that is left.
    public mutating func rest() -> ArraySlice<UInt8> {
        defer { self.remaining = self.remaining.suffix(0) }
        return self.remaining
    }

    /// Takes an unsigned or signed integer with its least significant byte first, as Bitcoin does.
    public mutating func littleEndian<Value: FixedWidthInteger>(
        _ type: Value.Type = Value.self
    ) throws(ByteReaderError) -> Value {
        Value(littleEndian: try self.raw(type))
    }

    /// Takes an unsigned or signed integer with its most significant byte first, as Lightning does.
    public mutating func bigEndian<Value: FixedWidthInteger>(
        _ type: Value.Type = Value.self
    ) throws(ByteReaderError) -> Value {
        Value(bigEndian: try self.raw(type))
    }

    /// Fails if anything is left.
    public func expectEnd() throws(ByteReaderError) {
        guard self.remaining.isEmpty else { throw .trailingBytes(self.remaining.count) }
    }

    private mutating func raw<Value: FixedWidthInteger>(_ type: Value.Type) throws(ByteReaderError) -> Value {
        let size = MemoryLayout<Value>.size
        let head = try self.bytes(size)
        return head.withUnsafeBytes { $0.loadUnaligned(as: Value.self) }
    }
}

extension [UInt8] {
    /// Appends an integer with its least significant byte first.
    @inlinable
    public mutating func appendLittleEndian<Value: FixedWidthInteger>(_ value: Value) {
        Swift.withUnsafeBytes(of: value.littleEndian) { self.append(contentsOf: $0) }
    }

    /// Appends an integer with its most significant byte first.
    @inlinable
    public mutating func appendBigEndian<Value: FixedWidthInteger>(_ value: Value) {
        Swift.withUnsafeBytes(of: value.bigEndian) { self.append(contentsOf: $0) }
    }
}
