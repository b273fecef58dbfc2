// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin
public import AltNetObjects

extension BitcoinPeerSession {
    /// Who opened the connection.
    public enum Direction: Hashable, Sendable {
        /// We did, and speak first.
        case outbound
        /// The other side did.
        case inbound
    }

    /// What one session needs to know. Everything random and every clock reading comes from here or with the inputs.
    public struct Configuration: Hashable, Sendable {
        /// The chain; decides the magic of all messages.
        public var network: Network
        /// Who opened the connection, and so who speaks first.
        public var direction: Direction
        /// BIP 14: what we call ourselves; cut to ``P2PVersion/maximumUserAgentLength`` bytes.
        public var userAgent: String
        /// The service bits that we announce. None unless told: AltNet has no blocks of its own and must not attract nodes
        /// that want some. With blocks from the operator's node, ``BitcoinPeerLimits/blockServices``.
        public var services: UInt64
        /// The random number of this connection, other than 0.
        public var nonce: UInt64
        /// Random numbers of our other connections, to recognise ourselves by.
        ///
        /// MUST hold only those of connections with the same exposure as this one: if we hung up on a number that we
        /// used elsewhere, for instance over Tor, whoever had seen it there could find out that both ends are us.
        public var ownNonces: Set<UInt64>
        /// The height of our best header.
        public var startHeight: UInt32
        /// What we say the time is. Bitcoin Core warns its operator when its outbound peers' clocks differ from its
        /// own.
        public var wallClock: WallClockTime
        /// Where we see the other side, as our `version` tells it. Empty unless told. Bitcoin Core tells it of every
        /// address that can be reached from everywhere; those behind a NAT learn from it how the NAT maps them.
        public var receiver: P2PAddressField
        /// What we answer when asked: headers, blocks and peer records; other kinds make no difference here. Peer records
        /// are also asked for and told of only where they are served.
        public var serves: Set<ObjectKind>
        /// Where the random numbers in `ping` start from; unpredictable to the other side.
        public var seed: UInt64
        /// How long to wait for what.
        public var timeouts: Timeouts

        /// What has a default is described at its property.
        public init(
            network: Network,
            direction: Direction,
            nonce: UInt64,
            wallClock: WallClockTime,
            seed: UInt64,
            userAgent: String = "/AltNet:0.1.0/",
            services: UInt64 = 0,
            ownNonces: Set<UInt64> = [],
            startHeight: UInt32 = 0,
            receiver: P2PAddressField = .empty,
            serves: Set<ObjectKind> = [.headers],
            timeouts: Timeouts = Timeouts()
        ) {
            self.network = network
            self.direction = direction
            self.userAgent = userAgent
            self.services = services
            self.nonce = nonce
            self.ownNonces = ownNonces
            self.startHeight = startHeight
            self.wallClock = wallClock
            self.receiver = receiver
            self.serves = serves
            self.seed = seed
            self.timeouts = timeouts
        }
    }

    /// How long a session waits for what.
    public struct Timeouts: Hashable, Sendable {
        /// From the connection to the other side's `verack`. Bitcoin Core allows 60 s.
        public var handshake: Duration
        /// Between the end of one ping and the next. Bitcoin Core's PING_INTERVAL is 2 minutes.
        public var pingInterval: Duration
        /// From a ping to its pong. Bitcoin Core allows 20 minutes because it may have no better peer; we want to know
        /// sooner that a link is dead, yet a node on slow hardware can spend minutes on one block or on writing its
        /// cache: 5 minutes.
        public var pong: Duration
        /// From `getheaders` to `headers`. Bitcoin Core allows 2 minutes. 2000 headers are 162 kB, 30 s even at
        /// 45 kbit/s, and an orchestrator with other links should ask those rather than wait.
        public var headers: Duration
        /// From `getdata` to `block`: 4 MB in 2 minutes is 270 kbit/s, which a Tor circuit usually exceeds.
        public var block: Duration
        /// From `getaddr` to `addr` or `addrv2`. Bitcoin Core sends addresses at random moments 30 s apart on average;
        /// within 2 minutes 98 in 100 answers come.
        public var addresses: Duration
        /// From `getpeerrecs` to `peerrecs`: at most 262 kB, after a query of milliseconds. As long as for headers.
        public var records: Duration
        /// From the other side's request to our answer. Bitcoin Core waits for headers for 2 minutes and then asks
        /// again; after 60 s the request is forgotten. One for peer records after half of ``records``.
        public var peerRequest: Duration

        /// The defaults are the values described at the properties.
        public init(
            handshake: Duration = .seconds(60),
            pingInterval: Duration = .seconds(120),
            pong: Duration = .seconds(300),
            headers: Duration = .seconds(30),
            block: Duration = .seconds(120),
            addresses: Duration = .seconds(120),
            records: Duration = .seconds(30),
            peerRequest: Duration = .seconds(60)
        ) {
            self.handshake = handshake
            self.pingInterval = pingInterval
            self.pong = pong
            self.headers = headers
            self.block = block
            self.addresses = addresses
            self.records = records
            self.peerRequest = peerRequest
        }
    }
}
