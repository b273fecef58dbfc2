// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetWatchdog

/// What injected attacks gave, as `altnet replay --inject --json` prints it.
public struct InjectionReport: Hashable, Sendable, Codable {
    /// Seconds from the beginning of the attack, of those attacks that were noticed.
    public struct Times: Hashable, Sendable, Codable {
        public var median: Double
        public var ninetyPercent: Double
        public var maximum: Double

        init?(_ durations: [Duration]) {
            let sorted = durations.map(\.inSeconds).sorted()
            guard let last = sorted.last else { return nil }
            self.median = sorted[(sorted.count - 1) / 2]
            // The smallest time within which nine of ten are noticed.
            self.ninetyPercent = sorted[min(sorted.count - 1, (sorted.count * 9 + 9) / 10 - 1)]
            self.maximum = last
        }
    }

    public var attack: String
    public var besideHonestLink: Bool
    public var moments: Int
    public var seed: UInt64
    /// How many were noticed by any incident, and by a critical one.
    public var noticed: Int
    public var critical: Int
    public var secondsToNotice: Times?
    public var secondsToCritical: Times?
    /// The kinds of the incident that noticed first.
    public var noticedBy: [String: Int]

    public init(
        _ attack: Injection.Attack, besideHonestLink: Bool, seed: UInt64, outcomes: [Injection.Outcome]
    ) {
        self.attack = attack.rawValue
        self.besideHonestLink = besideHonestLink
        self.moments = outcomes.count
        self.seed = seed
        self.noticed = outcomes.count { $0.noticed != nil }
        self.critical = outcomes.count { $0.critical != nil }
        self.secondsToNotice = Times(outcomes.compactMap(\.noticed))
        self.secondsToCritical = Times(outcomes.compactMap(\.critical))
        self.noticedBy = Dictionary(
            outcomes.flatMap(\.kinds).map { ($0.rawValue, 1) }, uniquingKeysWith: +)
    }
}
