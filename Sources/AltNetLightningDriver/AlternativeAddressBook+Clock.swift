// SPDX-License-Identifier: MIT

internal import AltNetAlternativeAddresses
internal import AltNetBase
internal import AltNetTransport
internal import Dispatch
internal import FoundationEssentials

extension AlternativeAddressBook {
    /// The system's clocks, or a test's.
    struct Clock: Sendable {
        var now: @Sendable () -> Moment = {
            Moment(
                wall: WallClockTime(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)), monotonic: .now)
        }
        /// Does something when time has passed. A retry that a suspended machine delays is not late for anybody.
        var after: @Sendable (Duration, @escaping @Sendable () -> Void) -> Void = { pause, body in
            let pause = DispatchTimeInterval.nanoseconds(Int(clamping: pause.wholeNanoseconds))
            DispatchQueue.global().asyncAfter(deadline: .now() + pause, execute: body)
        }
    }
}
