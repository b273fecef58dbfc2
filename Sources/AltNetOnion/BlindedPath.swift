// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetKeys

/// A route to a node that hides who that node is, and all on the way but the first (BOLT 4, "Route Blinding"), in its
/// form on the wire. Onion messages carry one as `reply_path`.
public struct BlindedPath: Hashable, Sendable {
    /// One node of the path, as whoever uses the path sees it.
    public struct Hop: Hashable, Sendable {
        /// The identity that onions for this node are encrypted to.
        public let blindedNode: NodeID
        /// What the maker of the path tells this node; nobody else can read it.
        public let encryptedRecipientData: [UInt8]

        public init(blindedNode: NodeID, encryptedRecipientData: [UInt8]) {
            self.blindedNode = blindedNode
            self.encryptedRecipientData = encryptedRecipientData
        }
    }

    /// The most nodes of a path: their number is one byte.
    public static let maximumHops = 255
    /// The most bytes of data for one node, encrypted: their number is two bytes.
    public static let maximumData = 65_535

    /// The node where the path begins, with its real identity.
    public let firstNode: NodeID
    /// The path key for that node.
    public let firstPathKey: NodeID
    /// The nodes, first one first; never empty.
    public let hops: [Hop]

    /// Makes a path over real nodes, each with the plain `encrypted_data_tlv` that it is to find. The caller MUST use a
    /// fresh, random session key for each path.
    public init(_ hops: [(node: NodeID, data: [UInt8])], sessionKey: NodePrivateKey) throws(OnionError) {
        guard let first = hops.first else { throw .emptyPath }
        guard hops.count <= Self.maximumHops else { throw .tooManyHops(hops.count, limit: Self.maximumHops) }
        self.firstNode = first.node
        self.firstPathKey = sessionKey.publicKey
        var pathKey = sessionKey
        var blinded: [Hop] = []
        var previous: OnionSecret?
        for hop in hops {
            if let previous {
                let factor = previous.blindingFactor(of: pathKey.publicKey.bytes)
                // Not below the curve's order: for one hash in 2^128.
                guard let next = pathKey.multiplied(by: factor) else { throw .badKey }
                pathKey = next
            }
            let size = hop.data.count + RouteBlinding.overhead
            guard size <= Self.maximumData else { throw .tooLong(bytes: size, limit: Self.maximumData) }
            guard let shared = pathKey.sharedSecret(with: hop.node) else { throw .badKey }
            let secret = OnionSecret(shared)
            guard let identity = RouteBlinding.blindedNode(hop.node, secret: secret) else { throw .badKey }
            blinded.append(
                Hop(blindedNode: identity, encryptedRecipientData: RouteBlinding.seal(hop.data, secret: secret)))
            previous = secret
        }
        self.hops = blinded
    }

    private init(firstNode: NodeID, firstPathKey: NodeID, hops: [Hop]) {
        self.firstNode = firstNode
        self.firstPathKey = firstPathKey
        self.hops = hops
    }

    /// What is left of the path when `key` is the first node's: for whoever is to use a path that begins at itself.
    /// `nil` when the path also ends there.
    public func afterFirstNode(key: NodePrivateKey) throws(OnionError) -> BlindedPath? {
        guard let first = self.hops.first else { throw .emptyPath }
        let (bytes, nextPathKey) = try RouteBlinding.unblind(
            first.encryptedRecipientData, key: key, pathKey: self.firstPathKey)
        guard self.hops.count > 1 else { return nil }
        let data = try EncryptedRecipientData(decoding: bytes)
        guard let next = data.nextNode else { throw .badPayload(EncryptedRecipientData.noNextNode) }
        return BlindedPath(
            firstNode: next, firstPathKey: data.nextPathKeyOverride ?? nextPathKey, hops: Array(self.hops.dropFirst()))
    }

    /// Reads a `blinded_path`, and nothing after it. A path whose first node is named by a channel (`sciddir`, 9 bytes)
    /// is refused, because who has that channel stands in gossip, which is not kept here.
    public init(decoding bytes: some Collection<UInt8>) throws(OnionError) {
        guard bytes.first.map({ $0 > 1 }) ?? true else { throw .badPayload(Self.namedByChannel) }
        var reader = ByteReader(Array(bytes))
        self.firstNode = try Self.point(&reader)
        self.firstPathKey = try Self.point(&reader)
        let count = try Self.field(&reader) { (reader) throws(ByteReaderError) in try reader.bigEndian(UInt8.self) }
        guard count > 0 else { throw .emptyPath }
        var hops: [Hop] = []
        for _ in 0..<count {
            let node = try Self.point(&reader)
            let data = try Self.field(&reader) { (reader) throws(ByteReaderError) in
                Array(try reader.bytes(Int(try reader.bigEndian(UInt16.self))))
            }
            hops.append(Hop(blindedNode: node, encryptedRecipientData: data))
        }
        self.hops = hops
        guard reader.isAtEnd else { throw .badPayload(Self.malformed) }
    }

    private static func field<Value>(
        _ reader: inout ByteReader, _ read: (inout ByteReader) throws(ByteReaderError) -> Value
    ) throws(OnionError) -> Value {
        do throws(ByteReaderError) {
            return try read(&reader)
        } catch {
            throw .badPayload(Self.malformed)
        }
    }

    private static func point(_ reader: inout ByteReader) throws(OnionError) -> NodeID {
        let bytes = try Self.field(&reader) { (reader) throws(ByteReaderError) in try reader.bytes(NodeID.size) }
        guard let node = NodeID(bytes: bytes) else { throw .badKey }
        return node
    }

    private static let malformed = "a blinded path is cut off, or bytes follow it"
    private static let namedByChannel = "a blinded path begins at a channel instead of a node"

    /// The path as it is sent.
    public var bytes: [UInt8] {
        var bytes = self.firstNode.bytes
        bytes.append(contentsOf: self.firstPathKey.bytes)
        bytes.append(UInt8(self.hops.count))
        for hop in self.hops {
            bytes.append(contentsOf: hop.blindedNode.bytes)
            bytes.appendBigEndian(UInt16(hop.encryptedRecipientData.count))
            bytes.append(contentsOf: hop.encryptedRecipientData)
        }
        return bytes
    }
}
