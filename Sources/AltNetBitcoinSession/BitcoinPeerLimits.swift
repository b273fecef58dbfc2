// SPDX-License-Identifier: MIT

internal import AltNetBase

/// The bounds of a ``BitcoinPeerSession``, with their reasons.
public enum BitcoinPeerLimits {
    /// Peers that speak an older protocol are refused. 70015 came with Bitcoin Core 0.13.2 in January 2017;
    /// what is older hardly exists any more, and what pretends to be is not worth a code path.
    public static let minimumProtocolVersion: Int32 = 70015
    /// `wtxidrelay` and `sendaddrv2` go only to peers from this version on: older software may hang up on messages
    /// that it does not know. Bitcoin Core draws the line in the same place.
    public static let featureNegotiationVersion: Int32 = 70016
    /// The longest payload before the handshake is complete, in bytes. A `version` has less than 400; a stranger
    /// should not make us hold 4 MB.
    public static let handshakePayloadLength = 4096
    /// Requests for headers that wait while one is under way; one locator is up to 3 kB.
    public static let queuedHeaderRequests = 16
    /// Blocks asked for and not received, in either direction: Bitcoin Core's MAX_BLOCKS_IN_TRANSIT_PER_PEER.
    public static let blocksInFlight = 16
    /// Blocks that the other side wants and that we have asked the orchestrator for: each answer may wait in memory with
    /// 4 MB, and one is fetched while the one before it is written.
    public static let servedBlocksAtOnce = 2
    /// Requests of the other side that wait for our answer. Bitcoin Core has one `getheaders` and at most sixteen
    /// blocks under way, AltNet one `getpeerrecs`.
    public static let openPeerRequests = 18
    /// What a node announces that serves blocks: NODE_NETWORK_LIMITED (BIP 159), as the operator's node may be pruned, and
    /// NODE_WITNESS (BIP 144).
    public static let blockServices: UInt64 = 1 << 10 | 1 << 3
    /// The longest unsolicited run of headers that is taken for an announcement: Bitcoin Core's
    /// MAX_BLOCKS_TO_ANNOUNCE. A longer one is an answer that came too late.
    public static let announcedHeaders = 8

    /// Messages that nobody asked for: so many at once, so many per second. An honest node sends a few per minute; on
    /// a regtest chain hundreds of blocks may be announced within a second.
    static let unneededMessages = (burst: 1000.0, perSecond: 10.0)
    /// Bytes of messages that nobody asked for: room for two of the largest messages, such as a block that came after
    /// its deadline, then 20 kB/s.
    static let unneededBytes = (burst: 8_388_608.0, perSecond: 20_000.0)
    /// Addresses that nobody asked for: one full message, then one in ten seconds, as Bitcoin Core accepts them.
    static let unneededAddresses = (burst: 1000.0, perSecond: 0.1)
    /// Pings: Bitcoin Core sends one in two minutes; some clients one per second.
    static let pings = (burst: 60.0, perSecond: 2.0)
    /// `getheaders` that we answer, each with up to 162 kB. A node that starts from nothing needs about 1000 for the
    /// two passes of its headers sync, and its next one always waits for our last answer.
    static let servedHeaderRequests = (burst: 1200.0, perSecond: 1.0)
    /// Blocks that we answer with, where we serve them: as many at once as NODE_NETWORK_LIMITED promises to have.
    static let servedBlocks = (burst: 288.0, perSecond: 1.0)
    /// `getpeerrecs` that we answer, each with up to 262 kB: nobody needs all that we know at once.
    static let servedRecordRequests = (burst: 8.0, perSecond: 1.0)
}

/// Lets so much through at once and so much per second.
struct TokenBucket: Hashable, Sendable {
    let burst: Double
    let perSecond: Double
    private var tokens: Double
    /// When the tokens were last counted; `nil` before the first use.
    private var counted: MonotonicInstant?

    init(_ limit: (burst: Double, perSecond: Double)) {
        self.burst = limit.burst
        self.perSecond = limit.perSecond
        self.tokens = limit.burst
    }

    /// Takes tokens if there are enough; otherwise takes none and returns `false`.
    mutating func take(_ count: Double = 1, now: MonotonicInstant) -> Bool {
        if let counted = self.counted, now > counted {
            self.tokens = min(self.burst, self.tokens + (now - counted).inSeconds * self.perSecond)
        }
        self.counted = now
        guard self.tokens >= count else { return false }
        self.tokens -= count
        return true
    }

    /// Takes as many whole tokens as there are, at most `count`.
    mutating func takeSome(of count: Int, now: MonotonicInstant) -> Int {
        _ = self.take(0, now: now)
        let taken = min(count, Int(self.tokens))
        self.tokens -= Double(taken)
        return taken
    }
}

/// The budget for messages that nobody asked for.
struct UnneededTraffic: Hashable, Sendable {
    private var messages = TokenBucket(BitcoinPeerLimits.unneededMessages)
    private var bytes = TokenBucket(BitcoinPeerLimits.unneededBytes)
    private var addresses = TokenBucket(BitcoinPeerLimits.unneededAddresses)

    mutating func take(bytes count: Int, now: MonotonicInstant) -> Bool {
        self.messages.take(now: now) && self.bytes.take(Double(count), now: now)
    }

    /// How many of so many addresses may pass.
    mutating func takeAddresses(_ count: Int, now: MonotonicInstant) -> Int {
        self.addresses.takeSome(of: count, now: now)
    }
}
