// SPDX-License-Identifier: MIT

public import AltNetBitcoin
public import AltNetWatchdog

extension DaemonConfiguration {
    /// When the watchdog barks.
    public struct Watchdog: Hashable, Sendable {
        /// How long a link or the node may lag behind a proven header before that is an incident.
        public var grace: Duration
        /// How long blocks take on average; `nil` where that is not known, and silence says nothing.
        public var expectedInterval: Duration?
        /// Whether everything that the watchdog sees is written down, for `altnet replay`.
        public var records: Bool

        /// The given values, and the network's for those that are not given.
        public init(
            network: Network,
            grace: Duration = .seconds(30),
            expectedInterval: Duration? = nil,
            records: Bool = false
        ) {
            self.grace = grace
            self.expectedInterval = expectedInterval ?? Self.defaultInterval(network)
            self.records = records
        }

        /// Ten minutes where real miners compete. On test networks blocks come when somebody feels like it.
        static func defaultInterval(_ network: Network) -> Duration? { network == .main ? .seconds(600) : nil }
    }

    /// What is done about incidents.
    public struct PolicySettings: Hashable, Sendable {
        /// The actions per kind of incident, and whether those that change the node are only planned.
        public var policy: Policy
        /// Targets that are opened when an incident calls for further links.
        public var spareLinks: [SpareLink]

        /// The given values, and the defaults of the others.
        public init(policy: Policy = .standard, spareLinks: [SpareLink] = []) {
            self.policy = policy
            self.spareLinks = spareLinks
        }
    }

    /// A target that is opened only when it is needed.
    public struct SpareLink: Hashable, Sendable {
        /// The driver that can reach it.
        public var driver: String
        /// In the form that the driver's `connect` takes.
        public var target: String

        /// From its two parts.
        public init(driver: String, target: String) {
            self.driver = driver
            self.target = target
        }
    }
}

extension Settings {
    func watchdog(_ network: Network) throws(ConfigurationError) -> DaemonConfiguration.Watchdog {
        var watchdog = DaemonConfiguration.Watchdog(network: network)
        watchdog.grace = try self.seconds(
            SettingPath("watchdog", "grace_seconds"),
            default: watchdog.grace,
            in: 0...Self.longest
        )
        let interval = try self.seconds(
            SettingPath("watchdog", "expected_interval_seconds"),
            default: watchdog.expectedInterval ?? .zero,
            in: 0...Self.longest
        )
        watchdog.expectedInterval = interval > .zero ? interval : nil
        watchdog.records = self.flag(SettingPath("watchdog", "record")) ?? watchdog.records
        return watchdog
    }

    func policy() throws(ConfigurationError) -> DaemonConfiguration.PolicySettings {
        var settings = DaemonConfiguration.PolicySettings()
        settings.policy.dryRun = self.flag(SettingPath("policy", "dry_run")) ?? settings.policy.dryRun
        let words = Policy.Action.allCases.map(\.rawValue)
        for kind in Incident.Kind.allCases {
            let path = SettingPath("policy", kind.rawValue)
            guard let names = self.texts(path) else { continue }
            var actions: [Policy.Action] = []
            for name in names {
                guard let action = Policy.Action(rawValue: name) else { throw self.notAmong(words, path, name) }
                if !actions.contains(action) { actions.append(action) }
            }
            settings.policy.table[kind] = actions
        }
        let path = SettingPath("policy", "spare_links")
        for text in self.texts(path) ?? [] {
            let parts = text.split(separator: " ", maxSplits: 1)
            guard parts.count == 2 else {
                throw self.invalid(
                    path,
                    "must name a driver and a target, such as \"bitcoin 203.0.113.5:8333\", unlike \(Readable.quoted(text))"
                )
            }
            settings.spareLinks.append(.init(driver: String(parts[0]), target: String(parts[1])))
        }
        return settings
    }
}
