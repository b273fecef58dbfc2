// SPDX-License-Identifier: MIT

public import AltNetBitcoin
public import AltNetObjects
public import Logging

/// A running Bitcoin Core, over JSON-RPC.
///
/// At most three calls are in flight at once, of the four threads that Core answers RPC with unless told otherwise
/// (`rpcthreads`): one of them follows the node, two answer and change.
public final class BitcoinCoreNode: NodeInterface {
    /// How changes of the tip are noticed.
    public enum Follow: String, CaseIterable, Hashable, Sendable, Codable {
        /// The best of the others that works.
        case auto
        /// Core's ZMQ publisher `hashblock`.
        case zmq
        /// The RPC `waitfornewblock`, which occupies one of the node's RPC threads.
        case wait
        /// Asking every few seconds.
        case poll
    }

    /// What the operator sets.
    public struct Configuration: Sendable {
        public var network: Network
        public var endpoint: CoreEndpoint
        public var credentials: CoreCredentials
        public var follow: Follow
        /// Core's `zmqpubhashblock`, such as `tcp://127.0.0.1:28332`; `nil` to ask the node for it.
        public var zmqEndpoint: String?
        /// What may be changed.
        public var allow: Set<NodePermission>
        public var pace: Pace

        /// The defaults: loopback, the cookie file of Core's default data directory, nothing may be changed.
        public init(
            network: Network, endpoint: CoreEndpoint? = nil, credentials: CoreCredentials? = nil,
            follow: Follow = .auto, zmqEndpoint: String? = nil, allow: Set<NodePermission> = [], pace: Pace = Pace()
        ) {
            self.network = network
            self.endpoint = endpoint ?? CoreEndpoint(network: network)
            self.credentials = credentials ?? .defaultCookieFile(network: network)
            self.follow = follow
            self.zmqEndpoint = zmqEndpoint
            self.allow = allow
            self.pace = pace
        }
    }

    /// How often the node is asked. Only tests have a reason to change it.
    public struct Pace: Hashable, Sendable {
        /// Between two looks at the tip when nothing tells of changes; what the operator sees as "polling every 5 s".
        public var poll: Duration = .seconds(5)
        /// The same beside ZMQ, which may lose messages.
        public var pollBesideZMQ: Duration = .seconds(20)
        /// How long one `waitfornewblock` waits. The other facts are looked at in between.
        public var wait: Duration = .seconds(10)
        /// Between two looks at the peers: a few hundred kilobytes on a well-connected node.
        public var peers: Duration = .seconds(10)
        /// Between two looks at the branches: Core walks its whole block index for them, under its main lock.
        public var branches: Duration = .seconds(60)
        /// The least time between two looks at the tip, whatever wakes us: a flood of ZMQ messages must not become a
        /// flood of calls.
        public var shortest: Duration = .milliseconds(100)
        /// The first pause after the node was not reachable; it doubles up to `longestPause`.
        public var firstPause: Duration = .milliseconds(500)
        /// Short, because a node that comes back should be noticed soon, and asking costs nothing.
        public var longestPause: Duration = .seconds(10)

        public init() {}
    }

    /// Answers and changes at once; see the type's description.
    static let maximumCalls = 2
    /// Callers that wait for one of these; further ones are told that we are busy.
    static let maximumWaitingCalls = 64

    let configuration: Configuration
    let rpc: RPCClient
    let gate = CallGate(inside: BitcoinCoreNode.maximumCalls, waiting: BitcoinCoreNode.maximumWaitingCalls)
    let auditLog: NodeAuditLog
    let logger: Logger

    /// Does not speak with the node yet: that is what ``run(_:)`` is for.
    public init(configuration: Configuration, auditLog: NodeAuditLog, logger: Logger) {
        self.configuration = configuration
        self.rpc = RPCClient(endpoint: configuration.endpoint, credentials: configuration.credentials)
        self.auditLog = auditLog
        self.logger = logger
    }

    public var description: String { "Bitcoin Core at \(self.configuration.endpoint)" }

    /// Follows Bitcoin Core; see ``NodeInterface/run(_:)``.
    public func run(_ onEvent: @Sendable @escaping (NodeEvent) async -> Void) async {
        var follower = CoreFollower(configuration: self.configuration, rpc: self.rpc, logger: self.logger)
        await follower.run(onEvent)
    }

    /// Makes a call when there is room for it.
    func inTurn<Value: Sendable>(_ work: () async throws -> Value) async throws(NodeError) -> Value {
        do {
            return try await self.gate.pass(work)
        } catch let error as NodeError {
            throw error
        } catch is CallGate.Full {
            throw .unreachable("\(Self.maximumWaitingCalls) calls to \(self.description) wait already")
        } catch {
            throw .unreachable("the call to \(self.description) was given up")
        }
    }
}
