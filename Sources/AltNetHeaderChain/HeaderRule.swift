// SPDX-License-Identifier: MIT

public import AltNetBitcoin

/// A consensus rule that a header breaks. The words in quotes are Bitcoin Core's names for the same.
public enum HeaderRule: Error, Hashable, Sendable {
    /// The header does not name its predecessor's hash ("prev-blk-not-found").
    case notConnected(expected: BlockHash, found: BlockHash)
    /// `nBits` is negative, zero, too large, or easier than the network allows ("high-hash").
    case invalidBits(CompactTarget)
    /// The header's hash exceeds its own target ("high-hash").
    case insufficientWork(hash: BlockHash)
    /// `nBits` is not what the retarget rule yields ("bad-diffbits").
    case wrongBits(expected: CompactTarget, found: CompactTarget)
    /// The first bits after a trusted start changed by more than a factor of four, the most that one retarget can do.
    case impossibleRetarget(from: CompactTarget, to: CompactTarget)
    /// The time is not after the median of the eleven headers before ("time-too-old").
    case timeTooOld(medianTimePast: UInt32, found: UInt32)
    /// BIP 94: the first header of a period lies more than ten minutes before its predecessor ("time-timewarp-attack").
    case timewarp(earliest: UInt32, found: UInt32)
    /// The time is more than two hours ahead of our clock ("time-too-new"). The only rule that waiting can mend.
    case timeTooNew(latest: Int64, found: UInt32)
    /// The version is below what the height demands ("bad-version": BIP 34, BIP 66, BIP 65).
    case versionTooOld(minimum: Int32, found: Int32)

    /// A short name, stable for programs: Bitcoin Core's.
    public var name: String {
        switch self {
        case .notConnected: "prev-blk-not-found"
        case .invalidBits, .insufficientWork: "high-hash"
        case .wrongBits, .impossibleRetarget: "bad-diffbits"
        case .timeTooOld: "time-too-old"
        case .timewarp: "time-timewarp-attack"
        case .timeTooNew: "time-too-new"
        case .versionTooOld: "bad-version"
        }
    }
}

extension HeaderRule: CustomStringConvertible {
    /// One sentence for people, with the numbers.
    public var description: String {
        switch self {
        case .notConnected(let expected, let found):
            "it builds on \(found), not on the header before it, \(expected)"
        case .invalidBits(let bits):
            "its bits \(bits) are no target that the network allows"
        case .insufficientWork(let hash):
            "its hash \(hash) exceeds the target it claims, so the proof of work is missing"
        case .wrongBits(let expected, let found):
            "its bits are \(found), the retarget rule demands \(expected)"
        case .impossibleRetarget(let from, let to):
            "its bits change from \(from) to \(to), more than the factor of four that one retarget allows"
        case .timeTooOld(let median, let found):
            "its time \(found) is not after the median \(median) of the eleven headers before"
        case .timewarp(let earliest, let found):
            "its time \(found) is before \(earliest), more than ten minutes before the header before it (BIP 94)"
        case .timeTooNew(let latest, let found):
            "its time \(found) is after \(latest), more than two hours in the future"
        case .versionTooOld(let minimum, let found):
            "its version is \(found), this height demands at least \(minimum)"
        }
    }
}

/// A header that was refused: where, and why.
public struct HeaderRejection: Error, Hashable, Sendable, CustomStringConvertible {
    /// The height that the header would have had.
    public let height: UInt32
    /// The position of the header among those that were given, from 0.
    public let position: Int
    public let rule: HeaderRule

    public init(height: UInt32, position: Int, rule: HeaderRule) {
        self.height = height
        self.position = position
        self.rule = rule
    }

    public var description: String { "header at height \(self.height) is refused (\(self.rule.name)): \(self.rule)" }
}
