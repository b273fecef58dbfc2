// SPDX-License-Identifier: MIT

internal import AltNetBase

/// What is wrong with a stream of JSON objects. The stream cannot be read any further.
enum JSONFramingError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Between objects there is something that is neither an object nor white space.
    case notAnObject(UInt8)
    /// An object goes on beyond ``JSONFramer/maximumLength``.
    case tooLong(limit: Int)
    /// Objects and arrays are nested beyond ``JSONFramer/maximumDepth``.
    case tooDeep(limit: Int)

    var description: String {
        switch self {
        case .notAnObject(let byte): "byte 0x\(Hex.encode([byte])) stands where a JSON object should begin"
        case .tooLong(let limit): "a JSON object is longer than \(limit) bytes"
        case .tooDeep(let limit): "JSON is nested more than \(limit) deep"
        }
    }
}

/// Cuts a stream of bytes into JSON objects by their braces alone.
///
/// lightningd puts two line feeds behind each object, but its documentation promises none, and one read may hold half
/// an object or several. Whether what stands between the braces is JSON, the decoder finds out.
struct JSONFramer: Sendable {
    /// The longest object, in bytes: lists of a node with thousands of channels have some millions.
    static let maximumLength = 16 << 20
    /// The deepest nesting: what we read has fewer than ten levels, and decoders recurse.
    static let maximumDepth = 64
    /// A larger buffer is given back when it is empty.
    private static let keptCapacity = 65_536

    private var buffer: [UInt8] = []
    /// How far the buffer has been looked at.
    private var position = 0
    private var depth = 0
    private var isInString = false
    private var isEscaped = false

    /// Takes bytes and gives the objects that are complete now, each with its braces.
    mutating func onBytes(_ bytes: some Sequence<UInt8>) throws(JSONFramingError) -> [[UInt8]] {
        self.buffer.append(contentsOf: bytes)
        var objects: [[UInt8]] = []
        var start = 0
        while self.position < self.buffer.count {
            let byte = self.buffer[self.position]
            self.position += 1
            if self.depth == 0 {
                switch byte {
                case UInt8(ascii: "{"):
                    start = self.position - 1
                    self.depth = 1
                case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"), UInt8(ascii: "\n"):
                    start = self.position
                default: throw .notAnObject(byte)
                }
            } else {
                try self.step(byte)
                guard self.position - start <= Self.maximumLength else { throw .tooLong(limit: Self.maximumLength) }
                if self.depth == 0 {
                    objects.append(Array(self.buffer[start..<self.position]))
                    start = self.position
                }
            }
        }
        self.forget(start)
        return objects
    }

    private mutating func step(_ byte: UInt8) throws(JSONFramingError) {
        if self.isEscaped {
            self.isEscaped = false
        } else if self.isInString {
            if byte == UInt8(ascii: "\\") { self.isEscaped = true }
            if byte == UInt8(ascii: "\"") { self.isInString = false }
        } else {
            switch byte {
            case UInt8(ascii: "\""): self.isInString = true
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                self.depth += 1
                guard self.depth <= Self.maximumDepth else { throw .tooDeep(limit: Self.maximumDepth) }
            case UInt8(ascii: "}"), UInt8(ascii: "]"): self.depth -= 1
            default: break
            }
        }
    }

    private mutating func forget(_ count: Int) {
        if count == self.buffer.count {
            self.buffer.removeAll(keepingCapacity: self.buffer.capacity <= Self.keptCapacity)
        } else {
            self.buffer.removeFirst(count)
        }
        self.position = self.buffer.count
    }
}
