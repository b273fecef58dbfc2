// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin
public import AltNetObjects

/// BOLT 1's `init`: what a node offers, and the chains that it is interested in.
public struct InitMessage: Hashable, Sendable {
    /// The numbers of the records after the features.
    public enum RecordNumber {
        /// BOLT 1's `networks`.
        public static let networks: UInt64 = 1
        /// BOLT 1's `remote_addr`.
        public static let remoteAddress: UInt64 = 3
        /// This project's `served_objects`; above 2^16, where custom records live, and odd, so that others ignore it.
        public static let servedObjects: UInt64 = 444_401
    }

    /// Both feature fields, combined.
    public var features: LightningFeatures
    /// The hashes of the first blocks of the chains that the sender deals with; empty when it does not say.
    public var networks: [BlockHash]
    /// A BOLT 7 address descriptor: where the sender sees us. Unchecked, and `nil` when it does not say.
    public var remoteAddress: [UInt8]?
    /// The kinds of Bitcoin object that the sender serves; `nil` when it does not say. Kinds without a meaning here are
    /// dropped.
    public var servedObjects: Set<ObjectKind>?
    /// Whether the sender takes streams; only together with ``servedObjects``.
    public var takesStreams: Bool

    /// A message of these contents.
    public init(
        features: LightningFeatures,
        networks: [BlockHash] = [],
        remoteAddress: [UInt8]? = nil,
        servedObjects: Set<ObjectKind>? = nil,
        takesStreams: Bool = false
    ) {
        self.features = features
        self.networks = networks
        self.remoteAddress = remoteAddress
        self.servedObjects = servedObjects
        self.takesStreams = takesStreams
    }

    init(features: LightningFeatures, records: ByteReader) throws(LightningMessageError) {
        let type = LightningMessage.TypeNumber.initialization
        let known = [RecordNumber.networks, RecordNumber.remoteAddress, RecordNumber.servedObjects]
        let stream: TLVStream
        do throws(TLVError) {
            var records = records
            stream = try TLVStream(&records, known: Set(known))
        } catch {
            throw .badRecords(type: type, error)
        }
        let chains = stream.values[RecordNumber.networks] ?? []
        guard chains.count.isMultiple(of: 32) else { throw .badRecord(type: type, record: RecordNumber.networks) }
        let networks = stride(from: chains.startIndex, to: chains.endIndex, by: 32).compactMap {
            BlockHash(bytes: chains[$0..<($0 + 32)])
        }
        var served: Set<ObjectKind>?
        var takesStreams = false
        if let bitmap = stream.values[RecordNumber.servedObjects] {
            // One encoding only: the shortest.
            guard bitmap.first != 0 else { throw .badRecord(type: type, record: RecordNumber.servedObjects) }
            let bits = LightningFeatures(bytes: bitmap)
            served = Set(ObjectKind.allCases.filter { bits.contains(UInt16($0.lightningNumber)) })
            takesStreams = bits.contains(BitcoinOverLightning.streamsBit)
        }
        self.init(
            features: features,
            networks: networks,
            remoteAddress: stream.values[RecordNumber.remoteAddress].map(Array.init),
            servedObjects: served,
            takesStreams: takesStreams
        )
    }

    func append(to bytes: inout [UInt8]) {
        // BOLT 1: `globalfeatures` is a relic; everything goes into `features`.
        LightningMessage.appendField([], to: &bytes)
        LightningMessage.appendField(self.features.bytes, to: &bytes)
        var stream = TLVStream()
        stream.set(RecordNumber.networks, to: self.networks.isEmpty ? nil : self.networks.flatMap(\.bytes))
        stream.set(RecordNumber.remoteAddress, to: self.remoteAddress)
        stream.set(
            RecordNumber.servedObjects,
            to: self.servedObjects.map { served in
                var bits = LightningFeatures(served.map { UInt16($0.lightningNumber) })
                if self.takesStreams { bits.insert(BitcoinOverLightning.streamsBit) }
                return bits.bytes
            }
        )
        stream.append(to: &bytes)
    }
}

/// The contents of BOLT 1's `error` and `warning`.
public struct NoticeMessage: Hashable, Sendable {
    /// The channel that the notice is about, 32 bytes; all zero for the connection as a whole.
    public var channelID: [UInt8]
    /// What the sender says is wrong, fit to be printed.
    public var text: UntrustedText

    /// A notice about the connection as a whole.
    public init(_ text: String) {
        self.init(channelID: Array(repeating: 0, count: 32)[...], text: Array(text.utf8)[...])
    }

    init(channelID: ArraySlice<UInt8>, text: ArraySlice<UInt8>) {
        self.channelID = Array(channelID)
        self.text = UntrustedText(text)
    }

    /// Whether the notice is about the connection as a whole, not about one channel.
    public var concernsConnection: Bool { self.channelID.allSatisfy { $0 == 0 } }

    func append(to bytes: inout [UInt8]) {
        bytes.append(contentsOf: self.channelID)
        LightningMessage.appendField(Array(self.text.description.utf8), to: &bytes)
    }
}
