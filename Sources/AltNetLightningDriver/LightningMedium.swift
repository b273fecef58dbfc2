// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetDriverKit
internal import AltNetDriverProtocol
internal import AltNetKeys
internal import AltNetLightningSession
internal import AltNetObjects
internal import AltNetStreamDriver
internal import AltNetTransport

/// Lightning's transport (BOLT 8) and base messages (BOLT 1), carrying Bitcoin objects as custom messages.
struct LightningMedium: StreamMedium {
    typealias Session = LightningSession

    /// `pubkey@host:port`
    struct Target: Sendable {
        let node: NodeID
        let remote: HostAndPort
    }

    /// The port of Lightning nodes (BOLT 1).
    static let defaultPort: UInt16 = 9735

    let capabilities: DriverCapabilities
    let identity: String
    private let configuration: LightningSession.Configuration

    init(network: Network, key: NodePrivateKey, serves: Set<ObjectKind>, isProxied: Bool) {
        self.configuration = LightningSession.Configuration(
            privateKey: key, network: network, serves: [.headers, .tips], takesStreams: true)
        self.identity = key.publicKey.description
        self.capabilities = DriverCapabilities(
            requests: Set(ObjectKind.allCases).subtracting([.tips]), serves: serves,
            announces: [.tips, .transactions, .addresses], direction: .both,
            latency: isProxied ? .seconds : .milliseconds, bandwidth: .megabytes, cost: .free,
            // A node key is a pseudonym, and without a proxy our address is seen as well.
            exposure: isProxied ? .pseudonym : .clearnetAddress, streams: true)
    }

    func dial(_ target: Target, _ dialer: LinkDialer) async throws -> DialedLink<LightningSession> {
        DialedLink(
            try await dialer.connect(to: target.remote),
            LightningSession(
                initiatorTo: target.node, ephemeral: NodeKeyFile.random(), configuration: self.configuration))
    }

    func inboundSession() -> LightningSession {
        LightningSession(responderWith: NodeKeyFile.random(), configuration: self.configuration)
    }

    func listeningText(_ address: HostAndPort) -> String { "\(self.identity)@\(address)" }

    func sessionEnded(_ session: LightningSession) {}

    func heightChanged(to height: UInt32) {}

    func parse(_ target: String) throws(DriverSetupError) -> Target {
        let parts = target.split(separator: "@", omittingEmptySubsequences: false)
        guard parts.count == 2, let node = NodeID(hex: parts[0]),
            let remote = HostAndPort(String(parts[1]), defaultPort: Self.defaultPort)
        else {
            throw DriverSetupError(
                "\(UntrustedText(target)) is not of the form pubkey@host:port, with a public key of 66 hexadecimal digits"
            )
        }
        return Target(node: node, remote: remote)
    }
}

/// The driver `altnet-lightning`.
public enum LightningDriver {
    /// Runs it as the main function of a process.
    public static func main(version: String) async -> Never {
        await DriverMain.run(software: "altnet-lightning \(version)") { start in
            guard let network = Network(rawValue: start.network) else {
                throw DriverSetupError("there is no network \(start.network)")
            }
            var settings = DriverSettings(start.settings)
            let stream = try StreamSettings(&settings)
            let keyFile = try settings.text("key_file") ?? "\(start.dataDirectory)/node.key"
            try settings.finish()
            let key = try NodeKeyFile.load(keyFile)
            // Who listens shows an address, whatever goes out through a proxy.
            let isProxied = stream.proxy != nil && stream.listen.isEmpty
            let medium = LightningMedium(
                network: network, key: key, serves: start.serves ?? [.headers], isProxied: isProxied)
            return try StreamDriver(medium, settings: stream)
        }
    }
}
