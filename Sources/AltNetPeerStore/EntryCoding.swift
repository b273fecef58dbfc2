// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetPeerRecords

/// What stands in the file is not what this program writes.
struct EntryDamaged: Error {
    /// Whose row it is, where that can be read.
    var peer: PeerID?
}

/// The form in which an entry stands in a row of the database. Small, because a store of a million addresses is read
/// from the disk: numbers are varints, and times are told by their distance to the one before.
///
/// A checksum stands in front, since nothing in it is verified again when it is read.
extension PeerEntry {
    /// Of a row with the peer's own addresses alone.
    private static let version: UInt8 = 1
    /// Of a row in which those of its nodes follow.
    private static let nodeVersion: UInt8 = 2
    private static let headSize = 8

    /// The row's bytes.
    var encoded: [UInt8] {
        var writer = EntryWriter()
        writer.bytes.reserveCapacity(64 + self.peer.sizeHint + self.node.sizeHint)
        writer.bytes.appendLittleEndian(UInt32(0))
        writer.bytes.append(self.node.isEmpty ? Self.version : Self.nodeVersion)
        writer.bytes.append(self.peer.flags)
        writer.bytes.appendLittleEndian(self.teller)
        self.peer.write(to: &writer)
        if !self.node.isEmpty {
            writer.bytes.append(self.node.flags)
            self.node.write(to: &writer)
        }
        let checksum = Self.checksum(writer.bytes.dropFirst(4))
        for index in 0..<4 { writer.bytes[index] = UInt8(truncatingIfNeeded: checksum >> (8 * UInt32(index))) }
        return writer.bytes
    }

