// SPDX-License-Identifier: MIT

public import AltNetPeerRecords

/// What a driver asks about peers.
public enum PeerQuestion: Hashable, Sendable {
    /// All that is known of them.
    case known([PeerID])
    /// What may be told about them to somebody on that network; `nil`: somebody on the open network.
    case handout([PeerID], to: LocalNetwork?)
    /// All that is known of their Bitcoin and Lightning nodes.
    case nodes([PeerID])

    /// Whom it is about.
    public var peers: [PeerID] {
        switch self {
        case .known(let peers), .handout(let peers, to: _), .nodes(let peers): peers
        }
    }
}

/// What a driver is answered.
public enum PeerAnswer: Hashable, Sendable {
    /// Without their nodes.
    case known([KnownPeer])
    /// Their nodes alone.
    case nodes([KnownPeer])
    case handouts([PeerHandout])
    /// Why there is no answer.
    case failed(String)
}

/// Bounds of what drivers tell and ask about peers.
public enum PeerMessageRules {
    /// The most items in one message of news: what one answer of a DHT, or one identify message, brings.
    public static let maximumNews = 100
    /// The most peers in one question: a few answers of a DHT.
    public static let maximumPeers = 100
    /// The most addresses of one peer in an answer that count everywhere, the best ones: nobody dials more. As many again
    /// count on one network only: whoever asks knows on which it is, and those of others must not take the place. With
    /// full records and the longest addresses, an answer stays below the longest message.
    public static let maximumAddresses = 32
    /// The most messages of news, and the most questions, without an answer: as many as requests over one link.
    public static let maximumOpen = DriverProtocol.maximumOpenRequests
    /// The longest time for which addresses may be said to hold.
    static let maximumLifetime: UInt64 = 366 * 86_400
    /// What a driver may name as the source of news. The operator's word does not come through drivers, and what a record
    /// certifies is found by verifying it.
    static let sources: AddressSources = [.identify, .dht, .addrv2, .bolt7, .altAddr, .holePunch, .link]
}
