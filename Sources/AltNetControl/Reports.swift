// SPDX-License-Identifier: MIT

public import AltNetBase
internal import FoundationEssentials

/// What the control interface says and takes, as JSON. Field names are part of the interface: they are only ever added.
public enum ControlInterface {
    /// How long the daemon keeps a connection on which nothing is asked. Browsers would keep it for longer, and simply
    /// open another one.
    public static let idleTime: Duration = .seconds(20)
    /// The most bytes of headers in one request or answer: 50,000 headers.
    public static let maximumHeadersBytes = 4_000_000
    /// The most bytes of any other request.
    public static let maximumRequestBytes = 65_536
    /// The largest operation of a driver, in bytes: a transaction as hexadecimal digits.
    public static let maximumOperationBytes = 262_144
    /// The most incidents in one answer.
    public static let maximumIncidents = 1_000
    /// The most deliveries of alerts in one answer: what an operator looks through by eye.
    public static let maximumAlerts = 1_000
    /// The most blocks in one answer: two weeks, which is as long as it is remembered who proved them.
    public static let maximumBlocks = 2_016
    /// The most peers in one answer: with a full record and all addresses each, three megabytes.
    public static let maximumPeers = 100
    /// The most additions to the peer store in one request.
    public static let maximumPeerAdditions = 100
}

/// A moment, in JSON as RFC 3339 text in UTC with milliseconds.
public struct Timestamp: Hashable, Sendable, Codable, CustomStringConvertible {
    public let time: WallClockTime

    public init(_ time: WallClockTime) {
        self.time = time
    }

    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        let date = try Self.style.parse(text)
        self.time = WallClockTime(milliseconds: Int64((date.timeIntervalSince1970 * 1000).rounded()))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(self.description)
    }

    public var description: String {
        Date(timeIntervalSince1970: Double(self.time.milliseconds) / 1000).formatted(Self.style)
    }

    private static let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
}

/// `GET /v1/status`
public struct StatusReport: Hashable, Sendable, Codable {
    public var software: String
    public var network: String
    public var processID: Int32
    public var started: Timestamp
    public var dataDirectory: String
    public var chain: ChainReport
    public var links: Int
    /// Links that stand behind the best chain now, within the grace or not.
    public var linksBehind: Int
    public var drivers: Int
    public var openIncidents: Int
    /// Why headers cannot be stored at the moment; absent when all is well.
    public var storeFailure: String?
    /// Where HTTP is served on loopback, such as `http://127.0.0.1:9733`; absent when it is turned off.
    public var http: String?

    public init(
        software: String, network: String, processID: Int32, started: Timestamp, dataDirectory: String,
        chain: ChainReport, links: Int, linksBehind: Int, drivers: Int, openIncidents: Int, storeFailure: String?
    ) {
        self.software = software
        self.network = network
        self.processID = processID
        self.started = started
        self.dataDirectory = dataDirectory
        self.chain = chain
        self.links = links
        self.linksBehind = linksBehind
        self.drivers = drivers
        self.openIncidents = openIncidents
        self.storeFailure = storeFailure
    }
}

/// The best chain of the daemon.
public struct ChainReport: Hashable, Sendable, Codable {
    public var startHeight: UInt32
    public var height: UInt32
    public var tip: String
    public var tipTime: Timestamp
    /// Total work as 64 hexadecimal digits; from the trusted start where one is configured.
    public var work: String
    /// All valid headers that are kept, side branches included.
    public var headers: Int

    public init(startHeight: UInt32, height: UInt32, tip: String, tipTime: Timestamp, work: String, headers: Int) {
        self.startHeight = startHeight
        self.height = height
        self.tip = tip
        self.tipTime = tipTime
        self.work = work
        self.headers = headers
    }
}

/// One of `GET /v1/links`: a link, or a target that cannot be reached.
public struct LinkReport: Hashable, Sendable, Codable {
    /// The orchestrator's number; absent while there is no connection.
    public var id: UInt64?
    public var driver: String
    /// What was asked for; absent for a link that the remote opened.
    public var target: String?
    public var remote: String?
    public var identity: String?
    public var agent: String?
    public var exposure: String?
    /// `open`, or `unreachable` for a target without a link.
    public var state: String
    /// Why there is no link; absent when there is one.
    public var reason: String?
    public var since: Timestamp?
    public var claimedHeight: UInt32?
    /// The last header of the link that is in our tree.
    public var tipHeight: UInt32?
    public var tip: String?
    /// How many blocks of the best chain the link has not shown; absent while nothing is known.
    public var missingBlocks: UInt32?
    /// Since when the first of them has been proven.
    public var missingSince: Timestamp?
    /// Headers that a pre-synchronisation has judged and not kept.
    public var presyncHeight: UInt32?
    /// The link's chain has too little work to be kept.
    public var isLowWork: Bool
    /// How long the last answer took.
    public var latencyMilliseconds: Double?
    /// How much later than elsewhere blocks are first shown here, as the watchdog estimates it.
    public var latenessSeconds: Double?
    /// The remote's clock relative to ours; positive when it is ahead.
    public var clockOffsetSeconds: Double?
    /// `/16` of IPv4, `/32` of IPv6, `onion`, `i2p`, `local`, or the driver's name.
    public var networkGroup: String?

