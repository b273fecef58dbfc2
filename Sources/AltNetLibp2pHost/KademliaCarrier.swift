// SPDX-License-Identifier: MIT

public import AltNetKademlia
public import AltNetPeerRecords

/// A peer at the other end of an authenticated connection, and where that connection leads.
public struct KademliaContact: Hashable, Sendable {
    public let peer: PeerID
    /// The network group of its address; `nil` in local networks.
    public let group: String?
    /// The local network that both are on; `nil` on the open network.
    public let network: LocalNetwork?

    public init(peer: PeerID, group: String?, network: LocalNetwork?) {
        self.peer = peer
        self.group = group
        self.network = network
    }

    /// - Parameter address: where the connection leads, or comes from.
    public init(peer: PeerID, address: Multiaddress, network: LocalNetwork?) {
        self.init(peer: peer, group: address.isAmbiguous ? nil : address.networkGroup, network: network)
    }

    /// From where in the network comes what the peer tells.
    var origin: NewsOrigin { NewsOrigin(networkGroup: self.group ?? "local") }
}

/// How a DHT reaches other nodes: a host's streams, or something simpler in tests.
public protocol KademliaCarrier: Sendable {
    /// Makes a message of what may be told about this node to the peer that is about to get it.
    typealias Composer = @Sendable (_ own: KademliaMessage.Peer) throws -> KademliaMessage

    /// Sends a request, over a new connection if there is none, and waits for the answer. Ends when it is cancelled.
    func ask(_ peer: PeerID, _ compose: @escaping Composer) async throws -> (KademliaMessage, KademliaContact)
    /// Sends a message that nobody answers.
    func tell(_ peer: PeerID, _ compose: @escaping Composer) async throws
    /// What this node tells about itself to somebody on that network (nil: on the open network).
    func own(to network: LocalNetwork?) -> KademliaMessage.Peer
    /// The peer store has taken news, perhaps about peers that are being dialled.
    func learned(_ news: [PeerNews]) async
}

/// Why a DHT did not do what was asked of it.
public enum KademliaError: Error, Hashable, Sendable, CustomStringConvertible {
    case message(KademliaMessageError)
    /// The stream ended before the answer.
    case noAnswer
    case timeout(Duration)
    case value(KademliaValueError)
    /// Nobody took what was put, of so many asked.
    case nobodyTook(Int)
    case noRecord
    case providerKey(Int)
    case tooManyProvided
    case tooManySearches

    public var description: String {
        switch self {
        case .message(let error): error.description
        case .noAnswer: "the peer ended the stream without an answer"
        case .timeout(let duration): "the peer did not answer within \(duration)"
        case .value(let error): error.description
        case .nobodyTook(let count):
            count == 0
                ? "the DHT has no node that could be reached; give a --bootstrap address"
                : "none of \(count) nodes of the DHT took it"
        case .noRecord: "this node has no record of itself to publish"
        case .providerKey(let size):
            "a key of \(size) bytes cannot be provided: 1 to \(KademliaServer.maximumProviderKey) are possible"
        case .tooManyProvided: "this node provides \(KademliaService.maximumProvided) keys already"
        case .tooManySearches: "\(KademliaService.maximumSearches) searches are under way"
        }
    }
}
