// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin
public import AltNetLightning
public import AltNetObjects

/// Why bytes are no frame.
public enum RelayFrameError: Error, Hashable, Sendable {
    /// A field is cut off, too long, or bytes are left.
    case malformed(ByteReaderError)
    /// A version other than 0.
    case unknownVersion(UInt8)
    /// A kind that means nothing here.
    case unknownKind(UInt8)
    /// A field has a value that it must not have.
    case outOfRange(String)
}

/// What two nodes say to each other through directed or onion messages (docs/protocol/objects-over-messages.md).
///
/// A frame is the whole contents of one message or answer. An answer carries the number of the frame that it answers.
public struct RelayFrame: Hashable, Sendable {
    /// The only version that there is.
    public static let version: UInt8 = 0
    /// Version, kind and number, in bytes.
    public static let headerSize = 1 + 1 + 8
    /// The size of a transfer's identifier, in bytes: random, so that nobody guesses another's.
    public static let transferIDSize = 16
    /// Where the bytes of a transaction begin in their frame.
    public static let transactionPartOverhead = RelayFrame.headerSize + RelayFrame.transferIDSize + 4 + 4
    /// Where the bytes of an answer begin in their frame.
    public static let objectPartOverhead = RelayFrame.headerSize + 4 + 4
    /// Where the body of an object request begins in its frame.
    public static let objectRequestOverhead = RelayFrame.headerSize + 1 + 4 + 2
    /// The longest transaction, in bytes, as in docs/protocol/bitcoin-over-lightning.md.
    public static let maximumTransaction = BitcoinOverLightning.maximumAnnouncedTransaction
    /// The longest whole answer, in bytes: one block of the largest size with its kind and length.
    public static let maximumAnswer = BitcoinOverLightning.maximumAnswerLength

    /// Random in a request; an answer repeats it.
    public var requestID: UInt64
    /// What is said.
    public var content: Content

    public init(_ requestID: UInt64, _ content: Content) {
        self.requestID = requestID
        self.content = content
    }

    /// What a frame says.
    public enum Content: Hashable, Sendable {
        /// Are you there, and what do you serve?
        case ping
        /// The answer to `ping`: the hash of the chain's first block, and the kinds that are served. Kinds without a
        /// meaning here are dropped.
        case pong(chain: BlockHash, serves: Set<ObjectKind>)
        /// Words for the operator, in UTF-8, unchecked.
        case text([UInt8])
        /// The answer to `text`.
        case textTaken
        /// `object_request` of docs/protocol/bitcoin-over-lightning.md, from byte `offset` of the answer on, of which
        /// the way back has room for `room` bytes.
        case objectRequest(kind: UInt8, offset: UInt32, room: UInt16, body: [UInt8])
        /// A part of the `object_answer`, which has `total` bytes, from its byte `offset` on.
        case objectAnswer(total: UInt32, offset: UInt32, part: [UInt8])
        /// A part of a transaction of `total` bytes, from its byte `offset` on.
        case transactionPart(transfer: [UInt8], total: UInt32, offset: UInt32, part: [UInt8])
        /// The answer to a part that is not the last: the sender holds so many bytes from the start.
        case transactionHeld(UInt32)
        /// The answer to the last part: the whole has been handed to the node.
        case transactionAccepted
        /// The answer to any part: the transfer is over.
        case transactionRefused(ObjectRefusal)

        var kind: UInt8 {
            switch self {
            case .ping: 1
            case .pong: 2
            case .text: 3
            case .textTaken: 4
            case .objectRequest: 5
            case .objectAnswer: 6
            case .transactionPart: 7
            case .transactionHeld: 8
            case .transactionAccepted: 9
            case .transactionRefused: 10
            }
        }
    }

    /// Reads a frame: the whole of `bytes`.
    public init(decoding bytes: [UInt8]) throws(RelayFrameError) {
        var reader = ByteReader(bytes)
        let (version, kind): (UInt8, UInt8)
        let content: Content?
        do throws(ByteReaderError) {
            version = try reader.bigEndian()
            kind = try reader.bigEndian()
            self.requestID = try reader.bigEndian()
            // What a later version says after its number is not known here.
            content = version == Self.version ? try Content(kind: kind, &reader) : nil
            if content != nil { try reader.expectEnd() }
        } catch {
            throw .malformed(error)
        }
        guard version == Self.version else { throw .unknownVersion(version) }
        guard let content else { throw .unknownKind(kind) }
        if let defect = content.defect { throw .outOfRange(defect) }
        self.content = content
    }

    // MARK: - What does not travel

    /// The version of frames that a driver makes for its own session; no node sends them.
    private static let localVersion: UInt8 = 255

    /// Tells ``FarLinkSession`` that a frame which it wrote could not be sent or was reported as failed: to be given to
    /// `onBytes` in place of an answer. It counts for that one attempt. A mere time-out need not be told: the session
    /// sees it itself.
    public static func lost(_ frame: [UInt8]) -> [UInt8] {
        [Self.localVersion] + frame.dropFirst().prefix(Self.headerSize - 1)
    }

