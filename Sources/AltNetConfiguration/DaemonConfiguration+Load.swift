// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import Configuration

extension DaemonConfiguration {
    /// The longest path of a Unix socket: `sun_path` has 108 bytes on Linux, one of which is a zero.
    public static let maximumSocketPathLength = 107

    /// Reads the configuration.
    ///
    /// What is said in several places counts in this order, the first one winning: command line, environment, file,
    /// defaults.
    ///
    /// - Parameters:
    ///   - file: The file that the operator named, which must be there. Otherwise `ALTNET_CONFIG` may name one, and
    ///     after that the first of ``defaultFiles(environment:)`` that exists is read.
    ///   - environment: All environment variables. Those that start with `ALTNET_` must be keys.
    ///   - flags: What the command line says, by dotted keys; list items are separated by commas.
    ///   - currentDirectory: What relative paths are relative to; by default the process's own.
    /// - Throws: A ``ConfigurationError`` for the first mistake.
    public static func load(
        file: String? = nil,
        environment: [String: String],
        flags: [String: String] = [:],
        currentDirectory: String? = nil
    ) throws(ConfigurationError) -> DaemonConfiguration {
        let document: TOMLDocument?
        if let file = Self.fileInUse(file, environment: environment) {
            document = try TOMLDocument(try ConfigurationFile.read(file), fileName: file)
        } else {
            document = nil
        }
        return try Self.make(document, environment, flags, currentDirectory)
    }

    /// Reads the configuration from the text of a file; otherwise as
    /// ``load(file:environment:flags:currentDirectory:)``.
    public static func parse(
        _ text: String,
        fileName: String = "altnet.toml",
        environment: [String: String] = [:],
        flags: [String: String] = [:],
        currentDirectory: String? = nil
    ) throws(ConfigurationError) -> DaemonConfiguration {
        try Self.make(try TOMLDocument(text, fileName: fileName), environment, flags, currentDirectory)
    }

    /// Reads the settings of a driver that is to be attached to a daemon with this configuration, by the rules of the
    /// configuration file.
    ///
    /// - Parameter flags: by keys of the driver; list items are separated by commas.
    /// - Returns: `nil` when the name is none for a driver.
    public func driver(_ name: String, flags keys: [String: String]) throws(ConfigurationError) -> Driver? {
        var flags = [
            "network": self.network.rawValue, "data_directory": self.dataDirectory,
            "runtime_directory": self.runtimeDirectory, "drivers.\(name).enabled": "true",
        ]
        for (key, value) in keys { flags["drivers.\(name).\(key)"] = value }
        return try Self.make(nil, [:], flags, nil, attachingTo: self).drivers.first { $0.name == name }
    }

    private static func make(
        _ file: TOMLDocument?,
        _ environment: [String: String],
        _ flags: [String: String],
        _ currentDirectory: String?,
        attachingTo running: DaemonConfiguration? = nil
    ) throws(ConfigurationError) -> DaemonConfiguration {
        var schema = Schema(
            origins: try DriverNames.origins(file: file, environment: environment, flags: flags),
            alerts: try TableNames.names(below: Schema.alertSinks, what: "alert", file: file, flags: flags),
            ports: try TableNames.names(below: Schema.splicedPorts, what: "spliced port", file: file, flags: flags)
        )
        let fileLayer = try Layer(file: file, schema: &schema)
        let environmentLayer = try Layer(environment: environment, schema: &schema)
        let flagLayer = try Layer(flags: flags, schema: &schema)
        let settings = Settings(
            layers: [flagLayer, environmentLayer, fileLayer],
            home: ConfigurationFile.absolute(environment["HOME"]),
            currentDirectory: currentDirectory ?? ConfigurationFile.currentDirectory
        )

        let network = try settings.choice(
            SettingPath("network"),
            default: .main,
            among: Network.allCases.map(\.rawValue)
        ) { Network(name: $0) }
        var configuration = DaemonConfiguration(
            network: network,
            dataDirectory: try Self.dataDirectory(settings, environment),
            runtimeDirectory: try settings.filePath(SettingPath("runtime_directory")),
            logLevel: try settings.choice(
                SettingPath("log_level"),
                default: .info,
                among: LogLevel.allCases.map(\.rawValue)
            ) { LogLevel(rawValue: $0) },
            chain: try settings.chain(network),
            sync: try settings.sync(),
            watchdog: try settings.watchdog(network),
            node: try settings.node(network),
            policy: try settings.policy(),
            http: try settings.http(network),
            splice: try settings.splice(ports: schema.ports),
            peers: try settings.peers(),
            punch: try settings.punch(),
            alerts: try settings.alerts(schema.alerts),
            drivers: []
        )
        for name in schema.origins.keys.sorted() {
            configuration.drivers.append(try settings.driver(name, schema, ownNode: Driver.ownNode(network)))
        }
        try configuration.checkSockets(settings)
        try (running ?? configuration).checkPunchedConnections(of: configuration.drivers, settings)
        try (running ?? configuration).checkServedBlocks(of: configuration.drivers, settings)
        return configuration
    }

