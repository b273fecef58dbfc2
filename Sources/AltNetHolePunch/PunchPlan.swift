// SPDX-License-Identifier: MIT

public import AltNetBase

/// One attempt to connect, as both sides agreed on it.
public struct PunchPlan: Hashable, Sendable {
    /// At most this many SYNs go to one address and port in one attempt, retransmissions and new tries after a reset
    /// included: what a third party gets to see when the other side lies about its address. A single plan may have
    /// fewer, see ``syns``.
    public static let synBudget = 8
    /// Where only one side connects, to a port that is open: against loss, and nothing else. One of them is for a second
    /// connection that starts moments later.
    public static let synBudgetToListener = 4
    /// Where a SYN has to pass our own NAT and need not arrive: one, and another should the first be lost on the way there.
    public static let synBudgetOfDoor = 2
    /// From the moment until a connection stands. The kernel's second SYN goes out after one second, and arrives half a
    /// round trip later; a third would come after three, when a new attempt with fresh mappings is worth more.
    public static let connectTimeout: Duration = .seconds(3)
    /// From the moment at which the connection stands until the proof is there: enough for a few retransmissions.
    public static let proofTimeout: Duration = .seconds(5)

    /// The number of the attempt, from 1.
    public let attempt: UInt8
    public let path: PunchPath
    public let role: PunchRole
    /// The other side. The port is 0 where only it connects.
    public let remote: ExternalEndpoint
    /// When the first SYN leaves; a listener stands before. Where ``isDoor``, ours leaves at once, to be there first.
    public let at: MonotonicInstant
    /// When to give up if no connection stands.
    public let deadline: MonotonicInstant
    /// Whether we connect.
    public let dials: Bool
    /// Whether we accept a connection at the port that was told. When both sides dial they listen too: a SYN that comes
    /// between two tries is answered.
    public let listens: Bool
    /// Whether the other side comes from a port that nobody knows: we connect to what it told only so that our NAT lets
    /// its address in, and accept from any port of it.
    public let isDoor: Bool
    /// What passes before Bitcoin's protocol begins. The first connection that stands is the one that is proved, and no
    /// other is accepted beside it.
    public let proof: PunchProof

    /// How many SYNs may go to ``remote`` in this attempt.
    public var syns: Int { Self.syns(dials: self.dials, listens: self.listens, isDoor: self.isDoor) }

    static func syns(dials: Bool, listens: Bool, isDoor: Bool) -> Int {
        if isDoor { return Self.synBudgetOfDoor }
        return dials && listens ? Self.synBudget : Self.synBudgetToListener
    }

    /// How a side goes on after a reset. NATs that answer an early SYN with a reset forget the mapping, so that the tries
    /// of both sides have to meet. With one side trying without a pause and the other spread, some pair of tries meets
    /// although the clocks are off by several round trips; with equal rhythms, they could miss each other for ever.
    public var isDense: Bool { self.role == .initiator }
}

/// A connection that stands and has proved itself.
public struct PunchSuccess: Hashable, Sendable {
    /// The other end of it, as the socket has it.
    public var peer: ExternalEndpoint
    /// When the connection stood: when `connect` or `accept` returned.
    public var stoodAt: MonotonicInstant
    /// The round trip of the new connection, where it was measured: the initiator's, from its proof to the answer.
    public var roundTrip: Duration?

    public init(peer: ExternalEndpoint, stoodAt: MonotonicInstant, roundTrip: Duration?) {
        self.peer = peer
        self.stoodAt = stoodAt
        self.roundTrip = roundTrip
    }
}
