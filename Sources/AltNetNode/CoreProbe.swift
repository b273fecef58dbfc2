// SPDX-License-Identifier: MIT

internal import AltNetBase

/// What one look at a Bitcoin Core shows, for `altnet doctor`.
public struct CoreFacts: Hashable, Sendable {
    /// Whether it follows the network that we watch, and what it calls its own.
    public var isExpectedNetwork: Bool
    public var network: String
    public var version: String
    public var blocks: UInt32
    public var headers: UInt32
    public var isSyncing: Bool
    public var isPruned: Bool
    /// The addresses at which it publishes `hashblock`.
    public var zmqHashBlock: [String]

    public init(
        isExpectedNetwork: Bool, network: String, version: String, blocks: UInt32, headers: UInt32, isSyncing: Bool,
        isPruned: Bool, zmqHashBlock: [String]
    ) {
        self.isExpectedNetwork = isExpectedNetwork
        self.network = network
        self.version = version
        self.blocks = blocks
        self.headers = headers
        self.isSyncing = isSyncing
        self.isPruned = isPruned
        self.zmqHashBlock = zmqHashBlock
    }
}

extension BitcoinCoreNode.Configuration {
    /// Asks the node three questions that change nothing.
    ///
    /// - Throws: `NodeError` with the same sentences as while the daemon runs.
    public func probe() async throws(NodeError) -> CoreFacts {
        struct Chain: Decodable, Sendable {
            let chain: String
            let blocks: UInt32
            let headers: UInt32
            let initialblockdownload: Bool
            let pruned: Bool?
        }
        let rpc = RPCClient(endpoint: self.endpoint, credentials: self.credentials)
        let chain = try await rpc.call(RPCCall("getblockchaininfo"), as: Chain.self)
        let network = try await rpc.call(RPCCall("getnetworkinfo"), as: CoreNetworkInfo.self)
        // A node without ZMQ does not know the call.
        let publishers = try? await rpc.call(RPCCall("getzmqnotifications"), as: [CoreZMQNotification].self)
        return CoreFacts(
            isExpectedNetwork: chain.chain == self.network.coreChainName,
            network: UntrustedText(chain.chain).description, version: UntrustedText(network.subversion).description,
            blocks: chain.blocks, headers: chain.headers, isSyncing: chain.initialblockdownload,
            isPruned: chain.pruned ?? false,
            zmqHashBlock: (publishers ?? []).filter { $0.type == "pubhashblock" }
                .map { UntrustedText($0.address).description })
    }
}
