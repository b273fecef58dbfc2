// SPDX-License-Identifier: MIT

public import AltNetBitcoin
public import AltNetObjects

/// Everything that the daemon lets its operator choose.
///
/// ``load(file:environment:flags:currentDirectory:)`` makes it from the configuration file, the environment and the
/// command line; every value has been checked then, and every path in it is absolute.
public struct DaemonConfiguration: Hashable, Sendable {
    /// The block chain to watch.
    public var network: Network
    /// Where everything is kept. The daemon works in ``networkDirectory`` below it.
    public var dataDirectory: String
    /// Where the Unix sockets are.
    public var runtimeDirectory: String
    /// The least important messages that are still logged.
    public var logLevel: LogLevel
    /// The header chain.
    public var chain: Chain
    /// How headers are fetched.
    public var sync: Sync
    /// When the watchdog barks.
    public var watchdog: Watchdog
    /// The operator's own node.
    public var node: Node
    /// What is done about incidents.
    public var policy: PolicySettings
    /// The HTTP interface on loopback.
    public var http: HTTP
    /// Connections of the node that travel over links.
    public var splice: Splice
    /// The store of peers.
    public var peers: Peers
    /// Hole punching.
    public var punch: Punch
    /// Who is told of incidents, in the order of their names.
    public var alerts: [Alert]
    /// The drivers, in the order of their names; those that are not enabled too.
    public var drivers: [Driver]

    /// A configuration with the defaults of everything that is not given; `runtimeDirectory` is by default
    /// `<dataDirectory>/<network>/run`.
    public init(
        network: Network = .main,
        dataDirectory: String,
        runtimeDirectory: String? = nil,
        logLevel: LogLevel = .info,
        chain: Chain? = nil,
        sync: Sync = Sync(),
        watchdog: Watchdog? = nil,
        node: Node? = nil,
        policy: PolicySettings = PolicySettings(),
        http: HTTP? = nil,
        splice: Splice = Splice(),
        peers: Peers = Peers(),
        punch: Punch = Punch(),
        alerts: [Alert] = [],
        drivers: [Driver]? = nil
    ) {
        self.network = network
        self.dataDirectory = dataDirectory
        self.runtimeDirectory = runtimeDirectory ?? "\(dataDirectory)/\(network.rawValue)/run"
        self.logLevel = logLevel
        self.chain = chain ?? Chain(network: network)
        self.sync = sync
        self.watchdog = watchdog ?? Watchdog(network: network)
        self.node = node ?? Node(network: network)
        self.policy = policy
        self.http = http ?? HTTP(network: network)
        self.splice = splice
        self.peers = peers
        self.punch = punch
        self.alerts = alerts
        self.drivers = drivers ?? Driver.defaults(network: network)
    }

    /// `<dataDirectory>/<network>`: networks never share a file.
    public var networkDirectory: String { "\(self.dataDirectory)/\(self.network.rawValue)" }

    /// The Unix socket at which the command line talks to the daemon.
    public var controlSocket: String { "\(self.runtimeDirectory)/control.sock" }

    /// The Unix socket to which drivers connect.
    public var driversSocket: String { "\(self.runtimeDirectory)/drivers.sock" }
}

extension DaemonConfiguration {
    /// How important a message must be to be logged; the names are swift-log's.
    public enum LogLevel: String, CaseIterable, Hashable, Sendable {
        /// From everything to what has gone wrong.
        case trace, debug, info, notice, warning, error
    }

    /// Where the header chain starts and how much work makes it worth having.
    public struct Chain: Hashable, Sendable {
        /// The height of ``startHeader``; 0 for the genesis.
        public var startHeight: UInt32
        /// The first header: the genesis, or one that the operator vouches for.
        public var startHeader: BlockHeader
        /// A chain with less work above its start is not worth memory.
        public var minimumWork: Work

        /// From a height and its header.
        public init(startHeight: UInt32, startHeader: BlockHeader, minimumWork: Work) {
            self.startHeight = startHeight
            self.startHeader = startHeader
            self.minimumWork = minimumWork
        }

        /// From the genesis, with the network's own minimum of work.
        public init(network: Network) {
            self.init(startHeight: 0, startHeader: network.genesis, minimumWork: network.minimumChainWork)
        }
    }

    /// How headers are fetched.
    public struct Sync: Hashable, Sendable {
        /// How long a link has for the answer to a request.
        public var requestTimeout: Duration
        /// How long a link that is behind may be quiet before it is asked again.
        public var behindProbe: Duration
        /// How long a link that is level with us may be quiet before it is asked again.
        public var idleProbe: Duration

        /// The given times, and the defaults of the others.
        public init(
            requestTimeout: Duration = .seconds(60),
            behindProbe: Duration = .seconds(10),
            idleProbe: Duration = .seconds(120)
        ) {
            self.requestTimeout = requestTimeout
            self.behindProbe = behindProbe
            self.idleProbe = idleProbe
        }
    }

    /// A driver as the operator wants it.
    public struct Driver: Hashable, Sendable {
        /// The name under which it is attached: 1 to 32 of `a`–`z`, `0`–`9`, `-` and `_`.
        public var name: String
        /// The program to start: an absolute path, or a bare name to be found beside the daemon or in `PATH`; `nil` for a
        /// driver that somebody else starts.
        public var program: String?
        /// Whether the daemon starts it.
        public var isEnabled: Bool
        /// The kinds of object that it may carry; `nil` for all it can.
        public var traffic: Set<ObjectKind>?
        /// How many messages it may send in a second.
        public var messagesPerSecond: Int
        /// How many bytes of objects it may send in a second.
        public var bytesPerSecond: Int
        /// What is handed on to the driver itself.
        public var settings: [String: DriverSetting]

        /// A driver with the defaults of everything that is not given.
        public init(
            name: String,
            program: String?,
            isEnabled: Bool = true,
            traffic: Set<ObjectKind>? = nil,
            messagesPerSecond: Int = Self.defaultMessagesPerSecond,
            bytesPerSecond: Int = Self.defaultBytesPerSecond,
            settings: [String: DriverSetting] = [:]
        ) {
            self.name = name
            self.program = program
            self.isEnabled = isEnabled
            self.traffic = traffic
            self.messagesPerSecond = messagesPerSecond
            self.bytesPerSecond = bytesPerSecond
            self.settings = settings
        }

        /// What a driver may send in a second unless told otherwise: far above honest traffic.
        public static let defaultMessagesPerSecond = 2000
        /// 256 MiB: what a driver may send in a second unless told otherwise.
        public static let defaultBytesPerSecond = 268_435_456

        /// The drivers when none is named: Bitcoin's own protocol towards the operator's node, and a Lightning driver
        /// with nobody to connect to yet.
        public static func defaults(network: Network) -> [Driver] {
            [
                Driver(
                    name: "bitcoin",
                    program: "altnet-bitcoin",
                    settings: ["connect": .texts([Self.ownNode(network)])]
                ),
                Driver(name: "lightning", program: "altnet-lightning"),
            ]
        }

        /// Where the operator's own node listens unless told otherwise.
        static func ownNode(_ network: Network) -> String { "127.0.0.1:\(network.defaultPort)" }
    }

    /// One setting that is handed on to a driver.
    public enum DriverSetting: Hashable, Sendable {
        /// A string.
        case text(String)
        /// A list of strings.
        case texts([String])
        /// A whole number.
        case number(Int)
        /// True or false.
        case flag(Bool)
    }
}
