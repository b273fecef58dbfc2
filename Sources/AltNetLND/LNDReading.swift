// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetKeys
internal import AltNetLightning
internal import AltNetLightningAttachment

/// LND's answers as values: what is wrong in them is refused here, by name.
enum LNDReading {
    /// Peers that are taken from a listing. A node has a descriptor for each; those of LND that have more are unknown.
    static let maximumPeers = 4096
    /// Channels with one peer that are taken from a listing; one is enough to prove a relationship.
    static let maximumChannelsPerPeer = 256
    /// The highest feature bit that is taken. A peer chooses what it announces, so higher ones are left out instead of
    /// refused; BOLT 9 assigns none of them, and each bit costs memory for all below it.
    static let maximumFeatureBit: UInt32 = 4_095

    /// An identity in hexadecimal digits.
    static func node(_ text: String) throws(LNDFailure) -> NodeID {
        guard let id = NodeID(hex: text) else {
            throw .nonsense("the node identity “\(UntrustedText(text))” is no public key")
        }
        return id
    }

    /// The chain as LND calls it.
    static func network(_ info: Lnrpc_GetInfoResponse) throws(LNDFailure) -> Network {
        let name = info.chains.first?.network ?? ""
        guard info.chains.count == 1, let network = Network(name: name) else {
            throw .nonsense("it works on the chain “\(UntrustedText(name))”, which AltNet does not know")
        }
        return network
    }

    /// The set of the announced bits.
    static func features(_ bits: [UInt32: Lnrpc_Feature]) -> LightningFeatures {
        LightningFeatures(bits.keys.filter { $0 <= Self.maximumFeatureBit }.map { UInt16($0) })
    }

    /// The connected peers with their channels, in the order of the listing.
    static func peers(
        _ listed: Lnrpc_ListPeersResponse, _ channels: Lnrpc_ListChannelsResponse
    ) throws(LNDFailure) -> [AttachedPeer] {
        guard listed.peers.count <= Self.maximumPeers else {
            throw .nonsense("it has \(listed.peers.count) peers; at most \(Self.maximumPeers) can be attached to")
        }
        var identities: [String: [[UInt8]]] = [:]
        for channel in channels.channels {
            let identity = try Self.channelID(channel.channelPoint)
            identities[channel.remotePubkey, default: []].append(identity)
        }
        var peers: [AttachedPeer] = []
        var seen: Set<NodeID> = []
        for peer in listed.peers {
            let id = try Self.node(peer.pubKey)
            // LND lists a peer twice for a moment when a new connection replaces the old one.
            guard seen.insert(id).inserted else { continue }
            let channels = (identities[peer.pubKey] ?? []).sorted { $0.lexicographicallyPrecedes($1) }
            peers.append(
                AttachedPeer(
                    id: id, features: Self.features(peer.features),
                    channels: Array(channels.prefix(Self.maximumChannelsPerPeer))))
        }
        return peers
    }

    /// BOLT 2's `channel_id`: the funding transaction's identity in the order of bytes on the wire, the last two bytes
    /// combined by XOR with the output's index. LND's text has the identity reversed, as people write it.
    static func channelID(_ channelPoint: String) throws(LNDFailure) -> [UInt8] {
        let parts = channelPoint.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let reversed = Hex.decode(parts[0]), reversed.count == 32,
            let index = UInt16(parts[1])
        else { throw .nonsense("“\(UntrustedText(channelPoint))” names no funding output") }
        var identity = Array(reversed.reversed())
        identity[30] ^= UInt8(index >> 8)
        identity[31] ^= UInt8(index & 0xff)
        return identity
    }

    /// A message of a peer with its type in front, as it was on the wire.
    static func message(_ message: Lnrpc_CustomMessage) throws(LNDFailure) -> (from: NodeID, bytes: [UInt8]) {
        guard let peer = NodeID(bytes: message.peer) else { throw .nonsense("a message comes from no public key") }
        guard let type = UInt16(exactly: message.type) else {
            throw .nonsense("there is no message type \(message.type)")
        }
        guard message.data.count <= LNDNode.maximumMessageSize - 2 else {
            throw .nonsense("a message has \(message.data.count) bytes, more than Lightning allows")
        }
        return (peer, [UInt8(type >> 8), UInt8(type & 0xff)] + message.data)
    }
}
