// SPDX-License-Identifier: MIT

public import AltNetObjects
public import AltNetPeerRecords

/// The numbers and bounds of the driver protocol; `Protos/altnet/driver/v1/driver.proto` is its description.
public enum DriverProtocol {
    /// The version that this code speaks.
    public static let version: UInt32 = 1
    /// The largest message on the stream, in bytes: a block of the largest weight and as much again.
    public static let maximumMessageSize = 8 * 1024 * 1024
    /// The largest HTTP/2 frame that both of our ends accept, in bytes: an answer full of headers takes one frame instead
    /// of forty. Others may use smaller ones.
    public static let frameSize = 1024 * 1024
    /// What one end may send before the other has read it, in bytes: two full answers, so that one is read while the
    /// next is on its way. More than this never waits inside gRPC.
    public static let windowSize = 2 * 1024 * 1024
    /// The most links that one driver may have at once: as many as Bitcoin Core has connections by default.
    public static let maximumLinks = 125
    /// The most unanswered requests over one link, in each direction.
    public static let maximumOpenRequests = 16
    /// The most streams over all links of one driver, whoever opened them: with a full window in both directions, they
    /// hold 32 MiB between the ends.
    public static let maximumStreams = 64
    /// The most addresses that a driver says it listens on.
    static let maximumListeningAddresses = 16
    /// The longest texts, in bytes: name and version of a driver's software; a key or an address that listens; where a
    /// remote is, which a Lightning key and a long host name fit in; why something ended.
    static let maximumSoftwareLength = 100
    static let maximumIdentityLength = 200
    static let maximumPlaceLength = 500
    /// The longest text of a target, in bytes: a route over twenty Lightning nodes, 66 digits and a comma each, fits.
    public static let maximumTargetLength = 1500
    static let maximumReasonLength = 1000
    /// How long a driver may take from its start to its first message.
    public static let helloDeadline: Duration = .seconds(10)
    /// The pause between two pings to a driver.
    public static let pingInterval: Duration = .seconds(10)
    /// How long a driver may take to answer a ping before it counts as hanging.
    public static let pongDeadline: Duration = .seconds(30)
    /// How long a driver may take to stop before it is killed.
    public static let stopDeadline: Duration = .seconds(5)
    /// The exit status of a driver that a restart cannot help (EX_CONFIG of sysexits.h).
    public static let configurationErrorStatus: Int32 = 78
}

/// A link as a driver numbers it, unique on one stream. Zero stands for every link.
public struct DriverLink: Hashable, Sendable {
    public let number: UInt64

    public init(_ number: UInt64) {
        self.number = number
    }

    public static let all = DriverLink(0)
}

/// What a driver can do.
public struct DriverCapabilities: Hashable, Sendable {
    /// Who makes the connections.
    public enum Direction: String, Hashable, Sendable, Codable, CaseIterable {
        case outbound, inbound, both
    }

    /// How long a small object takes, typically.
    public enum Latency: String, Hashable, Sendable, Codable, CaseIterable {
        case milliseconds, seconds, minutes, hours
    }

    /// How much the medium carries in a second, typically.
    public enum Bandwidth: String, Hashable, Sendable, Codable, CaseIterable {
        case bytes, kilobytes, megabytes
    }

    public enum Cost: String, Hashable, Sendable, Codable, CaseIterable {
        case free, metered
    }

    /// What a link reveals about us to the other side.
    public enum Exposure: String, Hashable, Sendable, Codable, CaseIterable {
        /// Our address on the Internet.
        case clearnetAddress
        /// A key that we keep.
        case pseudonym
        /// Nothing.
        case none
    }

    /// What can be asked of the driver's links.
    public var requests: Set<ObjectKind>
    /// What its remotes may ask of us.
    public var serves: Set<ObjectKind>
    /// What can be announced, in either direction.
    public var announces: Set<ObjectKind>
    public var direction: Direction
    public var latency: Latency
    public var bandwidth: Bandwidth
    public var cost: Cost
    public var exposure: Exposure
    /// Whether its links can carry streams.
    public var streams: Bool
    /// The names of what the operator can ask of the driver itself; see ``OperationRules``.
    public var operations: [String]
    /// Whether it tells of peers and asks about them.
    public var peers: Bool
    /// Whether offers of hole punching travel over its links. Only for protocols in which nothing names us but our
    /// address: an offer over a link that knows a key of ours would tie the two together.
    public var offers: Bool

