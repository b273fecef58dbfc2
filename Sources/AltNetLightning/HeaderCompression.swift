// SPDX-License-Identifier: MIT

internal import AltNetBitcoin

/// Why bytes are no compressed run of headers.
public enum HeaderCompressionError: Error, Hashable, Sendable {
    /// The bytes end within a header.
    case truncated
    /// There are more headers than the request allows.
    case tooMany(limit: Int)
    /// A header could have been shorter, or sets a flag without a meaning.
    case notCanonical
}

/// Headers without what the receiver can rebuild.
///
/// The first header is whole. Of every other, the previous hash is left out, since the receiver hashes the header
/// before it; version and bits are left out when they repeat; and the time is a signed difference of 16 bits unless it
/// does not fit. There is exactly one encoding for a run of headers.
public enum HeaderCompression {
    /// A header's version differs from its predecessor's and follows.
    static let versionFlag: UInt8 = 1
    /// A header's time follows in full, because the difference does not fit into 16 bits.
    static let timeFlag: UInt8 = 2
    /// A header's bits differ from its predecessor's and follow.
    static let bitsFlag: UInt8 = 4

    /// Flags, time difference, merkle root and nonce: the least that a header takes after the first, in bytes.
    static let minimumSize = 1 + 2 + 32 + 4
    /// Flags and every field but the previous hash: the most that a header takes after the first, in bytes.
    public static let maximumSize = 1 + 4 + 32 + 4 + 4 + 4

    /// The most bytes that `count` headers take.
    public static func maximumLength(of count: Int) -> Int {
        count == 0 ? 0 : BlockHeader.size + (count - 1) * Self.maximumSize
    }

    /// Appends a run of raw 80-byte headers in compressed form. Bytes after the last whole header are left out.
    ///
    /// Every header MUST be the successor of the one before: that is not checked, and a run that is none is rebuilt as
    /// something else.
    public static func compress(_ headers: [UInt8], into output: inout [UInt8]) {
        let count = headers.count / BlockHeader.size
        guard count > 0 else { return }
        let compressed = [UInt8](unsafeUninitializedCapacity: Self.maximumLength(of: count)) { buffer, used in
            headers.withUnsafeBytes { headers in
                var writer = RawWriter(UnsafeMutableRawBufferPointer(buffer))
                writer.copy(headers, 0..<BlockHeader.size)
                for start in stride(from: BlockHeader.size, to: count * BlockHeader.size, by: BlockHeader.size) {
                    Self.compress(headers, start, into: &writer)
                }
                used = writer.offset
            }
        }
        output.append(contentsOf: compressed)
    }

