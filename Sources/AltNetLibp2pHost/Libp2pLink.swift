// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetLibp2p
public import AltNetPeerRecords
internal import AltNetTransport
internal import Synchronization

/// Why a connection was not made, or has ended.
public enum LinkFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// The protocol, or one of its ends, said so.
    case connection(Libp2pFailure)
    /// The socket, or the way there.
    case network(String)
    /// The other side does not read, and much waits for it.
    case takesNothing
    /// One of the host's limits, in words.
    case limit(String)
    /// The other side is this host itself.
    case ourselves
    /// The address cannot be dialled by this host: what is missing, in words.
    case undialable(String)

    /// Whether the peer could not be reached at the address, as far as one can tell from here; our own limits say nothing
    /// about it.
    var isOfAddress: Bool {
        switch self {
        case .connection(.requested), .limit, .undialable: false
        case .connection, .network, .takesNothing, .ourselves: true
        }
    }

    public var description: String {
        switch self {
        case .connection(let failure): failure.description
        case .network(let reason): reason
        case .takesNothing: "the other side takes nothing while more and more waits for it"
        case .limit(let limit): limit
        case .ourselves: "the other side is this node itself"
        case .undialable(let reason): reason
        }
    }
}

/// A connection to a peer that has proved who it is.
public final class Libp2pLink: Sendable {
    public let peer: PeerID
    public let key: PeerPublicKey
    /// Whether the peer called us.
    public let isInbound: Bool
    /// Where the peer is: the address that was dialled, or where an inbound connection comes from.
    public let address: Multiaddress
    /// Which network the peer is on with us; `nil` on the open network.
    public var network: LocalNetwork? { self.place.network }
    /// Which network group the peer is in; what a name leads to counts, and not the name.
    public var networkGroup: String { self.place.networkGroup }
    let place: LinkPlace
    let core: LinkCore
    private struct Seen {
        var identify: IdentifyMessage?
        var pushes: TokenBucket
        var pingStreams = 0
    }

    /// Identify pushes that are taken: at once, and a second. Addresses change seldom.
    static let pushes = (burst: 16, perSecond: 1)

    private let seen = Mutex(
        Seen(pushes: TokenBucket(burst: Libp2pLink.pushes.burst, perSecond: Libp2pLink.pushes.perSecond, now: .now)))

    init(
        core: LinkCore, peer: PeerID, key: PeerPublicKey, isInbound: Bool, address: Multiaddress, place: LinkPlace
    ) {
        self.core = core
        self.peer = peer
        self.key = key
        self.isInbound = isInbound
        self.address = address
        self.place = place
    }

    /// What the peer said of itself last; `nil` before it has.
    public var identify: IdentifyMessage? { self.seen.withLock { $0.identify } }

    func learn(_ message: IdentifyMessage) {
        self.seen.withLock { $0.identify = message }
    }

    /// Whether one more identify push is in order.
    func takePush() -> Bool {
        self.seen.withLock { $0.pushes.take(now: .now) }
    }

    /// Whether one more stream of pings is in order; give it back with ``releasePingStream()``.
    func takePingStream() -> Bool {
        self.seen.withLock { seen in
            guard seen.pingStreams < PingProtocol.maximumStreams else { return false }
            seen.pingStreams += 1
            return true
        }
    }

    func releasePingStream() {
        self.seen.withLock { $0.pingStreams -= 1 }
    }

    /// Whether the connection has not ended, and the other side has not said that it goes.
    public var isOpen: Bool { self.core.locked { $0.failure == nil && !$0.machine.isLeaving } }

    /// Opens a stream for the first of these protocols that the peer speaks. Throws ``StreamRefusal`` or ``StreamReset``.
    public func openStream(protocols: [String]) async throws -> Libp2pStream {
        let (id, name) = try await self.core.open(protocols: protocols)
        return Libp2pStream(link: self, id: id, protocolName: name)
    }

    /// Ends the connection in good order.
    public func close() {
        self.core.close()
    }
}