    public init(
        requests: Set<ObjectKind>, serves: Set<ObjectKind>, announces: Set<ObjectKind>, direction: Direction,
        latency: Latency, bandwidth: Bandwidth, cost: Cost, exposure: Exposure, streams: Bool = false,
        operations: [String] = [], peers: Bool = false, offers: Bool = false
    ) {
        self.requests = requests
        self.serves = serves
        self.announces = announces
        self.direction = direction
        self.latency = latency
        self.bandwidth = bandwidth
        self.cost = cost
        self.exposure = exposure
        self.streams = streams
        self.operations = operations
        self.peers = peers
        self.offers = offers
    }
}

/// The first message of a driver.
public struct DriverHello: Hashable, Sendable {
    public var name: String
    public var secret: String
    public var protocolVersion: UInt32
    public var software: String
    public var capabilities: DriverCapabilities
    public var identity: String

    public init(
        name: String, secret: String, protocolVersion: UInt32 = DriverProtocol.version, software: String,
        capabilities: DriverCapabilities, identity: String
    ) {
        self.name = name
        self.secret = secret
        self.protocolVersion = protocolVersion
        self.software = software
        self.capabilities = capabilities
        self.identity = identity
    }
}

/// A link that stands.
public struct DriverLinkDescription: Hashable, Sendable {
    /// The target that it belongs to; empty for a link that the remote opened.
    public var target: String
    /// Where the remote is, for people.
    public var remote: String
    /// What the handshake told.
    public var peer: LinkPeer
    /// What this link reveals about us; `nil` for what the driver's capabilities say.
    public var exposure: DriverCapabilities.Exposure?
    /// What an operation was told to connect to, where the link came of one; else empty.
    public var requested: String

    public init(
        target: String, remote: String, peer: LinkPeer, exposure: DriverCapabilities.Exposure? = nil,
        requested: String = ""
    ) {
        self.target = target
        self.remote = remote
        self.peer = peer
        self.exposure = exposure
        self.requested = requested
    }
}

/// What a driver says to the orchestrator.
public enum DriverEvent: Hashable, Sendable {
    case hello(DriverHello)
    case listening([String])
    case linkOpened(DriverLink, DriverLinkDescription)
    case linkClosed(DriverLink, DisconnectReason)
    case targetFailed(String, DisconnectReason, retryIn: Duration)
    case request(DriverLink, id: UInt64, ObjectRequest)
    case answer(DriverLink, id: UInt64, ObjectAnswer)
    case announcement(DriverLink, ObjectAnnouncement)
    case pong(UInt64)
    case stream(DriverLink, StreamID, StreamMessage)
    /// What became of an operation.
    case operationResult(id: UInt64, OperationOutcome)
    /// What the driver heard about peers; answered by ``DriverCommand/peerOutcomes(id:_:)`` with the same number.
    case peerNews(id: UInt64, [PeerNews])
    /// What the driver wants to know about peers; answered by ``DriverCommand/peerAnswer(id:_:)``.
    case peerQuestion(id: UInt64, PeerQuestion)
}

/// What the orchestrator says to a driver.
public enum DriverCommand: Hashable, Sendable {
    case welcome(software: String)
    case openTarget(String)
    case closeTarget(String)
    case closeLink(DriverLink, DisconnectReason)
    case request(DriverLink, id: UInt64, ObjectRequest)
    case answer(DriverLink, id: UInt64, ObjectAnswer)
    case announcement(DriverLink, ObjectAnnouncement)
    case ping(UInt64)
    case stop
    case stream(DriverLink, StreamID, StreamMessage)
    /// The operator asks the driver to do what `name` says; `body` is a JSON object. Answered by
    /// ``DriverEvent/operationResult(id:_:)`` with the same number.
    case operation(id: UInt64, name: String, body: [UInt8])
    /// What became of the driver's news, item by item.
    case peerOutcomes(id: UInt64, [NewsOutcome])
    case peerAnswer(id: UInt64, PeerAnswer)
    /// Somebody else than this driver has told something of those peers, which whoever dials them wants to know. At most
    /// ``PeerMessageRules/maximumPeers``.
    case peersChanged([PeerID])
}

/// A message of the other side that breaks the protocol: which rule, in words.
public struct DriverProtocolError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}
