// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetBitcoinSession
internal import AltNetDriverKit
internal import AltNetDriverProtocol
internal import AltNetObjects
internal import AltNetStreamDriver
internal import AltNetTransport
internal import Glibc
internal import Synchronization

/// Bitcoin's P2P protocol over TCP, directly or through a SOCKS5 proxy.
final class BitcoinMedium: StreamMedium {
    typealias Session = BitcoinPeerSession

    private struct State {
        var height: UInt32 = 0
        /// The random numbers of connections that we opened without a proxy, to recognise ourselves by.
        var nonces: [UInt64: Surroundings] = [:]
    }

    /// From where two ends see each other. What was said in one of them is looked for in no other: whoever heard a number
    /// of ours from the one could ask for it in the other, and see us hang up.
    private enum Surroundings {
        case internet
        /// This machine and its local network; what comes from there may be an onion service.
        case local

        init(_ host: String) { self = NetworkGroup.of(host) == "local" ? .local : .internet }
    }

    let capabilities: DriverCapabilities
    let identity = ""
    private let network: Network
    private let userAgent: String
    /// What those may ask us for whom we do not reach through a proxy.
    private let serves: Set<ObjectKind>
    private let state = Mutex(State())

    /// - Parameter servesBlocks: whether blocks are served, from the operator's node.
    init(network: Network, userAgent: String, isProxied: Bool, servesBlocks: Bool = false) {
        self.network = network
        self.userAgent = userAgent
        self.serves = servesBlocks ? [.headers, .blocks, .peerRecords] : [.headers, .peerRecords]
        let records: Set<ObjectKind> = isProxied ? [] : [.peerRecords]
        self.capabilities = DriverCapabilities(
            requests: records.union([.headers, .blocks, .addresses]), serves: isProxied ? [.headers] : self.serves,
            announces: records.union([.tips, .addresses]),
            direction: .both, latency: isProxied ? .seconds : .milliseconds, bandwidth: .megabytes, cost: .free,
            exposure: isProxied ? .none : .clearnetAddress, offers: true)
    }

    func parse(_ target: String) throws(DriverSetupError) -> HostAndPort {
        guard let remote = HostAndPort(target, defaultPort: self.network.defaultPort) else {
            throw DriverSetupError("\(UntrustedText(target)) is not of the form host:port")
        }
        return remote
    }

    func dial(_ target: HostAndPort, _ dialer: LinkDialer) async throws -> DialedLink<BitcoinPeerSession> {
        // Who is reached through a proxy does not learn our address, whether or not we also listen. A mere `.none` would
        // be that of `Optional`: what the driver says of itself, which is an address when it listens.
        let connection = try await dialer.connect(to: target)
        let host = HostAndPort(connection.remote)?.host ?? target.host
        return DialedLink(
            connection, self.session(.outbound, in: dialer.proxy == nil ? Surroundings(host) : nil),
            exposure: dialer.proxy == nil ? nil : DriverCapabilities.Exposure.none)
    }

    func inboundSession() -> BitcoinPeerSession {
        self.inboundSession(from: nil)
    }

    /// Tells the other side its address where Bitcoin Core does: when it can be reached from everywhere. What comes from
    /// this machine or the local network may be a proxy of somebody else's.
    func inboundSession(from remote: HostAndPort?) -> BitcoinPeerSession {
        let surroundings = remote.map { Surroundings($0.host) }
        guard let remote, surroundings == .internet,
            let address = IPAddressText.ipv4(remote.host) ?? IPAddressText.ipv6(remote.host),
            let receiver = P2PAddressField(address: address, port: remote.port)
        else { return self.session(.inbound, in: surroundings) }
        return self.session(.inbound, in: surroundings, receiver: receiver)
    }

    func listeningText(_ address: HostAndPort) -> String { address.description }

    func sessionEnded(_ session: BitcoinPeerSession) {
        self.state.withLock { $0.nonces[session.configuration.nonce] = nil }
    }

    func heightChanged(to height: UInt32) {
        self.state.withLock { $0.height = height }
    }

    /// - Parameter surroundings: `nil` where nobody may find out that two ends are ours, not even by our hanging up.
    private func session(
        _ direction: BitcoinPeerSession.Direction, in surroundings: Surroundings?, receiver: P2PAddressField = .empty
    ) -> BitcoinPeerSession {
        let nonce = UInt64.random(in: 1...UInt64.max)
        let (height, nonces) = self.state.withLock { state in
            // Who accepts hears the other one's number first, so that one of the two ends is enough.
            guard direction == .inbound else {
                if let surroundings { state.nonces[nonce] = surroundings }
                return (state.height, Set<UInt64>())
            }
            return (state.height, Set(state.nonces.filter { $0.value == surroundings }.keys))
        }
        return BitcoinPeerSession(
            configuration: BitcoinPeerSession.Configuration(
                network: self.network, direction: direction, nonce: nonce,
                wallClock: WallClockTime(seconds: Int64(time(nil))), seed: UInt64.random(in: 0...UInt64.max),
                userAgent: self.userAgent,
                services: surroundings != nil && self.serves.contains(.blocks) ? BitcoinPeerLimits.blockServices : 0,
                ownNonces: nonces, startHeight: height, receiver: receiver,
                // Whom we reach through a proxy is told of no peers and tells us of none: a record heard at one end and
                // told at the other would tie the two together. Over which others records go, the orchestrator decides.
                serves: surroundings == nil ? [.headers] : self.serves))
    }
}

/// The driver `altnet-bitcoin`.
public enum BitcoinDriver {
    /// Runs it as the main function of a process.
    public static func main(version: String) async -> Never {
        await DriverMain.run(software: "altnet-bitcoin \(version)") { start in
            guard let network = Network(rawValue: start.network) else {
                throw DriverSetupError("there is no network \(start.network)")
            }
            var settings = DriverSettings(start.settings)
            let stream = try StreamSettings(&settings)
            let userAgent = try settings.text("user_agent") ?? "/AltNet:\(version)/"
            guard userAgent.utf8.count <= P2PVersion.maximumUserAgentLength else {
                throw DriverSetupError(
                    "user_agent is longer than \(P2PVersion.maximumUserAgentLength) bytes, the limit of BIP 14")
            }
            let servesBlocks = try start.servesBlocks(&settings)
            try settings.finish()
            // Who listens shows an address, whatever goes out through a proxy.
            let isProxied = stream.proxy != nil && stream.listen.isEmpty
            let medium = BitcoinMedium(
                network: network, userAgent: userAgent, isProxied: isProxied, servesBlocks: servesBlocks)
            return try StreamDriver(medium, settings: stream)
        }
    }
}
