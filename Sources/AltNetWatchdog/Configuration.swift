// SPDX-License-Identifier: MIT

public import AltNetBase

extension Watchdog {
    /// The parameters that an operator may set. Those of each detector stand with it, with their reasons;
    /// docs/watchdog.md lists all.
    public struct Configuration: Hashable, Sendable {
        /// How long a header may have been proven before whoever has not shown it is reported.
        public var grace: Duration
        /// How long the node may know headers whose blocks it has not validated.
        public var blockGrace: Duration
        /// How much later than the first one a block may be shown before it counts as late. Must exceed the interval at
        /// which links are asked.
        public var lateMargin: Duration
        /// How far apart blocks are meant to come. `nil` where they come by hand or by whim (regtest, the test
        /// networks): then nothing is concluded from silence, slowness or times, and no branch is critical.
        public var expectedInterval: Duration?

        public init(
            grace: Duration = .seconds(30), blockGrace: Duration = .seconds(120), lateMargin: Duration = .seconds(60),
            expectedInterval: Duration? = .seconds(600)
        ) {
            self.grace = grace
            self.blockGrace = blockGrace
            self.lateMargin = lateMargin
            self.expectedInterval = expectedInterval
        }

        /// The detectors with these parameters.
        var detectors: [any Detector] {
            let isWorkDear = self.expectedInterval != nil
            var detectors: [any Detector] = [
                BehindDetector(grace: self.grace),
                CompetingBranchesDetector(mayBeCritical: isWorkDear),
                ReorganisationDetector(mayBeCritical: isWorkDear),
                WithheldBlockDetector(grace: self.blockGrace),
                InvalidBranchDetector(),
                ConcentrationDetector(),
                ClockSkewDetector(),
                LateBlocksDetector(margin: self.lateMargin),
                NodeUnavailableDetector(),
            ]
            if let interval = self.expectedInterval {
                detectors.append(SilenceDetector(interval: interval))
                detectors.append(SlowBlocksDetector(interval: interval))
                detectors.append(ImplausibleTimeDetector(interval: interval))
            }
            return detectors
        }
    }
}
