// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetObjects

/// The numbers of the messages that carry streams (docs/protocol/bitcoin-over-lightning.md, "Streams"): custom and odd,
/// next to those of ``BitcoinMessage``.
public enum StreamTypeNumber {
    /// `stream_open`.
    public static let open: UInt16 = 44407
    /// `stream_answer`.
    public static let answer: UInt16 = 44409
    /// `stream_data`.
    public static let data: UInt16 = 44411
    /// `stream_credit`.
    public static let credit: UInt16 = 44413
    /// `stream_end`.
    public static let end: UInt16 = 44415
    /// `stream_reset`.
    public static let reset: UInt16 = 44417

    static let all: Set<UInt16> = [open, answer, data, credit, end, reset]
}

extension StreamMessage {
    /// `stream_answer` says so when the stream stands; other numbers are refusals.
    private static let openedNumber: UInt8 = 0

    /// Reads what follows type and number of the stream. Nothing may be left over: there is no extension.
    init(lightningType type: UInt16, _ reader: inout ByteReader) throws(ByteReaderError) {
        switch type {
        case StreamTypeNumber.open:
            self = .open(StreamPurpose(try reader.bigEndian()))
        case StreamTypeNumber.answer:
            let number: UInt8 = try reader.bigEndian()
            // A reason that came later than this code is as good as any.
            self = number == Self.openedNumber ? .opened : .refused(StreamRefusal(rawValue: number) ?? .unavailable)
        case StreamTypeNumber.data:
            self = .data(Array(reader.rest()))
        case StreamTypeNumber.credit:
            self = .credit(try reader.bigEndian())
        case StreamTypeNumber.end:
            self = .end
        default:
            self = .reset(StreamReset(rawValue: try reader.bigEndian()) ?? .closed)
        }
        try reader.expectEnd()
    }

    func append(number: UInt32, to bytes: inout [UInt8]) {
        switch self {
        case .open(let purpose):
            Self.begin(StreamTypeNumber.open, number, &bytes)
            bytes.append(purpose.number)
        case .opened:
            Self.begin(StreamTypeNumber.answer, number, &bytes)
            bytes.append(Self.openedNumber)
        case .refused(let refusal):
            Self.begin(StreamTypeNumber.answer, number, &bytes)
            bytes.append(refusal.rawValue)
        case .data(let data):
            bytes.reserveCapacity(6 + data.count)
            Self.begin(StreamTypeNumber.data, number, &bytes)
            bytes.append(contentsOf: data)
        case .credit(let credit):
            Self.begin(StreamTypeNumber.credit, number, &bytes)
            bytes.appendBigEndian(credit)
        case .end:
            Self.begin(StreamTypeNumber.end, number, &bytes)
        case .reset(let reset):
            Self.begin(StreamTypeNumber.reset, number, &bytes)
            bytes.append(reset.rawValue)
        }
    }

    private static func begin(_ type: UInt16, _ number: UInt32, _ bytes: inout [UInt8]) {
        bytes.appendBigEndian(type)
        bytes.appendBigEndian(number)
    }
}
