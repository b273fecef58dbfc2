// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
public import AltNetObjects

extension ObjectAnswer {
    /// The first byte of an answer that refuses; others start with the number of their kind.
    private static let refusedNumber: UInt8 = 0

    /// The body of `object_answer` to a request.
    ///
    /// What is more than the request or the limits allow is left out; an answer that does not fit the request at all
    /// becomes a refusal as `unavailable`, so that the other side is never left waiting.
    public func lightningBody(answering request: ObjectRequest) -> [UInt8] {
        var body = [request.kind.lightningNumber]
        switch (self, request) {
        case (.headers(let headers), .headers(_, _, _, let limit)):
            let longest = Int(min(limit, ObjectRequest.maximumHeaders)) * BlockHeader.size
            HeaderCompression.compress(headers.count > longest ? Array(headers[..<longest]) : headers, into: &body)
        case (.addresses(let addresses), .addresses(let limit)):
            body.append(addresses.prefix(Int(min(limit, UInt32(BitcoinOverLightning.maximumAddresses)))))
        case (.objects(let kind, let objects), _) where kind == request.kind:
            let (most, sizes) = Self.limits(of: kind)
            for object in objects.prefix(most) {
                guard sizes.contains(object.count) else { return Self.lightningRefusal(.unavailable) }
                guard body.count + object.count + 5 <= request.maximumLightningAnswer else { break }
                body.appendBigSize(UInt64(object.count))
                body += object
            }
            // An answer without an object is a refusal, and says so.
            guard body.count > 1 else { return Self.lightningRefusal(.notFound) }
        case (.refused(let reason), _):
            return Self.lightningRefusal(reason)
        default:
            return Self.lightningRefusal(.unavailable)
        }
        return body
    }

    /// Reads the body of `object_answer` to a request.
    public init(lightningBody body: [UInt8], answering request: ObjectRequest) throws(BitcoinBodyError) {
        guard let number = body.first else { throw .malformed(.truncated(needed: 1, available: 0)) }
        let rest = body.dropFirst()
        switch (number, request) {
        case (Self.refusedNumber, _):
            guard let reason = rest.first, rest.count == 1 else {
                throw .malformed(rest.isEmpty ? .truncated(needed: 1, available: 0) : .trailingBytes(rest.count - 1))
            }
            // A reason that was added after this was written says at least that no object will come.
            self = .refused(ObjectRefusal(rawValue: reason) ?? .unavailable)
        case (request.kind.lightningNumber, .headers(_, _, _, let limit)):
            self = .headers(try Self.headers(rest, limit: Int(limit)))
        case (request.kind.lightningNumber, .addresses(let limit)):
            self = .addresses(try Self.addresses(rest, limit: Int(limit)))
        case (request.kind.lightningNumber, _):
            self = .objects(request.kind, try Self.objects(rest, kind: request.kind))
        default:
            throw .wrongKind(number)
        }
    }

    private static func headers(_ bytes: ArraySlice<UInt8>, limit: Int) throws(BitcoinBodyError) -> [UInt8] {
        do throws(HeaderCompressionError) {
            return try HeaderCompression.decompress(bytes, limit: limit)
        } catch {
            throw .badHeaders(error)
        }
    }

    private static func addresses(
        _ bytes: ArraySlice<UInt8>,
        limit: Int
    ) throws(BitcoinBodyError) -> [NodeAddress] {
        var reader = ByteReader(bytes)
        let addresses: [NodeAddress]
        do throws(ByteReaderError) {
            addresses = try reader.addresses()
        } catch {
            throw .malformed(error)
        }
        guard addresses.count <= limit else {
            throw .outOfRange("\(addresses.count) addresses where \(limit) are allowed")
        }
        return addresses
    }

    private static func objects(
        _ bytes: ArraySlice<UInt8>,
        kind: ObjectKind
    ) throws(BitcoinBodyError) -> [[UInt8]] {
        let (most, sizes) = Self.limits(of: kind)
        var reader = ByteReader(bytes)
        var objects: [[UInt8]] = []
        do throws(ByteReaderError) {
            while !reader.isAtEnd {
                guard objects.count < most else { throw .trailingBytes(reader.count) }
                let length = Int(clamping: try reader.bigSize())
                guard sizes.contains(length) else {
                    throw .tooLong(length: UInt64(length), limit: sizes.upperBound)
                }
                objects.append(Array(try reader.bytes(length)))
            }
        } catch {
            throw .malformed(error)
        }
        guard !objects.isEmpty else { throw .outOfRange("an answer without an object") }
        return objects
    }

    /// How many objects of a kind one answer may hold, and how long each may be.
    private static func limits(of kind: ObjectKind) -> (count: Int, sizes: ClosedRange<Int>) {
        switch kind {
        case .filterHeaders:
            let length = BitcoinOverLightning.filterHeaderLength
            return (BitcoinOverLightning.maximumFilterHeaders, length...length)
        case .filters:
            return (BitcoinOverLightning.maximumFilters, 1...BitcoinOverLightning.maximumObjectLength)
        case .blocks:
            return (1, BlockHeader.size...BitcoinOverLightning.maximumObjectLength)
        case .transactions:
            return (1, BitcoinOverLightning.minimumTransaction...BitcoinOverLightning.maximumObjectLength)
        case .peerRecords:
            return (ObjectRequest.maximumPeerRecords, 1...ObjectRequest.maximumPeerRecordSize)
        case .headers, .addresses, .tips:
            return (0, 0...0)
        }
    }

    /// The body of an answer that refuses.
    public static func lightningRefusal(_ reason: ObjectRefusal) -> [UInt8] {
        [Self.refusedNumber, reason.rawValue]
    }
}