    /// Whether bytes are for the session's driver to make. A driver MUST drop such an answer when it comes from the
    /// network; ``init(decoding:)`` refuses it too, as one of an unknown version.
    public static func isLocal(_ bytes: [UInt8]) -> Bool { bytes.first == Self.localVersion }

    /// The number of the frame that a driver says is lost.
    static func lostNumber(_ bytes: [UInt8]) -> UInt64? {
        guard Self.isLocal(bytes), bytes.count == Self.headerSize else { return nil }
        return bytes.dropFirst(2).reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// The frame as it is sent.
    public var encoded: [UInt8] {
        var bytes: [UInt8] = [Self.version, self.content.kind]
        bytes.appendBigEndian(self.requestID)
        self.content.append(to: &bytes)
        return bytes
    }
}

extension RelayFrame.Content {
    /// Reads what follows the number; `nil` for a kind that means nothing here.
    init?(kind: UInt8, _ reader: inout ByteReader) throws(ByteReaderError) {
        switch kind {
        case 1: self = .ping
        case 2:
            let chain = try reader.bytes(32).withUnsafeBytes { BlockHash(unaligned: $0) }
            let bits = LightningFeatures(bytes: reader.rest())
            self = .pong(
                chain: chain, serves: Set(ObjectKind.allCases.filter { bits.contains(UInt16($0.lightningNumber)) }))
        case 3: self = .text(Array(reader.rest()))
        case 4: self = .textTaken
        case 5:
            self = .objectRequest(
                kind: try reader.bigEndian(), offset: try reader.bigEndian(), room: try reader.bigEndian(),
                body: Array(reader.rest()))
        case 6:
            self = .objectAnswer(
                total: try reader.bigEndian(), offset: try reader.bigEndian(), part: Array(reader.rest()))
        case 7:
            self = .transactionPart(
                transfer: Array(try reader.bytes(RelayFrame.transferIDSize)), total: try reader.bigEndian(),
                offset: try reader.bigEndian(), part: Array(reader.rest()))
        case 8: self = .transactionHeld(try reader.bigEndian())
        case 9: self = .transactionAccepted
        case 10:
            // A reason that was added after this was written says at least that it was not taken.
            self = .transactionRefused(ObjectRefusal(rawValue: try reader.bigEndian()) ?? .unavailable)
        default: return nil
        }
    }

    func append(to bytes: inout [UInt8]) {
        switch self {
        case .ping, .textTaken, .transactionAccepted: break
        case .pong(let chain, let serves):
            bytes += chain.bytes
            bytes += LightningFeatures(serves.map { UInt16($0.lightningNumber) }).bytes
        case .text(let text): bytes += text
        case .objectRequest(let kind, let offset, let room, let body):
            bytes.append(kind)
            bytes.appendBigEndian(offset)
            bytes.appendBigEndian(room)
            bytes += body
        case .objectAnswer(let total, let offset, let part):
            bytes.appendBigEndian(total)
            bytes.appendBigEndian(offset)
            bytes += part
        case .transactionPart(let transfer, let total, let offset, let part):
            bytes += transfer
            bytes.appendBigEndian(total)
            bytes.appendBigEndian(offset)
            bytes += part
        case .transactionHeld(let count): bytes.appendBigEndian(count)
        case .transactionRefused(let reason): bytes.append(reason.rawValue)
        }
    }

    /// What a frame's fields must not be; `nil` when they are right.
    var defect: String? {
        switch self {
        case .objectRequest(_, let offset, let room, _):
            if offset >= RelayFrame.maximumAnswer {
                "no answer has a byte \(offset)"
            } else if room == 0 {
                "a request has room for nothing"
            } else {
                nil
            }
        case .objectAnswer(let total, let offset, let part):
            Self.defect(ofPart: part, at: offset, of: total, limit: RelayFrame.maximumAnswer)
        case .transactionPart(_, let total, let offset, let part):
            Self.defect(ofPart: part, at: offset, of: total, limit: RelayFrame.maximumTransaction)
        case .ping, .pong, .text, .textTaken, .transactionHeld, .transactionAccepted, .transactionRefused:
            nil
        }
    }

    private static func defect(ofPart part: [UInt8], at offset: UInt32, of total: UInt32, limit: Int) -> String? {
        if part.isEmpty {
            "a part brings nothing"
        } else if total > limit {
            "the whole has \(total) bytes, and \(limit) are allowed"
        } else if Int(offset) + part.count > total {
            "a part ends at byte \(Int(offset) + part.count) of \(total)"
        } else {
            nil
        }
    }
}

extension RelayFrameError: CustomStringConvertible {
    /// What is wrong, as a fragment of a sentence.
    public var description: String {
        switch self {
        case .malformed(let error): "a frame is malformed: \(error)"
        case .unknownVersion(let version): "a frame has the unknown version \(version)"
        case .unknownKind(let kind): "a frame has the unknown kind \(kind)"
        case .outOfRange(let detail): detail
        }
    }
}
