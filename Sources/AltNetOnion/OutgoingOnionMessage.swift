// SPDX-License-Identifier: MIT

public import AltNetKeys

/// An onion message that is about to be sent: whom to, with which path key, and what each node is to find.
///
/// A sender with connections of its own takes ``packet(sessionKey:)``. Core Lightning's `injectonionmessage` builds the
/// onion itself, from the hops.
public struct OutgoingOnionMessage: Hashable, Sendable {
    /// The peer that the message is sent to.
    public let firstNode: NodeID
    /// The path key that goes with it.
    public let pathKey: NodeID
    /// The blinded identities, first one first, and for each its complete `onionmsg_tlv`.
    public let hops: [OnionHop]

    /// A message along `path`, and from there along `tail` if there is one.
    ///
    /// Without a tail, the last node of `path` is the recipient. With one, `path` leads to the node before
    /// ``BlindedPath/firstNode`` and is empty when that node is a peer of ours, and the recipient is the end of the
    /// tail. `payload` is for the recipient. Its `encryptedRecipientData` is set here, and whatever it held is lost.
    /// The caller MUST use a fresh, random `pathSecret` for each message.
    public init(
        path: [NodeID], tail: BlindedPath? = nil, payload: OnionMessagePayload, pathSecret: NodePrivateKey
    ) throws(OnionError) {
        var hops: [BlindedPath.Hop] = []
        var start = tail.map { (node: $0.firstNode, key: $0.firstPathKey) }
        if !path.isEmpty {
            // Each node's data name the next; the last one's lead into the tail, or are empty.
            var data = path.dropFirst().map { EncryptedRecipientData(nextNode: $0) }
            data.append(EncryptedRecipientData(nextNode: start?.node, nextPathKeyOverride: start?.key))
            let blinded = try BlindedPath(
                zip(path, data).map { (node: $0, data: $1.encoded) }, sessionKey: pathSecret)
            hops = blinded.hops
            start = (blinded.firstNode, blinded.firstPathKey)
        }
        hops += tail?.hops ?? []
        guard let start, let last = hops.last else { throw .emptyPath }
        self.firstNode = start.node
        self.pathKey = start.key
        var final = payload
        final.encryptedRecipientData = last.encryptedRecipientData
        self.hops =
            hops.dropLast().map { hop in
                let payload = OnionMessagePayload(encryptedRecipientData: hop.encryptedRecipientData)
                return OnionHop(hop.blindedNode, payload.encoded)
            } + [OnionHop(last.blindedNode, final.encoded)]
    }

    /// The bytes of `hop_payloads` that the message needs.
    public var size: Int { self.hops.reduce(0) { $0 + OnionPacket.size(ofPayload: $1.payload.count) } }

    /// The onion: of 1,366 bytes when the message fits, else of 32,834 (BOLT 4 knows no other sizes). The caller MUST
    /// use a fresh, random session key.
    public func packet(sessionKey: NodePrivateKey) throws(OnionError) -> OnionPacket {
        let fits = self.size <= OnionPacket.standardPayloadsSize
        let size = fits ? OnionPacket.standardPayloadsSize : OnionPacket.largePayloadsSize
        return try OnionPacket.build(self.hops, sessionKey: sessionKey, hopPayloadsSize: size).packet
    }
}