    /// Rebuilds a run of raw 80-byte headers, at most `limit` of them.
    public static func decompress(
        _ bytes: ArraySlice<UInt8>,
        limit: Int
    ) throws(HeaderCompressionError) -> [UInt8] {
        guard !bytes.isEmpty else { return [] }
        guard bytes.count >= BlockHeader.size else { throw .truncated }
        guard limit > 0 else { throw .tooMany(limit: limit) }
        let capacity = min(limit, 1 + (bytes.count - BlockHeader.size) / Self.minimumSize)
        var failure: HeaderCompressionError?
        let headers = [UInt8](unsafeUninitializedCapacity: capacity * BlockHeader.size) { buffer, used in
            bytes.withUnsafeBytes { source in
                let output = UnsafeMutableRawBufferPointer(buffer)
                var reader = RawReader(source, from: BlockHeader.size)
                output.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[..<BlockHeader.size]))
                used = BlockHeader.size
                do throws(HeaderCompressionError) {
                    while !reader.isAtEnd {
                        guard used < output.count else {
                            throw capacity == limit ? .tooMany(limit: limit) : .truncated
                        }
                        try Self.decompress(&reader, into: output, at: used)
                        used += BlockHeader.size
                    }
                } catch {
                    failure = error
                }
            }
        }
        if let failure { throw failure }
        return headers
    }

    private static func compress(_ headers: UnsafeRawBufferPointer, _ start: Int, into writer: inout RawWriter) {
        let before = start - BlockHeader.size
        let time = UInt32(littleEndian: headers.loadUnaligned(fromByteOffset: start + Field.time, as: UInt32.self))
        let timeBefore = UInt32(
            littleEndian: headers.loadUnaligned(fromByteOffset: before + Field.time, as: UInt32.self)
        )
        let difference = Int16(exactly: Int64(time) - Int64(timeBefore))
        let versionDiffers = Self.differs(headers, start, before, Field.version)
        let bitsDiffer = Self.differs(headers, start, before, Field.bits)
        writer.store(
            (versionDiffers ? Self.versionFlag : 0) | (difference == nil ? Self.timeFlag : 0)
                | (bitsDiffer ? Self.bitsFlag : 0)
        )
        if versionDiffers { writer.copy(headers, (start + Field.version)..<(start + Field.version + 4)) }
        writer.copy(headers, (start + Field.merkleRoot)..<(start + Field.time))
        if let difference {
            writer.store(difference.bigEndian)
        } else {
            writer.copy(headers, (start + Field.time)..<(start + Field.bits))
        }
        if bitsDiffer { writer.copy(headers, (start + Field.bits)..<(start + Field.nonce)) }
        writer.copy(headers, (start + Field.nonce)..<(start + BlockHeader.size))
    }

    private static func decompress(
        _ reader: inout RawReader,
        into output: UnsafeMutableRawBufferPointer,
        at start: Int
    ) throws(HeaderCompressionError) {
        let before = start - BlockHeader.size
        let flags = try reader.load(UInt8.self)
        guard flags <= Self.versionFlag | Self.timeFlag | Self.bitsFlag else { throw .notCanonical }

        let versionBefore = output.loadUnaligned(fromByteOffset: before + Field.version, as: UInt32.self)
        var version = versionBefore
        if flags & Self.versionFlag != 0 {
            version = try reader.load(UInt32.self)
            guard version != versionBefore else { throw .notCanonical }
        }
        output.storeBytes(of: version, toByteOffset: start + Field.version, as: UInt32.self)

        let header = UnsafeRawBufferPointer(rebasing: output[before..<start])
        let hash = DoubleSHA256.hash(header).number.limbs
        for (index, word) in [hash.0, hash.1, hash.2, hash.3].enumerated() {
            output.storeBytes(
                of: word.littleEndian,
                toByteOffset: start + Field.previous + 8 * index,
                as: UInt64.self
            )
        }

        try reader.copy(32, to: output, at: start + Field.merkleRoot)

        let timeBefore = UInt32(
            littleEndian: output.loadUnaligned(fromByteOffset: before + Field.time, as: UInt32.self)
        )
        let time: UInt32
        if flags & Self.timeFlag != 0 {
            time = UInt32(littleEndian: try reader.load(UInt32.self))
            guard Int16(exactly: Int64(time) - Int64(timeBefore)) == nil else { throw .notCanonical }
        } else {
            let difference = Int16(bigEndian: try reader.load(Int16.self))
            guard let sum = UInt32(exactly: Int64(timeBefore) + Int64(difference)) else { throw .notCanonical }
            time = sum
        }
        output.storeBytes(of: time.littleEndian, toByteOffset: start + Field.time, as: UInt32.self)

        let bitsBefore = output.loadUnaligned(fromByteOffset: before + Field.bits, as: UInt32.self)
        var bits = bitsBefore
        if flags & Self.bitsFlag != 0 {
            bits = try reader.load(UInt32.self)
            guard bits != bitsBefore else { throw .notCanonical }
        }
        output.storeBytes(of: bits, toByteOffset: start + Field.bits, as: UInt32.self)

        try reader.copy(4, to: output, at: start + Field.nonce)
    }

    private static func differs(_ bytes: UnsafeRawBufferPointer, _ start: Int, _ before: Int, _ field: Int) -> Bool {
        bytes.loadUnaligned(fromByteOffset: start + field, as: UInt32.self)
            != bytes.loadUnaligned(fromByteOffset: before + field, as: UInt32.self)
    }

    /// Where the fields of a header start, in bytes.
    private enum Field {
        static let version = 0
        static let previous = 4
        static let merkleRoot = 36
        static let time = 68
        static let bits = 72
        static let nonce = 76
    }
}

/// Writes into memory that is known to be large enough.
private struct RawWriter {
    private let memory: UnsafeMutableRawBufferPointer
    private(set) var offset = 0

    init(_ memory: UnsafeMutableRawBufferPointer) {
        self.memory = memory
    }

    mutating func copy(_ source: UnsafeRawBufferPointer, _ range: Range<Int>) {
        UnsafeMutableRawBufferPointer(rebasing: self.memory[self.offset...])
            .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[range]))
        self.offset += range.count
    }

    mutating func store<Value: BitwiseCopyable>(_ value: Value) {
        self.memory.storeBytes(of: value, toByteOffset: self.offset, as: Value.self)
        self.offset += MemoryLayout<Value>.size
    }
}

/// Reads from memory, never beyond its end.
private struct RawReader {
    private let memory: UnsafeRawBufferPointer
    private var offset: Int

    init(_ memory: UnsafeRawBufferPointer, from offset: Int) {
        self.memory = memory
        self.offset = offset
    }

    var isAtEnd: Bool { self.offset == self.memory.count }

    mutating func load<Value: BitwiseCopyable>(_ type: Value.Type) throws(HeaderCompressionError) -> Value {
        let size = MemoryLayout<Value>.size
        guard self.memory.count - self.offset >= size else { throw .truncated }
        defer { self.offset += size }
        return self.memory.loadUnaligned(fromByteOffset: self.offset, as: type)
    }

    mutating func copy(
        _ count: Int,
        to output: UnsafeMutableRawBufferPointer,
        at start: Int
    ) throws(HeaderCompressionError) {
        guard self.memory.count - self.offset >= count else { throw .truncated }
        UnsafeMutableRawBufferPointer(rebasing: output[start..<(start + count)])
            .copyMemory(from: UnsafeRawBufferPointer(rebasing: self.memory[self.offset..<(self.offset + count)]))
        self.offset += count
    }
}
