// SPDX-License-Identifier: MIT

public import AltNetBitcoin
public import AltNetObjects

extension DaemonConfiguration {
    /// The operator's own node, and how it is reached.
    public struct Node: Hashable, Sendable {
        /// What stands behind the node interface.
        public enum Kind: String, CaseIterable, Hashable, Sendable {
            /// No node: the daemon's own header chain is all there is.
            case embedded
            /// Bitcoin Core over JSON-RPC.
            case bitcoinCore = "bitcoin-core"
            /// libbitcoinkernel in this process: blocks are validated in full, without a node.
            case kernel
        }

        /// How new tips of the node are noticed.
        public enum Follow: String, CaseIterable, Hashable, Sendable {
            /// The best of the following that the node offers.
            case auto
            /// ZeroMQ's `hashblock`.
            case zmq
            /// The call `waitfornewblock`, which answers when there is one.
            case wait
            /// Asking every few seconds.
            case poll
        }

        /// How the node proves that we are its operator.
        public enum Credentials: Hashable, Sendable {
            /// A file that the node writes at each start.
            case cookie(file: String)
            /// `rpcauth` or `rpcuser` and `rpcpassword`.
            case password(user: String, password: String)
        }

        public var kind: Kind
        /// Where Bitcoin Core answers: `http://host:port`.
        public var url: String
        public var credentials: Credentials
        /// Whether ``url`` may be another machine: the credentials travel there unencrypted.
        public var allowsRemote: Bool
        public var follow: Follow
        /// The endpoint of `zmqpubhashblock`; `nil`: the node is asked for it.
        public var zmq: String?
        /// The time between questions where nothing better is there.
        public var poll: Duration
        /// Nothing unless the operator says so.
        public var allow: Set<NodePermission>
        /// The path of libbitcoinkernel; `nil` for the system's.
        public var library: String?

        /// The defaults of a network, with the cookie where Bitcoin Core keeps it below `home`.
        public init(kind: Kind = .embedded, network: Network, home: String = "") {
            self.kind = kind
            self.url = "http://127.0.0.1:\(Self.defaultPort(network))"
            self.credentials = .cookie(file: "\(home)/.bitcoin\(Self.subdirectory(network))/.cookie")
            self.allowsRemote = false
            self.follow = .auto
            self.poll = .seconds(5)
            self.allow = []
        }

        /// Bitcoin Core's `rpcport`.
        static func defaultPort(_ network: Network) -> Int {
            switch network {
            case .main: 8332
            case .testnet3: 18332
            case .testnet4: 48332
            case .signet: 38332
            case .regtest: 18443
            }
        }

        /// Where Bitcoin Core keeps a network's files below its data directory.
        static func subdirectory(_ network: Network) -> String {
            network == .main ? "" : "/\(network.rawValue)"
        }
    }
}

extension Settings {
    /// Asking more often than every tenth of a second is a load, less often than once in ten minutes no watch.
    private static let pollRange = 0.1...600.0

    func node(_ network: Network) throws(ConfigurationError) -> DaemonConfiguration.Node {
        let table = SettingPath("node")
        var node = DaemonConfiguration.Node(network: network, home: self.home ?? "")
        node.kind = try self.choice(
            table.appending("kind"),
            default: .embedded,
            among: DaemonConfiguration.Node.Kind.allCases.map(\.rawValue)
        ) { DaemonConfiguration.Node.Kind(rawValue: $0) }
        if let url = self.text(table.appending("url")) { node.url = try self.nodeURL(url, table.appending("url")) }
        node.allowsRemote = self.flag(table.appending("allow_remote")) ?? false
        node.credentials = try self.nodeCredentials(table, default: node.credentials)
        node.follow = try self.choice(
            table.appending("follow"),
            default: .auto,
            among: DaemonConfiguration.Node.Follow.allCases.map(\.rawValue)
        ) { DaemonConfiguration.Node.Follow(rawValue: $0) }
        if let zmq = self.text(table.appending("zmq")) {
            guard zmq.hasPrefix("tcp://") || zmq.hasPrefix("ipc://") else {
                throw self.invalid(
                    table.appending("zmq"),
                    "must be an endpoint such as tcp://127.0.0.1:28332, unlike \(Readable.quoted(zmq))"
                )
            }
            node.zmq = zmq
        }
        node.poll = try self.seconds(table.appending("poll_seconds"), default: node.poll, in: Self.pollRange)
        let words = NodePermission.allCases.map(\.rawValue)
        for name in self.texts(table.appending("allow")) ?? [] {
            guard let permission = NodePermission(rawValue: name) else {
                throw self.notAmong(words, table.appending("allow"), name)
            }
            node.allow.insert(permission)
        }
        node.library = try self.filePath(table.appending("library"))
        return node
    }

    /// Only the place: with a path, a request could reach a wallet.
    private func nodeURL(_ text: String, _ path: SettingPath) throws(ConfigurationError) -> String {
        let scheme = "http://"
        var address = text.hasPrefix(scheme) ? text.dropFirst(scheme.count) : ""
        if address.hasSuffix("/") { address = address.dropLast() }
        guard HostAndPort.isValid(String(address)) else {
            throw self.invalid(path, "must have the form http://host:port, unlike \(Readable.quoted(text))")
        }
        return scheme + address
    }

    private func nodeCredentials(
        _ table: SettingPath,
        default fallback: DaemonConfiguration.Node.Credentials
    ) throws(ConfigurationError) -> DaemonConfiguration.Node.Credentials {
        let cookie = try self.filePath(table.appending("cookie_file"))
        switch (self.text(table.appending("user")), self.text(table.appending("password"))) {
        case (nil, nil): return cookie.map { .cookie(file: $0) } ?? fallback
        case (let user?, let password?):
            guard cookie == nil else {
                throw self.invalid(table.appending("cookie_file"), "does not go together with `user` and `password`")
            }
            guard !user.isEmpty, !user.contains(":") else {
                throw self.invalid(table.appending("user"), "must not be empty and have no colon")
            }
            return .password(user: user, password: password)
        case (_?, nil): throw self.invalid(table.appending("user"), "needs `password` beside it")
        case (nil, _?): throw self.invalid(table.appending("password"), "needs `user` beside it")
        }
    }
}
