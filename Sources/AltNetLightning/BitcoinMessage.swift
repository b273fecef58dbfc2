// SPDX-License-Identifier: MIT

internal import AltNetBase

/// The three messages of docs/protocol/bitcoin-over-lightning.md, before their bodies are read.
///
/// Answers and announcements may be longer than one Lightning message: they are then cut into parts, each of which says
/// how many bytes follow it.
public enum BitcoinMessage: Hashable, Sendable {
    /// The sender wants an object. A request always fits into one message.
    case request(id: UInt64, kind: UInt8, body: ArraySlice<UInt8>)
    /// A part of the answer to a request; `remaining` bytes of it follow in later parts.
    case answer(id: UInt64, remaining: UInt32, part: ArraySlice<UInt8>)
    /// A part of an announcement; `remaining` bytes of it follow in later parts.
    case announcement(remaining: UInt32, part: ArraySlice<UInt8>)

    /// The numbers of the types: custom (32768 and above), adjacent, and odd, so that other software ignores them.
    public enum TypeNumber {
        /// `object_request`.
        public static let request: UInt16 = 44401
        /// `object_answer`.
        public static let answer: UInt16 = 44403
        /// `object_announcement`.
        public static let announcement: UInt16 = 44405
        /// All three.
        public static let all: Set<UInt16> = [request, answer, announcement]
    }

    /// What one `object_answer` can hold: a Lightning message without type, request id and `remaining`.
    public static let maximumAnswerPart = 65535 - 2 - 8 - 4
    /// What one `object_announcement` can hold: a Lightning message without type and `remaining`.
    public static let maximumAnnouncementPart = 65535 - 2 - 4

    init(type: UInt16, _ reader: inout ByteReader) throws(ByteReaderError) {
        switch type {
        case TypeNumber.request:
            self = .request(id: try reader.bigEndian(), kind: try reader.bigEndian(), body: reader.rest())
        case TypeNumber.answer:
            self = .answer(id: try reader.bigEndian(), remaining: try reader.bigEndian(), part: reader.rest())
        default:
            self = .announcement(remaining: try reader.bigEndian(), part: reader.rest())
        }
    }

    func append(to bytes: inout [UInt8]) {
        switch self {
        case .request(let id, let kind, let body):
            bytes.reserveCapacity(11 + body.count)
            bytes.appendBigEndian(TypeNumber.request)
            bytes.appendBigEndian(id)
            bytes.append(kind)
            bytes.append(contentsOf: body)
        case .answer(let id, let remaining, let part):
            bytes.reserveCapacity(14 + part.count)
            bytes.appendBigEndian(TypeNumber.answer)
            bytes.appendBigEndian(id)
            bytes.appendBigEndian(remaining)
            bytes.append(contentsOf: part)
        case .announcement(let remaining, let part):
            bytes.reserveCapacity(6 + part.count)
            bytes.appendBigEndian(TypeNumber.announcement)
            bytes.appendBigEndian(remaining)
            bytes.append(contentsOf: part)
        }
    }

    /// Cuts the body of an answer into messages.
    public static func answer(id: UInt64, body: [UInt8]) -> [BitcoinMessage] {
        self.parts(of: body, size: self.maximumAnswerPart).map { .answer(id: id, remaining: $0, part: $1) }
    }

    /// Cuts the body of an announcement into messages.
    public static func announcement(body: [UInt8]) -> [BitcoinMessage] {
        self.parts(of: body, size: self.maximumAnnouncementPart).map { .announcement(remaining: $0, part: $1) }
    }

    private static func parts(of body: [UInt8], size: Int) -> [(remaining: UInt32, part: ArraySlice<UInt8>)] {
        stride(from: 0, to: body.count, by: size).map { start in
            let part = body[start..<min(start + size, body.count)]
            return (UInt32(body.count - part.endIndex), part)
        }
    }
}

/// Why parts cannot be put together.
public enum PartError: Error, Hashable, Sendable {
    /// The whole would be longer than allowed.
    case tooLong(length: Int, limit: Int)
    /// A part does not continue the one before it: the bytes that it brings and announces do not add up.
    case notConsecutive(expected: Int, found: Int)
    /// A part brings nothing.
    case empty
}

/// Puts the parts of one answer or announcement together.
///
/// Holds no more than the bytes received, which the first part's claim already bounds by `limit`.
public struct PartAssembler: Sendable {
    private let limit: Int
    private var bytes: [UInt8] = []
    /// What the last part said would follow; `nil` before the first.
    private var remaining: Int?

    /// For a whole of at most `limit` bytes.
    public init(limit: Int) {
        self.limit = limit
    }

    /// The number of bytes held.
    public var count: Int { self.bytes.count }

    /// Takes the next part; gives the whole when nothing follows it.
    public mutating func add(_ part: ArraySlice<UInt8>, remaining: UInt32) throws(PartError) -> [UInt8]? {
        guard !part.isEmpty else { throw .empty }
        let claimed = part.count + Int(remaining)
        if let expected = self.remaining, claimed != expected {
            throw .notConsecutive(expected: expected, found: claimed)
        }
        let length = self.bytes.count + claimed
        guard length <= self.limit else { throw .tooLong(length: length, limit: self.limit) }
        self.bytes.append(contentsOf: part)
        self.remaining = Int(remaining)
        return remaining == 0 ? self.bytes : nil
    }
}
