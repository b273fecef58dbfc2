// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetBitcoinSession
internal import AltNetDriverProtocol
internal import AltNetHolePunch
internal import AltNetObjects
internal import AltNetStreamDriver
internal import Glibc
internal import Synchronization

/// Makes the sessions of punched connections.
final class PunchedSessions: Sendable {
    private struct State {
        var height: UInt32 = 0
        /// The random numbers of our open connections that show our address, to recognise ourselves by.
        var nonces: Set<UInt64> = []
    }

    private let network: Network
    /// What every AltNet of this version shows.
    private let userAgent: String
    private let use: PunchSettings.Use
    private let serves: Set<ObjectKind>
    private let state = Mutex(State())

    /// - Parameter serves: what may be asked over links that show our address.
    init(network: Network, userAgent: String, use: PunchSettings.Use, serves: Set<ObjectKind>) {
        self.serves = serves
        self.network = network
        self.userAgent = userAgent
        self.use = use
    }

    func heightChanged(to height: UInt32) {
        self.state.withLock { $0.height = height }
    }

    func ended(_ session: PunchedSession) {
        guard let nonce = session.bitcoin?.configuration.nonce else { return }
        self.state.withLock { _ = $0.nonces.remove(nonce) }
    }

    /// The link of a connection that has proved itself. The initiator chose the responder: for it the connection is an
    /// outbound one.
    ///
    /// - Parameter isRequested: whether an operation made it, which says so in the link's description.
    func link(
        _ connection: PunchedConnection, _ dialer: LinkDialer, isRequested: Bool = false
    ) -> DialedLink<PunchedSession> {
        let (role, isRelayed) = (connection.role, connection.path == .relayed)
        let session =
            switch self.use {
            case .links: PunchedSession(self.bitcoin(role, isRelayed: isRelayed))
            case .node: PunchedSession(RawStream(role == .initiator ? .theirs : .ours))
            }
        connection.held.attach(dialer.onEvent)
        let exposure: DriverCapabilities.Exposure? =
            isRelayed ? (role == .initiator ? DriverCapabilities.Exposure.none : .pseudonym) : nil
        return DialedLink(
            connection.held.connection, session, exposure: exposure, remote: connection.remote,
            requested: isRequested ? connection.endpoint.description : nil)
    }

    func bitcoin(_ role: PunchRole, isRelayed: Bool) -> BitcoinPeerSession {
        let nonce = UInt64.random(in: 1...UInt64.max)
        let (height, nonces) = self.state.withLock { state in
            // Over a coordination endpoint nobody may find out that two ends are ours, not even by our hanging up.
            guard !isRelayed else { return (UInt32(0), Set<UInt64>()) }
            defer { state.nonces.insert(nonce) }
            return (state.height, state.nonces)
        }
        // What our clock says could be compared with what the node's clock says elsewhere.
        let now = isRelayed ? 0 : Int64(time(nil))
        return BitcoinPeerSession(
            configuration: BitcoinPeerSession.Configuration(
                network: self.network, direction: role == .initiator ? .outbound : .inbound, nonce: nonce,
                wallClock: WallClockTime(seconds: now), seed: UInt64.random(in: 0...UInt64.max),
                userAgent: self.userAgent,
                services: !isRelayed && self.serves.contains(.blocks) ? BitcoinPeerLimits.blockServices : 0,
                ownNonces: nonces, startHeight: height,
                // A record that was told over an endpoint and heard elsewhere would tie the two together.
                serves: isRelayed ? [.headers] : self.serves))
    }
}
