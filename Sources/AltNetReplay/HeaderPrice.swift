// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetWatchdog

/// What it takes to make headers up: all that they prove rests on it.
struct HeaderPrice: CustomStringConvertible {
    /// Headers below this difficulty are taken for cheap. One mining machine of 2024 (2e14 hashes a second) makes a header
    /// of this difficulty in eight months; the main network has been above it since 2017, and above a hundred times as much
    /// since 2024.
    static let dearDifficulty = 1e12
    /// The work of a header of difficulty 1: target 0x1d00ffff.
    private static let unit = CompactTarget(0x1d00_ffff).work.nearest

    private let network: Network
    private let count: Int
    private let easiest: Work
    private let hardest: Work
    /// Of all but the first: that one may be a copy from the real chain, on which forged ones build.
    private let total: Work
    private let times: ClosedRange<UInt32>

    /// `nil` without headers.
    init?(of headers: [Evidence.Header], on network: Network) {
        let works = headers.map(\.header.bits.work)
        let times = headers.map(\.header.time)
        guard let easiest = works.min(), let hardest = works.max(), let first = times.min(), let last = times.max()
        else { return nil }
        self.network = network
        self.count = headers.count
        self.easiest = easiest
        self.hardest = hardest
        self.total = works.dropFirst().reduce(Work.zero) { $0.addingSaturating($1) }
        self.times = first...last
    }

    /// Why anybody can make such headers; `nil` when hardly anybody can.
    var cheapness: String? {
        switch self.network {
        case .regtest: return "on regtest such headers cost nothing to make"
        case .signet: return "on signet such headers cost little to make, and who signed the blocks is not in them"
        case .testnet3, .testnet4: return "on \(self.network.rawValue) such headers cost little to make"
        case .main: break
        }
        let difficulty = self.easiest.nearest / Self.unit
        guard difficulty < Self.dearDifficulty else { return nil }
        return
            "a header of difficulty \(difficulty.inPowersOfTen) costs little to make: the main network has been above "
            + "\(Self.dearDifficulty.inPowersOfTen) since 2017"
    }

    /// One sentence: difficulty, times, and the cost of a forgery.
    var description: String {
        let least = (self.easiest.nearest / Self.unit).inPowersOfTen
        let most = (self.hardest.nearest / Self.unit).inPowersOfTen
        let limit = self.easiest.nearest / self.network.proofOfWorkLimit.work.nearest
        let range = least == most ? "each header is of difficulty \(least)" : "their difficulty is \(least) to \(most)"
        let forging =
            self.count > 1
            ? "; to forge those after the first takes about \(self.total.nearest.inPowersOfTen) hashes" : ""
        return range
            + ", at least \(limit.inPowersOfTen) times the easiest that \(self.network.rawValue) allows\(forging); "
            + "the times in them run from \(Self.day(self.times.lowerBound)) to \(Self.day(self.times.upperBound))"
    }

    private static func day(_ time: UInt32) -> String { EvidenceFile.day(WallClockTime(seconds: Int64(time))) }
}

extension Work {
    /// The nearest number with 53 bits.
    fileprivate var nearest: Double {
        [self.limbs.3, self.limbs.2, self.limbs.1, self.limbs.0].reduce(0) {
            $0 * 18_446_744_073_709_551_616 + Double($1)
        }
    }
}

extension Double {
    /// "1.2e13": two digits say all that a cost needs.
    fileprivate var inPowersOfTen: String {
        guard self > 0, self.isFinite else { return "0" }
        var mantissa = self
        var exponent = 0
        while mantissa >= 10 { (mantissa, exponent) = (mantissa / 10, exponent + 1) }
        while mantissa < 1 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
        var tenths = Int((mantissa * 10).rounded())
        if tenths == 100 { (tenths, exponent) = (10, exponent + 1) }
        let digits = tenths.isMultiple(of: 10) ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
        return exponent == 0 ? digits : "\(digits)e\(exponent)"
    }
}
