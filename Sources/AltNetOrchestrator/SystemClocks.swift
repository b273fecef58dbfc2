// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import FoundationEssentials

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
        WallClockTime(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
    }
}