    private static func dataDirectory(
        _ settings: Settings,
        _ environment: [String: String]
    ) throws(ConfigurationError) -> String {
        let path = SettingPath("data_directory")
        if let directory = try settings.filePath(path) { return directory }
        // XDG Base Directory Specification: relative paths are to be ignored.
        if let data = ConfigurationFile.absolute(environment["XDG_DATA_HOME"]) {
            return try settings.absolute("\(data)/altnet", path)
        }
        guard ConfigurationFile.absolute(environment["HOME"]) != nil else {
            throw ConfigurationError(
                .missingKey,
                .defaults,
                "there is no home directory to keep the data in: set `data_directory`, HOME or XDG_DATA_HOME"
            )
        }
        return try settings.absolute("~/.local/share/altnet", path)
    }

    private func checkSockets(_ settings: Settings) throws(ConfigurationError) {
        for socket in [self.controlSocket, self.driversSocket]
        where socket.utf8.count > Self.maximumSocketPathLength {
            let runtime = settings.place(of: SettingPath("runtime_directory"))
            let place = runtime == .defaults ? settings.place(of: SettingPath("data_directory")) : runtime
            throw ConfigurationError(
                .pathTooLong,
                place,
                "the path of the socket \(socket) has \(socket.utf8.count) bytes and the system allows"
                    + " \(Self.maximumSocketPathLength): set `runtime_directory` to a shorter path, such as /run/altnet"
            )
        }
    }
}

// MARK: - The tables

extension Settings {
    /// A day: waiting longer is the same as not at all.
    static let longest = 86400.0
    /// The shortest time between requests, one twentieth of a second: a test's patience, and not yet a flood.
    static let shortest = 0.05
    /// Above any height that this program will see, and far from where heights overflow.
    private static let maximumStartHeight: UInt32 = 100_000_000

    fileprivate func sync() throws(ConfigurationError) -> DaemonConfiguration.Sync {
        let defaults = DaemonConfiguration.Sync()
        let range = Self.shortest...Self.longest
        return DaemonConfiguration.Sync(
            requestTimeout: try self.seconds(
                SettingPath("sync", "request_timeout_seconds"),
                default: defaults.requestTimeout,
                in: range
            ),
            behindProbe: try self.seconds(
                SettingPath("sync", "behind_probe_seconds"),
                default: defaults.behindProbe,
                in: range
            ),
            idleProbe: try self.seconds(
                SettingPath("sync", "idle_probe_seconds"),
                default: defaults.idleProbe,
                in: range
            )
        )
    }

    fileprivate func chain(_ network: Network) throws(ConfigurationError) -> DaemonConfiguration.Chain {
        var chain = DaemonConfiguration.Chain(network: network)
        if let (height, header) = try self.start(network) {
            chain.startHeight = height
            chain.startHeader = header
            // The minimum counts from the genesis, and what came before a trusted start is unknown.
            if height > 0 { chain.minimumWork = .zero }
        }
        let path = SettingPath("chain", "minimum_work")
        if let text = self.text(path) {
            guard let work = Work(hex: text.hasPrefix("0x") ? text.dropFirst(2) : text[...]) else {
                throw self.invalid(path, "must be 1 to 64 hexadecimal digits, not \(Readable.quoted(text))")
            }
            chain.minimumWork = work
        }
        return chain
    }

    private func start(_ network: Network) throws(ConfigurationError) -> (UInt32, BlockHeader)? {
        let path = SettingPath("chain", "start")
        guard let text = self.text(path) else { return nil }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let height = Self.height(parts[0]), let bytes = Hex.decode(parts[1]),
            let header = BlockHeader(bytes: bytes)
        else {
            throw self.invalid(
                path,
                "must be a height, a colon and the \(2 * BlockHeader.size) hexadecimal digits of a header"
            )
        }
        guard height > 0 || header == network.genesis else {
            throw self.invalid(path, "gives height 0 to a header that is not the first one of \(network.rawValue)")
        }
        guard let target = header.bits.target, header.hash.number <= target else {
            throw self.invalid(path, "has a header without proof of work: one of its digits must be wrong")
        }
        return (height, header)
    }

    private static func height(_ text: Substring) -> UInt32? {
        guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let height = UInt32(text) else { return nil }
        return height <= Self.maximumStartHeight ? height : nil
    }
}
