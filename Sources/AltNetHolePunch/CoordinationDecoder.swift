// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import Crypto

/// Cuts the bytes of a coordination connection into Bitcoin P2P messages (version 1 framing) and keeps the payloads of
/// `hpunch`, which `P2PMessageDecoder` knows nothing of. Holds at most one unfinished message of
/// ``maximumPayloadLength`` beside what one call brought.
struct CoordinationDecoder: Sendable {
    enum Message: Hashable, Sendable {
        case version(P2PVersion)
        case verack
        case punch(PunchMessage)
        /// Something that this endpoint has no use for.
        case other(command: String)
    }

    /// A `version` with the longest user agent fits, and so does all of ours. In bytes.
    static let maximumPayloadLength = PunchMessage.maximumLength
    private static let headerLength = 24
    private static let commandLength = 12

    private let magic: [UInt8]
    private var buffer: [UInt8] = []

    init(network: Network) {
        self.magic = network.magic
    }

    /// What came after the last message, unread.
    var rest: [UInt8] { self.buffer }

    mutating func append(_ bytes: [UInt8]) {
        self.buffer += bytes
    }

    /// The next complete message, or `nil` until more bytes come. An error is final.
    mutating func next() throws(CoordinationViolation) -> Message? {
        guard self.buffer.prefix(self.magic.count).elementsEqual(self.magic.prefix(self.buffer.count)) else {
            throw .wrongMagic
        }
        guard self.buffer.count >= Self.headerLength else { return nil }
        var reader = ByteReader(self.buffer)
        let command: [UInt8]
        let length: UInt32
        let checksum: [UInt8]
        let payload: [UInt8]
        do {
            _ = try reader.bytes(self.magic.count)
            command = Array(try reader.bytes(Self.commandLength).prefix { $0 != 0 })
            length = try reader.littleEndian()
            checksum = Array(try reader.bytes(4))
            guard length <= Self.maximumPayloadLength else { throw CoordinationViolation.messageTooLong(Int(length)) }
            guard reader.count >= Int(length) else { return nil }
            payload = Array(try reader.bytes(Int(length)))
        } catch let error as CoordinationViolation {
            throw error
        } catch {
            return nil
        }
        self.buffer = Array(reader.rest())
        guard Array(SHA256.hash(data: Array(SHA256.hash(data: payload))).prefix(4)) == checksum else {
            throw .wrongChecksum
        }
        return try Self.message(UntrustedText(command).description, payload)
    }

    private static func message(_ command: String, _ payload: [UInt8]) throws(CoordinationViolation) -> Message {
        switch command {
        case "version":
            guard case .version(let version)? = try? P2PMessage(command: command, payload: payload) else {
                throw .malformedVersion
            }
            return .version(version)
        case "verack": return .verack
        case PunchMessage.command:
            do throws(PunchMessageError) {
                return .punch(try PunchMessage(payload: payload))
            } catch {
                throw .malformed(error)
            }
        default: return .other(command: command)
        }
    }
}
