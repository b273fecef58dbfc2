// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin

// How numbers are told to people.

extension BinaryInteger {
    /// "1 block", "2 blocks".
    func counted(_ noun: String) -> String { "\(self) \(noun)\(self == 1 ? "" : "s")" }
}

extension Double {
    /// "37 %", and "under 1 %" rather than zero.
    var asPercent: String {
        let percent = Int((self * 100).rounded())
        return percent == 0 && self > 0 ? "under 1 %" : "\(percent) %"
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
