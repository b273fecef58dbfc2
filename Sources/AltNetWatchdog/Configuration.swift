// SPDX-License-Identifier: MIT

public import AltNetBase

extension Watchdog {
    /// The parameters of all detectors. docs/watchdog.md explains each.
    public struct Configuration: Hashable, Sendable {
        /// How long a header may have been proven before whoever has not shown it is reported.
        public var grace: Duration
        /// How far apart blocks are meant to come. `nil` where they come by hand or by whim (regtest, the test
        /// networks): then nothing is concluded from silence, slowness or times.
        public var expectedInterval: Duration?

        public init(grace: Duration = .seconds(30), expectedInterval: Duration? = .seconds(600)) {
            self.grace = grace
            self.expectedInterval = expectedInterval
        }

        /// The detectors with these parameters.
        var detectors: [any Detector] {
            [BehindDetector(grace: self.grace)]
        }
    }
}
