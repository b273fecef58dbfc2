// SPDX-License-Identifier: MIT

public import AltNetBitcoin

extension DaemonConfiguration {
    /// The HTTP interface: dashboard, REST, metrics.
    public struct HTTP: Hashable, Sendable {
        /// A loopback address and port; `nil` for none.
        public var listen: String?
        /// Whether the operator asked for this address. The default one is done without where another program has it.
        public var isRequired: Bool
        /// Whether `/metrics` is served to anybody who can connect.
        public var metricsWithoutToken: Bool

        /// The given values, and the defaults of the others.
        public init(listen: String?, isRequired: Bool = true, metricsWithoutToken: Bool = false) {
            self.listen = listen
            self.isRequired = isRequired
            self.metricsWithoutToken = metricsWithoutToken
        }

        /// The defaults of a network. Each has a port of its own, so that daemons of several networks can run side by
        /// side, and nothing usual beside a Bitcoin node takes it.
        public init(network: Network) {
            self.init(listen: "127.0.0.1:\(Self.defaultPort(network))", isRequired: false)
        }

        private static func defaultPort(_ network: Network) -> Int {
            switch network {
            case .main: 8430
            case .testnet3: 18430
            case .testnet4: 48430
            case .signet: 38430
            case .regtest: 18530
            }
        }
    }

    /// Connections of the node's own protocol that travel over links.
    public struct Splice: Hashable, Sendable {
        /// A loopback port whose connections come out at the other side of a link.
        public struct Port: Hashable, Sendable {
            public var name: String
            /// A loopback address and port; port 0 takes any free one.
            public var listen: String
            /// The driver whose links carry it.
            public var driver: String
            /// The target whose link carries it; `nil` for any link of the driver.
            public var target: String?

            /// All that there is to it.
            public init(name: String, listen: String, driver: String, target: String? = nil) {
                self.name = name
                self.listen = listen
                self.driver = driver
                self.target = target
            }
        }

        /// Where connections that others open over links come out; `nil`: they are refused.
        public var accept: String?
        /// In the order of their names.
        public var ports: [Port]

        /// The given values, and the defaults of the others.
        public init(accept: String? = nil, ports: [Port] = []) {
            self.accept = accept
            self.ports = ports
        }
    }
}

extension Settings {
    func http(_ network: Network) throws(ConfigurationError) -> DaemonConfiguration.HTTP {
        var http = DaemonConfiguration.HTTP(network: network)
        let path = SettingPath("http", "listen")
        if let address = self.text(path) {
            http.listen = address.isEmpty ? nil : try self.loopback(address, path)
            http.isRequired = true
        }
        http.metricsWithoutToken = self.flag(SettingPath("http", "metrics_without_token")) ?? false
        return http
    }

    func splice(ports: [String]) throws(ConfigurationError) -> DaemonConfiguration.Splice {
        var splice = DaemonConfiguration.Splice()
        let accept = SettingPath("splice", "accept")
        if let address = self.text(accept) {
            guard HostAndPort.isValid(address) else {
                throw self.invalid(accept, "must have the form host:port, unlike \(Readable.quoted(address))")
            }
            splice.accept = address
        }
        for name in ports {
            let table = Schema.splicedPorts.appending(name)
            guard let driver = self.text(table.appending("driver")) else {
                throw ConfigurationError(
                    .missingKey,
                    self.place(of: table.appending("listen")),
                    "the spliced port `\(name)` needs `\(table.appending("driver"))`, whose links carry it"
                )
            }
            let listen = table.appending("listen")
            splice.ports.append(
                .init(
                    name: name,
                    listen: try self.loopback(self.text(listen) ?? "127.0.0.1:0", listen),
                    driver: driver,
                    target: self.text(table.appending("target"))
                )
            )
        }
        return splice
    }

    /// An address to listen on that only this machine can reach.
    private func loopback(_ text: String, _ path: SettingPath) throws(ConfigurationError) -> String {
        guard HostAndPort.isValid(text, mayBeAnyPort: true) else {
            throw self.invalid(path, "must have the form host:port, unlike \(Readable.quoted(text))")
        }
        guard HostAndPort.isLoopback(text) else {
            throw self.invalid(
                path,
                "must be an address of this machine's loopback, such as 127.0.0.1, unlike \(Readable.quoted(text))"
            )
        }
        return text
    }
}

extension HostAndPort {
    /// Whether an address in the form `host:port` is one that other machines cannot reach.
    static func isLoopback(_ text: String) -> Bool {
        guard let colon = text.lastIndex(of: ":") else { return false }
        let host = text[..<colon]
        if host == "localhost" || host == "[::1]" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }
}
