// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin

// How numbers are told to people.

extension BinaryInteger {
    /// "1 block", "2 blocks".
    func counted(_ noun: String) -> String { "\(self.grouped) \(noun)\(self == 1 ? "" : "s")" }

    /// "12,345".
    var grouped: String {
        let digits = Array(String(self.magnitude))
        var text = self < 0 ? "-" : ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index).isMultiple(of: 3) { text += "," }
            text.append(digit)
        }
        return text
    }
}

extension Double {
    /// "37 %", and "under 1 %" rather than zero.
    var asPercent: String {
        let percent = Int((self * 100).rounded())
        return percent == 0 && self > 0 ? "under 1 %" : "\(percent) %"
    }

    /// A probability as "1 in 1,234".
    var asOdds: String {
        guard self > 0, self <= 1 else { return self <= 0 ? "less than 1 in a billion" : "1 in 1" }
        let odds = 1 / self
        return odds > 1e9 ? "less than 1 in a billion" : "1 in \(Int(odds.roundedToTwoDigits).grouped)"
    }

    /// A number of years between two events as "once in 3 months".
    var asFrequency: String {
        switch self {
        case ..<(1 / 52.0): "several times a week"
        case ..<(1 / 12.0): "once in \(Int((self * 52).rounded(.down)).counted("week"))"
        case ..<1: "once in \(Int((self * 12).rounded(.down)).counted("month"))"
        case ..<1e9: "once in \(Int(self.roundedToTwoDigits).counted("year"))"
        default: "once in more than a billion years"
        }
    }

    /// Two digits say all that an estimate knows.
    private var roundedToTwoDigits: Double {
        var scale = 1.0
        while self / scale >= 100 { scale *= 10 }
        return (self / scale).rounded(.down) * scale
    }
}

extension Duration {
    /// "1 hour 40 minutes", "45 seconds": the two largest parts.
    var inWords: String {
        let seconds = max(0, self.wholeNanoseconds / 1_000_000_000)
        let parts = [
            (seconds / 86_400, "day"), (seconds / 3600 % 24, "hour"), (seconds / 60 % 60, "minute"),
            (seconds % 60, "second"),
        ]
        guard let first = parts.firstIndex(where: { $0.0 > 0 }) else { return "no time" }
        return parts[first...].prefix(2).filter { $0.0 > 0 }.map { $0.0.counted($0.1) }.joined(separator: " ")
    }

    /// How many times another fits into this.
    func divided(by other: Duration) -> Double { self.inSeconds / other.inSeconds }
}

extension Sequence<String> {
    /// "a, b and c".
    var listed: String {
        let all = Array(self)
        guard let last = all.last, all.count > 1 else { return all.first ?? "nobody" }
        return all.dropLast().joined(separator: ", ") + " and " + last
    }
}

extension Work {
    /// This work as a share of another, from 0 to 1.
    func share(of whole: Work) -> Double {
        guard whole != .zero else { return 0 }
        return min(1, self.approximation / whole.approximation)
    }

    /// The nearest number with 53 bits.
    var approximation: Double {
        let limbs = [self.limbs.0, self.limbs.1, self.limbs.2, self.limbs.3]
        return limbs.reversed().reduce(0) { $0 * 18_446_744_073_709_551_616 + Double($1) }
    }
}