    public init(driver: String, state: String) {
        self.driver = driver
        self.state = state
        self.isLowWork = false
    }
}

/// One of `GET /v1/drivers`.
public struct DriverReport: Hashable, Sendable, Codable {
    public var name: String
    /// Absent for a driver that somebody else starts.
    public var program: String?
    /// Where a driver that somebody else starts finds how to attach; absent for others.
    public var startFile: String?
    /// `starting`, `waiting`, `attached`, `restarting`, `failed` or `stopping`.
    public var state: String
    /// Why it is restarting, waiting again or has failed.
    public var reason: String?
    public var restarts: Int
    public var software: String?
    public var identity: String?
    public var listening: [String]
    public var requests: [String]
    public var serves: [String]
    public var announces: [String]
    /// What the operator lets it carry; absent for everything.
    public var traffic: [String]?
    public var direction: String?
    public var latency: String?
    public var bandwidth: String?
    public var cost: String?
    public var exposure: String?
    /// What can be asked of it with `POST /v1/drivers/{name}/operations/{operation}`.
    public var operations: [String]
    public var messagesPerSecond: Int
    public var bytesPerSecond: Int

    public init(
        name: String, program: String?, state: String, restarts: Int, messagesPerSecond: Int, bytesPerSecond: Int
    ) {
        self.name = name
        self.program = program
        self.state = state
        self.restarts = restarts
        self.listening = []
        self.requests = []
        self.serves = []
        self.announces = []
        self.operations = []
        self.messagesPerSecond = messagesPerSecond
        self.bytesPerSecond = bytesPerSecond
    }
}

/// `POST /v1/drivers`
public struct AttachRequest: Hashable, Sendable, Codable {
    public var name: String
    /// A path or a bare name; absent for `altnet-NAME`.
    public var program: String?
    /// Dotted settings as on the command line of `altnetd`, without `drivers.NAME.`.
    public var settings: [String: String]

    public init(name: String, program: String?, settings: [String: String]) {
        self.name = name
        self.program = program
        self.settings = settings
    }
}

/// `POST` and `DELETE /v1/drivers/NAME/targets`
public struct TargetRequest: Hashable, Sendable, Codable {
    public var target: String

    public init(target: String) {
        self.target = target
    }
}

/// One of `GET /v1/tips`: a tip, and who stands on it.
public struct TipReport: Hashable, Sendable, Codable {
    public var height: UInt32
    public var hash: String
    public var work: String
    /// Whether this is the end of the best valid chain.
    public var isBest: Bool
    /// Where it parts from the best chain.
    public var forkHeight: UInt32
    /// The daemon's own chain counts as `self`; links as in incidents.
    public var followers: [String]

    public init(height: UInt32, hash: String, work: String, isBest: Bool, forkHeight: UInt32, followers: [String]) {
        self.height = height
        self.hash = hash
        self.work = work
        self.isBest = isBest
        self.forkHeight = forkHeight
        self.followers = followers
    }
}

/// `POST /v1/headers`: what became of raw headers that were handed in. They are on the disk when it arrives.
public struct ImportReport: Hashable, Sendable, Codable {
    /// How many were new.
    public var added: UInt32
    public var chain: ChainReport
    /// Which header was refused and why; those before it are kept.
    public var rejection: String?
    /// Bitcoin Core's name of the rule that it breaks.
    public var rule: String?

    public init(added: UInt32, chain: ChainReport, rejection: String?, rule: String?) {
        self.added = added
        self.chain = chain
        self.rejection = rejection
        self.rule = rule
    }
}

/// Every answer with a status of 400 and above.
public struct ErrorReport: Hashable, Sendable, Codable, Error {
    /// One sentence for people.
    public var message: String

    public init(message: String) {
        self.message = message
    }
}
