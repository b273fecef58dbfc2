// SPDX-License-Identifier: MIT

/// Why an attempt failed. Both sides tell each other the number; see `docs/protocol/hole-punching.md`.
public enum PunchReason: Error, Hashable, Sendable, CustomStringConvertible {
    /// No good peer told us an address of ours, or there is none for this path.
    case noMapping
    /// The other side named an address that is never connected to.
    case targetRefused
    /// The other side's address is not in the network group that its offer told.
    case notTheOffered
    /// Too many SYNs have gone to the other side's address lately.
    case synBudgetSpent
    /// Neither SYN nor answer came through in time.
    case timedOut
    /// Each SYN was answered with a reset. The other side is told ``timedOut``, as with the next two.
    case refused
    /// What came over the new connection was not the proof.
    case proofFailed
    /// The proof did not come within ``PunchPlan/proofTimeout``.
    case proofLate
    /// The moment was over, by more than ``Coordination/maximumLateness``, when it became known.
    case late
    /// The other side's attempt failed; it says why.
    case peerFailed
    /// The operating system refused: no route, no port.
    case local
    /// A number that this version does not know.
    case other(UInt8)

    private static let numbered: [(UInt8, Self)] = [
        (1, .noMapping), (2, .targetRefused), (3, .notTheOffered), (4, .synBudgetSpent), (5, .timedOut),
        (6, .refused), (7, .proofFailed), (8, .proofLate), (9, .late), (10, .peerFailed), (11, .local),
    ]

    /// The number on the wire; never 0, which means success.
    public var code: UInt8 {
        if case .other(let code) = self { return code }
        return Self.numbered.first { $0.1 == self }?.0 ?? 255
    }

    /// - Parameter code: any number but 0.
    init(code: UInt8) {
        self = Self.numbered.first { $0.0 == code }?.1 ?? .other(code)
    }

    /// All reasons with a name of their own.
    public static var named: [Self] { Self.numbered.map(\.1) }

    /// What the other side is told. How a connection failed tells whether something answers at the address that it
    /// named, and that is none of its business: else it could try out other people's ports through us.
    var told: Self {
        switch self {
        case .refused, .proofFailed, .proofLate: .timedOut
        case .noMapping, .targetRefused, .notTheOffered, .synBudgetSpent, .timedOut, .late, .peerFailed, .local,
            .other:
            self
        }
    }

    /// Whether the same path would fail again at once, however fresh the mappings.
    var isFinal: Bool {
        switch self {
        case .noMapping, .targetRefused, .notTheOffered, .synBudgetSpent, .local: true
        case .timedOut, .refused, .proofFailed, .proofLate, .late, .peerFailed, .other: false
        }
    }

    public var description: String {
        switch self {
        case .noMapping: "no external address could be learnt"
        case .targetRefused: "the other side named an address that is never connected to"
        case .notTheOffered: "the address is not in the network group that was offered for its family, if one was"
        case .synBudgetSpent: "too many SYNs went to that address lately"
        case .timedOut: "no connection came through in time"
        case .refused: "every SYN was answered with a reset"
        case .proofFailed: "the connection did not reach the side that was asked"
        case .proofLate: "the connection stood, and no proof came in time"
        case .late: "the agreed moment was over"
        case .peerFailed: "the other side's attempt failed"
        case .local: "the operating system refused to connect"
        case .other(let code): "reason \(code), which this version does not know"
        }
    }
}

/// Why a side will not coordinate at all.
public enum PunchRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    /// The tokens are spent, or too many coordinate already. Worth another try later.
    case busy
    /// No more punched connections are wanted.
    case noSlots
    /// No path can work between the two.
    case impossible
    /// A relayed connection is not taken.
    case noRelay
    /// The other side's version of the protocol is not spoken.
    case version
    /// The side is shutting down, or its keys change.
    case stopping
    /// A number that this version does not know.
    case other(UInt8)

    private static let numbered: [(UInt8, Self)] = [
        (1, .busy), (2, .noSlots), (3, .impossible), (4, .noRelay), (5, .version), (6, .stopping),
    ]

    /// The number on the wire.
    public var code: UInt8 {
        if case .other(let code) = self { return code }
        return Self.numbered.first { $0.1 == self }?.0 ?? 255
    }

    init(code: UInt8) {
        self = Self.numbered.first { $0.0 == code }?.1 ?? .other(code)
    }

    /// All refusals with a name of their own.
    public static var named: [Self] { Self.numbered.map(\.1) }

    public var description: String {
        switch self {
        case .busy: "busy"
        case .noSlots: "no more punched connections are wanted"
        case .impossible: "no path can work between the two"
        case .noRelay: "a relayed connection is not taken"
        case .version: "the version of the protocol is not spoken"
        case .stopping: "the other side is stopping"
        case .other(let code): "refusal \(code), which this version does not know"
        }
    }
}
