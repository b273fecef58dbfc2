// SPDX-License-Identifier: MIT

import AltNetBase
import Testing

@Suite("Time")
struct TimeTests {
    @Test("adds and subtracts")
    func arithmetic() {
        let instant = MonotonicInstant.zero + .milliseconds(1500)
        #expect(instant.nanoseconds == 1_500_000_000)
        #expect(instant - .zero == .seconds(1.5))
        #expect(.zero - instant == .seconds(-1.5))
        #expect(.zero < instant)
        let time = WallClockTime(seconds: 1_700_000_000) + .milliseconds(1999)
        #expect(time.milliseconds == 1_700_000_001_999)
        #expect(time.seconds == 1_700_000_001)
        #expect(time - WallClockTime(seconds: 1_700_000_000) == .milliseconds(1999))
        #expect(time + .seconds(-2) < time)
    }

    @Test("stays at the ends instead of overflowing")
    func saturation() {
        let last = MonotonicInstant(nanoseconds: .max)
        let first = MonotonicInstant(nanoseconds: .min)
        #expect(last + .nanoseconds(1) == last)
        #expect(first + .nanoseconds(-1) == first)
        #expect(MonotonicInstant.zero + .seconds(Int64.max) == last)
        #expect(last - first == .nanoseconds(Int64.max))
        #expect(first - last == .nanoseconds(Int64.min))
        #expect(WallClockTime(seconds: .max).milliseconds == .max)
        #expect(WallClockTime(seconds: .min).milliseconds == .min)
        #expect(WallClockTime(milliseconds: .max) + .seconds(1) == WallClockTime(milliseconds: .max))
        #expect(WallClockTime(milliseconds: .min) + .seconds(-1) == WallClockTime(milliseconds: .min))
        #expect(WallClockTime(milliseconds: .max) - WallClockTime(milliseconds: -1) == .milliseconds(Int64.max))
    }

    @Test(
        "counts whole nanoseconds",
        arguments: [
            (.zero, 0), (.nanoseconds(1), 1), (.nanoseconds(-1), -1), (.seconds(2), 2_000_000_000),
            (.milliseconds(-1500), -1_500_000_000), (.seconds(Int64.max), .max), (.seconds(Int64.min), .min),
            (Duration(secondsComponent: 9_223_372_036, attosecondsComponent: 900_000_000_000_000_000), .max),
        ] as [(Duration, Int64)])
    func nanoseconds(duration: Duration, nanoseconds: Int64) {
        #expect(duration.wholeNanoseconds == nanoseconds)
    }

    @Test("tells seconds to people")
    func seconds() {
        #expect(Duration.milliseconds(2500).inSeconds == 2.5)
    }
}
