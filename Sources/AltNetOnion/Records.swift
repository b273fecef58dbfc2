// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetLightning

/// A TLV stream of which everything is kept, also what is not known here: whoever forwards an onion message must refuse
/// records that it does not know, and whoever receives one may know more than this target.
enum Records {
    /// Reads all records. Refuses the stream when types do not increase, and for even types that are not `known`
    /// (BOLT 1).
    static func read(
        _ bytes: some Collection<UInt8>, known: Set<UInt64>
    ) throws(OnionError) -> [UInt64: [UInt8]] {
        var reader = ByteReader(Array(bytes))
        var records: [UInt64: [UInt8]] = [:]
        var previous: UInt64?
        while !reader.isAtEnd {
            let (type, value) = try Self.record(&reader)
            if let previous, type <= previous {
                throw .badPayload("\(TLVError.notIncreasing(type: type, after: previous))")
            }
            guard known.contains(type) || !type.isMultiple(of: 2) else {
                throw .badPayload("\(TLVError.unknownEvenType(type))")
            }
            previous = type
            records[type] = Array(value)
        }
        return records
    }

    /// The records in order of their types.
    static func encode(_ records: [UInt64: [UInt8]]) -> [UInt8] {
        var bytes: [UInt8] = []
        for (type, value) in records.sorted(by: { $0.key < $1.key }) {
            bytes.appendBigSize(type)
            bytes.appendBigSize(UInt64(value.count))
            bytes.append(contentsOf: value)
        }
        return bytes
    }

    private static func record(_ reader: inout ByteReader) throws(OnionError) -> (UInt64, ArraySlice<UInt8>) {
        do throws(ByteReaderError) {
            let type = try reader.bigSize()
            let length = try reader.bigSize()
            return (type, try reader.bytes(Int(clamping: length)))
        } catch {
            throw .badPayload("\(TLVError.malformed(error))")
        }
    }
}
