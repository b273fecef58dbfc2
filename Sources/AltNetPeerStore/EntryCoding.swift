// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetPeerRecords

/// What stands in the file is not what this program writes.
struct EntryDamaged: Error {}

/// The form in which an entry stands in a row of the database: fixed-size fields, least significant byte first, with a
/// checksum in front, since nothing in it is verified again when it is read.
extension PeerEntry {
    private static let version: UInt8 = 1

    private enum Flag {
        static let sequence: UInt8 = 1
        static let record: UInt8 = 2
        static let boundRecord: UInt8 = 4
        static let homelessRecord: UInt8 = 8
    }

    /// The row's bytes.
    var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(64 + (self.record?.envelope.count ?? 0) + 96 * self.addresses.count)
        bytes.appendLittleEndian(UInt32(0))
        bytes.append(Self.version)
        bytes.appendLittleEndian(self.teller)
        var flags: UInt8 = self.sequence == nil ? 0 : Flag.sequence
        if let record = self.record {
            flags |= Flag.record
            switch record.reach {
            case .anywhere: break
            case .on: flags |= Flag.boundRecord
            case .nowhere: flags |= Flag.homelessRecord
            }
        }
        bytes.append(flags)
        if let sequence = self.sequence {
            bytes.appendLittleEndian(sequence)
            bytes.appendLittleEndian(self.sequenceUntil.milliseconds)
        }
        if let record = self.record {
            bytes.appendLittleEndian(UInt16(truncatingIfNeeded: record.envelope.count))
            bytes.append(contentsOf: record.envelope)
            if case .on(let network) = record.reach { bytes.append(network: network) }
        }
        bytes.appendLittleEndian(UInt16(truncatingIfNeeded: self.addresses.count))
        for address in self.addresses { address.append(to: &bytes) }
        let checksum = Self.checksum(bytes.dropFirst(4))
        for index in 0..<4 { bytes[index] = UInt8(truncatingIfNeeded: checksum >> (8 * UInt32(index))) }
        return bytes
    }

    init(encoded bytes: [UInt8]) throws {
        var reader = ByteReader(bytes)
        let checksum: UInt32 = try reader.littleEndian()
        guard checksum == Self.checksum(reader.remaining), try reader.littleEndian(UInt8.self) == Self.version else {
            throw EntryDamaged()
        }
        self.init(teller: try reader.littleEndian())
        let flags: UInt8 = try reader.littleEndian()
        if flags & Flag.sequence != 0 {
            self.sequence = try reader.littleEndian()
            self.sequenceUntil = try reader.time()
        }
        if flags & Flag.record != 0 {
            let envelope = Array(try reader.bytes(Int(try reader.littleEndian(UInt16.self))))
            let reach: RecordReach =
                if flags & Flag.boundRecord != 0 {
                    .on(try reader.network())
                } else {
                    flags & Flag.homelessRecord != 0 ? .nowhere : .anywhere
                }
            self.record = StoredRecord(envelope: envelope, reach: reach)
        }
        let count = Int(try reader.littleEndian(UInt16.self))
        self.addresses.reserveCapacity(min(count, PeerRules.maximumAddresses))
        for _ in 0..<count { self.addresses.append(try AddressEntry(reading: &reader)) }
        try reader.expectEnd()
    }

    /// FNV-1a over words of eight bytes: finds accidents, not malice.
    private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.withUnsafeBytes { buffer in
            var hash: UInt64 = 0xcbf2_9ce4_8422_2325
            var offset = 0
            while offset + 8 <= buffer.count {
                let word = UInt64(littleEndian: buffer.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
                hash = (hash ^ word) &* 0x100_0000_01b3
                hash ^= hash >> 29
                offset += 8
            }
            for byte in buffer[offset...] { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
            return UInt32(truncatingIfNeeded: hash ^ (hash >> 32))
        }
    }
}

extension AddressEntry {
    private enum Flag {
        static let network: UInt8 = 1
        static let success: UInt8 = 2
        static let failure: UInt8 = 4
        static let latency: UInt8 = 8
        static let certified: UInt8 = 16
    }

    fileprivate func append(to bytes: inout [UInt8]) {
        var flags: UInt8 = 0
        if self.network != nil { flags |= Flag.network }
        if self.lastSuccess != nil { flags |= Flag.success }
        if self.lastFailure != nil { flags |= Flag.failure }
        if self.latency != nil { flags |= Flag.latency }
        if self.certifiedUntil != nil { flags |= Flag.certified }
        bytes.append(flags)
        bytes.appendLittleEndian(UInt16(truncatingIfNeeded: self.address.bytes.count))
        bytes.append(contentsOf: self.address.bytes)
        bytes.appendLittleEndian(self.sources.rawValue)
        bytes.appendLittleEndian(self.teller)
        bytes.appendLittleEndian(self.firstSeen.milliseconds)
        bytes.appendLittleEndian(self.lastSeen.milliseconds)
        bytes.appendLittleEndian(self.heardUntil.milliseconds)
        if let certifiedUntil = self.certifiedUntil { bytes.appendLittleEndian(certifiedUntil.milliseconds) }
        if let network = self.network { bytes.append(network: network) }
        if let lastSuccess = self.lastSuccess { bytes.appendLittleEndian(lastSuccess.milliseconds) }
        if let lastFailure = self.lastFailure {
            bytes.appendLittleEndian(lastFailure.milliseconds)
            bytes.appendLittleEndian(UInt32(truncatingIfNeeded: self.failures))
        }
        if let latency = self.latency { bytes.appendLittleEndian(latency.wholeNanoseconds) }
    }

    fileprivate init(reading reader: inout ByteReader) throws {
        let flags: UInt8 = try reader.littleEndian()
        let address = Multiaddress(checkedBefore: Array(try reader.bytes(Int(try reader.littleEndian(UInt16.self)))))
        let sources = AddressSources(rawValue: try reader.littleEndian())
        let teller: UInt16 = try reader.littleEndian()
        let (firstSeen, lastSeen, heardUntil) = (try reader.time(), try reader.time(), try reader.time())
        let certifiedUntil = flags & Flag.certified == 0 ? nil : try reader.time()
        self.init(
            address: address, network: flags & Flag.network == 0 ? nil : try reader.network(), teller: teller,
            firstSeen: firstSeen, sources: sources, lastSeen: lastSeen, certifiedUntil: certifiedUntil,
            heardUntil: heardUntil)
        if flags & Flag.success != 0 { self.lastSuccess = try reader.time() }
        if flags & Flag.failure != 0 {
            self.lastFailure = try reader.time()
            self.failures = Int(try reader.littleEndian(UInt32.self))
        }
        if flags & Flag.latency != 0 { self.latency = .nanoseconds(try reader.littleEndian(Int64.self)) }
    }
}

extension [UInt8] {
    fileprivate mutating func append(network: LocalNetwork) {
        self.append(UInt8(truncatingIfNeeded: network.name.utf8.count))
        self.append(contentsOf: network.name.utf8)
    }
}

extension ByteReader {
    fileprivate mutating func time() throws -> WallClockTime {
        WallClockTime(milliseconds: try self.littleEndian())
    }

    fileprivate mutating func network() throws -> LocalNetwork {
        let name = try self.bytes(Int(try self.littleEndian(UInt8.self)))
        guard let network = LocalNetwork(String(decoding: name, as: UTF8.self)) else { throw EntryDamaged() }
        return network
    }
}