    init(encoded bytes: [UInt8]) throws(EntryDamaged) {
        guard bytes.count > Self.headSize, bytes[4] == Self.version || bytes[4] == Self.nodeVersion else {
            throw EntryDamaged()
        }
        let checksum = Self.checksum(bytes.dropFirst(4))
        for index in 0..<4 where bytes[index] != UInt8(truncatingIfNeeded: checksum >> (8 * UInt32(index))) {
            throw EntryDamaged()
        }
        self.init(teller: UInt16(bytes[6]) | UInt16(bytes[7]) << 8)
        var reader = EntryReader(bytes, from: Self.headSize)
        self.peer = try AddressShelf(bytes[5], from: &reader, isNode: false)
        if bytes[4] == Self.nodeVersion {
            self.node = try AddressShelf(try reader.byte(), from: &reader, isNode: true)
        }
        guard reader.isAtEnd else { throw EntryDamaged() }
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

extension AddressShelf {
    private enum Flag {
        static let sequence: UInt8 = 1
        static let record: UInt8 = 2
        static let boundRecord: UInt8 = 4
        static let homelessRecord: UInt8 = 8
        static let leftOut: UInt8 = 16
    }

    fileprivate var sizeHint: Int { (self.record?.envelope.count ?? 0) + 48 * self.addresses.count }

    fileprivate var flags: UInt8 {
        var flags: UInt8 = self.sequence == nil ? 0 : Flag.sequence
        guard let record = self.record else { return flags }
        flags |= Flag.record
        switch record.reach {
        case .anywhere: break
        case .on: flags |= Flag.boundRecord
        case .nowhere: flags |= Flag.homelessRecord
        }
        if record.leftOutUntil != nil { flags |= Flag.leftOut }
        return flags
    }

    fileprivate func write(to writer: inout EntryWriter) {
        if let sequence = self.sequence {
            writer.number(sequence)
            writer.time(self.sequenceUntil)
        }
        if let record = self.record {
            writer.blob(record.envelope)
            if case .on(let network) = record.reach { writer.blob(Array(network.name.utf8)) }
            if let leftOutUntil = record.leftOutUntil { writer.time(leftOutUntil) }
        }
        writer.number(UInt64(self.addresses.count))
        for address in self.addresses { address.write(to: &writer) }
    }

    fileprivate init(_ flags: UInt8, from reader: inout EntryReader, isNode: Bool) throws(EntryDamaged) {
        self.init()
        if flags & Flag.sequence != 0 {
            self.sequence = try reader.number()
            self.sequenceUntil = try reader.time()
        }
        if flags & Flag.record != 0 {
            let envelope = try reader.blob()
            let reach: RecordReach =
                if flags & Flag.boundRecord != 0 {
                    .on(try reader.network())
                } else {
                    flags & Flag.homelessRecord != 0 ? .nowhere : .anywhere
                }
            self.record = StoredRecord(
                envelope: envelope, reach: reach,
                leftOutUntil: flags & Flag.leftOut == 0 ? nil : try reader.time())
        }
        let count = try reader.number()
        guard count <= PeerRules.maximumAddresses else { throw EntryDamaged() }
        self.addresses.reserveCapacity(Int(count))
        for _ in 0..<count { self.addresses.append(try AddressEntry(from: &reader, isNode: isNode)) }
    }
}

extension AddressEntry {
    private enum Flag {
        static let network: UInt8 = 1
        static let success: UInt8 = 2
        static let failure: UInt8 = 4
        static let latency: UInt8 = 8
        static let certified: UInt8 = 16
        /// Among the addresses of nodes: of the Bitcoin node, not of the Lightning node.
        static let bitcoin: UInt8 = 32
    }

    fileprivate func write(to writer: inout EntryWriter) {
        var flags: UInt8 = 0
        if self.network != nil { flags |= Flag.network }
        if self.lastSuccess != nil { flags |= Flag.success }
        if self.lastFailure != nil { flags |= Flag.failure }
        if self.latency != nil { flags |= Flag.latency }
        if self.certifiedUntil != nil { flags |= Flag.certified }
        if self.use == .bitcoin { flags |= Flag.bitcoin }
        writer.bytes.append(flags)
        writer.blob(self.address.bytes)
        writer.number(UInt64(self.sources.rawValue))
        writer.number(UInt64(self.teller))
        writer.time(self.firstSeen)
        writer.time(self.lastSeen)
        writer.time(self.heardUntil)
        if let certifiedUntil = self.certifiedUntil { writer.time(certifiedUntil) }
        if let network = self.network { writer.blob(Array(network.name.utf8)) }
        if let lastSuccess = self.lastSuccess { writer.time(lastSuccess) }
        if let lastFailure = self.lastFailure { writer.time(lastFailure) }
        if self.lastFailure != nil { writer.number(UInt64(self.failures)) }
        if let latency = self.latency { writer.number(UInt64(max(0, latency.wholeNanoseconds))) }
    }

    fileprivate init(from reader: inout EntryReader, isNode: Bool) throws(EntryDamaged) {
        let flags = try reader.byte()
        let address = Multiaddress(checkedBefore: try reader.blob())
        guard let sources = UInt32(exactly: try reader.number()), let teller = UInt16(exactly: try reader.number())
        else { throw EntryDamaged() }
        let (firstSeen, lastSeen, heardUntil) = (try reader.time(), try reader.time(), try reader.time())
        let certifiedUntil = flags & Flag.certified == 0 ? nil : try reader.time()
        self.init(
            address: address, use: !isNode ? .libp2p : flags & Flag.bitcoin == 0 ? .lightning : .bitcoin,
            network: flags & Flag.network == 0 ? nil : try reader.network(), teller: teller, firstSeen: firstSeen,
            sources: AddressSources(rawValue: sources), lastSeen: lastSeen,
            certifiedUntil: certifiedUntil, heardUntil: heardUntil)
        if flags & Flag.success != 0 { self.lastSuccess = try reader.time() }
        if flags & Flag.failure != 0 {
            self.lastFailure = try reader.time()
            self.failures = Int(truncatingIfNeeded: try reader.number())
        }
        if flags & Flag.latency != 0 { self.latency = .nanoseconds(Int64(truncatingIfNeeded: try reader.number())) }
    }
}

/// Appends what ``EntryReader`` reads.
private struct EntryWriter {
    var bytes: [UInt8] = []
    /// The time before, in milliseconds.
    private var last: Int64 = 0

    mutating func number(_ value: UInt64) { UnsignedVarint.append(value, to: &self.bytes) }

    mutating func blob(_ blob: [UInt8]) {
        self.number(UInt64(blob.count))
        self.bytes.append(contentsOf: blob)
    }

    /// Wraps around instead of overflowing; so does the reader.
    mutating func time(_ time: WallClockTime) {
        let distance = time.milliseconds &- self.last
        self.last = time.milliseconds
        // Small numbers in either direction are short.
        self.number(UInt64(bitPattern: (distance << 1) ^ (distance >> 63)))
    }
}

/// Reads from front to back, never beyond the end. Without the slices of `ByteReader`, which cost more than what is
/// read here.
private struct EntryReader {
    private let bytes: [UInt8]
    private var offset: Int
    private var last: Int64 = 0

    init(_ bytes: [UInt8], from offset: Int) {
        self.bytes = bytes
        self.offset = offset
    }

    var isAtEnd: Bool { self.offset == self.bytes.count }

    mutating func byte() throws(EntryDamaged) -> UInt8 {
        guard self.offset < self.bytes.count else { throw EntryDamaged() }
        defer { self.offset += 1 }
        return self.bytes[self.offset]
    }

    mutating func number() throws(EntryDamaged) -> UInt64 {
        var (value, shift): (UInt64, UInt64) = (0, 0)
        while true {
            let byte = try self.byte()
            value |= UInt64(byte & 0x7f) << shift
            guard byte >= 0x80 else { return value }
            shift += 7
            guard shift < 64 else { throw EntryDamaged() }
        }
    }

    mutating func blob() throws(EntryDamaged) -> [UInt8] {
        let count = try self.number()
        guard count <= UInt64(self.bytes.count - self.offset) else { throw EntryDamaged() }
        defer { self.offset += Int(count) }
        return Array(self.bytes[self.offset..<self.offset + Int(count)])
    }

    mutating func time() throws(EntryDamaged) -> WallClockTime {
        let number = try self.number()
        let distance = Int64(bitPattern: number >> 1) ^ -Int64(bitPattern: number & 1)
        self.last = self.last &+ distance
        return WallClockTime(milliseconds: self.last)
    }

    mutating func network() throws(EntryDamaged) -> LocalNetwork {
        guard let network = LocalNetwork(String(decoding: try self.blob(), as: UTF8.self)) else {
            throw EntryDamaged()
        }
        return network
    }
}
