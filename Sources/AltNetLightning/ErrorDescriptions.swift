// SPDX-License-Identifier: MIT

internal import AltNetBase

// What is wrong, as fragments of a sentence: they end up in disconnect reasons and in BOLT 1 warnings.

extension ByteReaderError {
    fileprivate var text: String {
        switch self {
        case .truncated(let needed, let available): "\(needed) bytes are needed and \(available) are left"
        case .notMinimal: "a number is longer than necessary"
        case .tooLong(let length, let limit): "a length is \(length), and \(limit) is allowed"
        case .trailingBytes(let count): "\(count) bytes are left over"
        }
    }
}

extension TLVError: CustomStringConvertible {
    /// What is wrong, as a fragment of a sentence.
    public var description: String {
        switch self {
        case .malformed(let error): "a record is malformed: \(error.text)"
        case .notIncreasing(let type, let before): "record \(type) comes after record \(before)"
        case .unknownEvenType(let type): "record \(type) is even and unknown"
        }
    }
}

extension LightningMessageError: CustomStringConvertible {
    /// What is wrong, as a fragment of a sentence.
    public var description: String {
        switch self {
        case .malformed(let type, let error): "a message of type \(type) is malformed: \(error.text)"
        case .noType: "a message has no type"
        case .unknownEvenType(let type): "message type \(type) is even and unknown"
        case .badRecords(let type, let error): "the records of a message of type \(type) are wrong: \(error)"
        case .badRecord(let type, let record): "record \(record) of a message of type \(type) has a wrong form"
        }
    }
}

extension HeaderCompressionError: CustomStringConvertible {
    /// What is wrong, as a fragment of a sentence.
    public var description: String {
        switch self {
        case .truncated: "a header is cut off"
        case .tooMany(let limit): "more than \(limit) headers"
        case .notCanonical: "a header is not in its only valid form"
        }
    }
}

extension BitcoinBodyError: CustomStringConvertible {
    /// What is wrong, as a fragment of a sentence.
    public var description: String {
        switch self {
        case .malformed(let error): error.text
        case .badHeaders(let error): "\(error)"
        case .outOfRange(let detail): detail
        case .wrongKind(let kind): "it is of kind \(kind)"
        }
    }
}

extension PartError: CustomStringConvertible {
    /// What is wrong, as a fragment of a sentence.
    public var description: String {
        switch self {
        case .tooLong(let length, let limit): "the whole would have \(length) bytes, and \(limit) are allowed"
        case .notConsecutive(let expected, let found): "\(found) bytes are announced where \(expected) were missing"
        case .empty: "it is empty"
        }
    }
}
