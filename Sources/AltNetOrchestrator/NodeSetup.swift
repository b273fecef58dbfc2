// SPDX-License-Identifier: MIT

internal import AltNetBitcoin
internal import AltNetConfiguration
internal import AltNetNode
internal import AltNetStore
internal import Logging

extension DaemonConfiguration.Node {
    /// The node as the operator describes it; `nil` where there is none.
    ///
    /// - Parameter probe: the program and arguments that try out libbitcoinkernel in a process of its own.
    /// - Throws: ``NodeError`` when it cannot be as it is described.
    func open(
        network: Network, in directory: borrowing DataDirectory, probe: (program: String, arguments: [String]),
        logger: Logger
    ) async throws(NodeError) -> (any NodeInterface)? {
        switch self.kind {
        case .embedded: return nil
        case .bitcoinCore:
            var configuration = BitcoinCoreNode.Configuration(
                network: network,
                endpoint: try CoreEndpoint(url: self.url, network: network, allowRemote: self.allowsRemote),
                credentials: self.coreCredentials, zmqEndpoint: self.zmq,
                allow: self.allow)
            configuration.follow = BitcoinCoreNode.Follow(rawValue: self.follow.rawValue) ?? .auto
            configuration.pace.poll = self.poll
            return BitcoinCoreNode(
                configuration: configuration, auditLog: try NodeAuditLog(path: directory.file("audit.jsonl")),
                logger: logger)
        case .kernel:
            return try await KernelNode.open(
                KernelNode.Configuration(
                    network: network, directory: directory.file("kernel"), library: self.library, probe: probe),
                logger: logger)
        }
    }

    private var coreCredentials: CoreCredentials {
        switch self.credentials {
        case .cookie(let file): .cookieFile(file)
        case .password(let user, let password): .password(user: user, password: password)
        }
    }
}
