// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetDialing
public import AltNetLibp2p
public import AltNetPeerRecords
public import AltNetTransport

/// Signs records of our own addresses.
///
/// A sequence number MUST never be issued twice, nor one below an earlier one, also after a crash or a clock that was set
/// back; so whoever keeps the numbers on a disk implements this.
public protocol RecordIssuer: Sendable {
    func issue(_ addresses: [Multiaddress]) async throws -> CertifiedPeerRecord
}

/// How a ``Libp2pHost`` behaves.
public struct HostConfiguration: Sendable {
    /// Connections of one host, those in their handshake included. A node of a DHT needs some dozens; each costs some
    /// ten kilobytes, and its streams up to ``YamuxLimits/unreadBytes``.
    public var maximumConnections = 256
    /// Of these, connections that others made: the rest is kept for our own calls.
    public var maximumInbound = 192
    /// Connections with one peer: one that each side made at the same moment, and one of each to replace them.
    public var maximumPerPeer = 4
    /// Inbound connections from one network group, so that one operator cannot take all. Loopback has no such limit,
    /// unless ``inboundLoopbackIsForeign``.
    public var maximumInboundPerGroup = 16
    /// Whether who connects from loopback may be anybody: an onion service, `ssh -R` and proxies of containers forward
    /// strangers so. Then all of them together are one network group, and are told what strangers are told.
    ///
    /// By default when an address of an overlay is announced, or there is a proxy.
    public var inboundLoopbackIsForeign: Bool?
    /// How long a peer may leave a stream of pings open without one: an open stream keeps a connection from being idle.
    public var pingIdleTimeout: Duration = .seconds(300)
    /// Streams, windows, time-outs of one connection.
    public var limits = Libp2pLimits()
    /// A remote that takes no bytes for so long while some wait for it is given up.
    public var writeTimeout: Duration = .seconds(60)
    /// How long an identify may take.
    public var identifyTimeout: Duration = .seconds(15)
    /// How long addresses from identify are kept; go-libp2p keeps them as long.
    public var identifyLifetime: Duration = .seconds(3_600)
    /// A SOCKS5 proxy that everything goes through. Without one, onion services cannot be reached; with one, there is no
    /// way around it.
    public var proxy: HostAndPort?
    /// Which addresses are dialled, and in which order, where the caller does not say.
    public var dialPolicy = DialPolicy.standard
    /// Attempts at once, and time-outs of dialling.
    public var dialing = Dialing.Settings()
    /// What identify calls the network of protocols.
    public var protocolVersion = "ipfs/0.1.0"
    /// What identify calls the program.
    public var agentVersion = "altnet"
    /// How often is looked whether what peers said about our address still counts, and whether this machine has moved.
    public var observationInterval: Duration = .seconds(60)
    /// Addresses under which we can be reached beside those that we listen on: an onion service, a forwarded port.
    public var announced: [Multiaddress] = []
    /// Signs our record; without one, identify carries none.
    public var recordIssuer: (any RecordIssuer)?

    public init() {}

    /// Whether an inbound connection from there may be anybody's.
    func isForwarded(_ address: Multiaddress) -> Bool {
        let isForeign =
            self.inboundLoopbackIsForeign
            ?? (self.proxy != nil || self.announced.contains { $0.reach == .overlay })
        return isForeign && address.reach == .loopback
    }
}

/// What happens to a host's connections.
public enum HostEvent: Sendable {
    case connected(Libp2pLink)
    /// The peer said who it is: protocols, addresses, program.
    case identified(Libp2pLink, IdentifyMessage)
    case disconnected(Libp2pLink, LinkFailure)
}
