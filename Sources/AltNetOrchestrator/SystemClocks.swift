// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import Glibc

extension MonotonicInstant {
    /// The system's monotonic clock.
    static var system: MonotonicInstant {
        MonotonicInstant(nanoseconds: (ContinuousClock.now - Self.epoch).wholeNanoseconds)
    }

    private static let epoch = ContinuousClock.now
}

extension WallClockTime {
    /// The system's calendar clock.
    static var system: WallClockTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return WallClockTime(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
    }
}
