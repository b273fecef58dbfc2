// SPDX-License-Identifier: MIT

internal import AltNetBase

internal import func Glibc.exp
internal import func Glibc.log

/// What chance explains. Blocks are found independently of each other, so the times between them follow an exponential
/// distribution (a Poisson process), whatever was before.
enum Chance {
    /// The natural logarithm.
    static func logarithm(_ value: Double) -> Double { log(value) }

    /// e to the power of minus this.
    static func inverse(ofExponential exponent: Double) -> Double { exp(-exponent) }

    /// How likely honest mining at some share of the meant rate is to leave a gap of at least this length after a block.
    static func ofSilence(_ silence: Duration, interval: Duration, rate: Double) -> Double {
        exp(-rate * silence.divided(by: interval))
    }

    /// The silence that has this probability.
    static func silence(of probability: Double, interval: Duration, rate: Double) -> Duration {
        .milliseconds(Int64((-log(probability) / rate * interval.inSeconds * 1000).rounded(.up)))
    }

    /// How many years lie between two events, each of which follows a block with this probability.
    static func years(between probability: Double, interval: Duration) -> Double {
        let secondsOfYear = 31_557_600.0
        return probability > 0 ? interval.inSeconds / secondsOfYear / probability : .infinity
    }

    /// How likely at least `hits` of `tries` fair coins show heads: the sign test.
    static func ofHeads(_ hits: Int, of tries: Int) -> Double {
        var sum = 0.0
        var combinations = 1.0
        for count in 0...tries {
            if count >= hits { sum += combinations }
            combinations = combinations * Double(tries - count) / Double(count + 1)
        }
        return sum / exp(Double(tries) * log(2))
    }
}
