// SPDX-License-Identifier: MIT

public import AltNetBase
internal import AltNetBitcoin
public import AltNetWatchdog

internal import func Glibc.log

/// Eclipses a node at random moments of recorded arrival times, and measures when the watchdog notices.
///
/// The node of a file is the operator's node. It lives through ``warmUp`` blocks as recorded, then the attack begins and
/// nothing else reaches it. With an honest link beside, the same file goes on as recorded on that link.
public struct Injection: Sendable {
    public enum Attack: String, Sendable, CaseIterable, Codable {
        /// The node gets nothing more.
        case silence
        /// The node gets the real blocks at a third of the rate: the k-th only when the 3k-th is found.
        case slowFeed = "slow-feed"
        /// The node gets blocks of the attacker's own branch, who has a share of the mining power.
        case minorityBranch = "minority-branch"
    }

    /// What the node has seen before the attack: two days of blocks, as much as the detectors look back.
    public static let warmUp = 288
    /// How long an attack goes on before it counts as not noticed.
    public static let horizon = Duration.seconds(3 * 86_400)
    /// One part in this many of the real blocks reaches a node that is fed slowly.
    public static let slowness = 3
    /// The attacker's share of the mining power: as much as is commonly feared without being half.
    public static let share = 0.3
    /// More moments than this say nothing more.
    public static let maximumMoments = 100_000

    /// What became of one attack.
    public struct Outcome: Hashable, Sendable {
        /// Until the first incident, of either severity; `nil`: not within the horizon.
        public var noticed: Duration?
        /// Until the first critical one.
        public var critical: Duration?
        /// The kinds of the first incident.
        public var kinds: Set<Incident.Kind>
    }

    private let sessions: [[ArrivalFile.Arrival]]
    private let configuration: Watchdog.Configuration

    /// - Throws: ``ReplayError`` when no file has enough consecutive arrivals.
    public init(files: [Replay.File], configuration: Watchdog.Configuration) throws(ReplayError) {
        if let recording = files.first(where: \.isRecording) {
            throw ReplayError(file: recording.name, line: 0, "attacks are injected into arrival times only")
        }
        let sessions = try Replay.arrivals(of: files).flatMap(\.sessions)
        self.sessions = sessions.filter { session in
            guard session.count > Self.warmUp, let last = session.last else { return false }
            return last.at - session[Self.warmUp].at > Self.horizon
        }
        guard !self.sessions.isEmpty else {
            throw ReplayError(
                file: files.first?.name ?? "no file", line: 0,
                "too short: an attack needs \(Self.warmUp) arrivals before it and three days after it")
        }
        self.configuration = configuration
    }

    /// Attacks at some moments, drawn from a seed.
    public func run(_ attack: Attack, moments: Int, seed: UInt64, besideHonestLink: Bool) -> [Outcome] {
        var random = SeededRandom(seed: seed)
        return (0..<moments).map { _ in self.once(attack, &random, besideHonestLink) }
    }

    private func once(_ attack: Attack, _ random: inout SeededRandom, _ besideHonestLink: Bool) -> Outcome {
        let (index, position) = self.place(&random)
        let session = self.sessions[index]
        let gap = session[position + 1].at - session[position].at
        let start = session[position].at + .milliseconds(Int64.random(in: 0...max(0, gap.milliseconds), using: &random))
        let before = session[(position - Self.warmUp)...position]
        let end = start + Self.horizon
        let after = session[(position + 1)...].prefix { $0.at <= end }
        let fed = self.fed(attack, tip: session[position], start: start, end: end, real: Array(after), &random)
        return self.watch(
            node: Array(before) + fed, honest: besideHonestLink ? Array(before) + after : nil, start: start, end: end)
    }

    /// A block of all sessions alike, with enough before and after it.
    private func place(_ random: inout SeededRandom) -> (session: Int, position: Int) {
        let total = self.sessions.reduce(0) { $0 + $1.count }
        while true {
            var pick = Int.random(in: 0..<total, using: &random)
            var index = 0
            while pick >= self.sessions[index].count {
                pick -= self.sessions[index].count
                index += 1
            }
            let session = self.sessions[index]
            guard pick >= Self.warmUp, pick + 1 < session.count, let last = session.last,
                last.at - session[pick].at > Self.horizon
            else { continue }
            return (index, pick)
        }
    }

    /// What reaches the node after the attack began.
    private func fed(
        _ attack: Attack, tip: ArrivalFile.Arrival, start: WallClockTime, end: WallClockTime,
        real: [ArrivalFile.Arrival], _ random: inout SeededRandom
    ) -> [ArrivalFile.Arrival] {
        switch attack {
        case .silence: return []
        case .slowFeed:
            let blocks = real.filter { $0.height > tip.height }
            return blocks.indices.compactMap { index in
                let due = (index + 1) * Self.slowness - 1
                guard due < blocks.count else { return nil }
                return ArrivalFile.Arrival(
                    height: blocks[index].height, hash: blocks[index].hash, at: blocks[due].at)
            }
        case .minorityBranch:
            var blocks: [ArrivalFile.Arrival] = []
            var height = tip.height
            var time = start
            while true {
                let interval =
                    -log(Double.random(in: Double.leastNonzeroMagnitude..<1, using: &random)) * 600 / Self.share
                time = time + .milliseconds(Int64(interval * 1000))
                guard time <= end else { return blocks }
                height += 1
                let hash = BlockHash(number: UInt256(random.next(), random.next(), random.next(), 0))
                blocks.append(ArrivalFile.Arrival(height: height, hash: hash, at: time))
            }
        }
    }

    private func watch(
        node: [ArrivalFile.Arrival], honest: [ArrivalFile.Arrival]?, start: WallClockTime, end: WallClockTime
    ) -> Outcome {
        var sources = [ArrivalWorld.Source(subject: .node, file: ArrivalFile(name: "node", arrivals: node))]
        if let honest {
            sources.append(
                ArrivalWorld.Source(subject: Subject("honest"), file: ArrivalFile(name: "honest", arrivals: honest)))
        }
        let observations = ArrivalWorld.episodes(of: sources, isOpenEnded: true).first ?? []
        var run = WatchdogRun(configuration: self.configuration)
        var outcome = Outcome(noticed: nil, critical: nil, kinds: [])
        for observation in observations {
            run.see(observation)
            Self.note(run, start: start, &outcome)
            if outcome.critical != nil { return outcome }
        }
        run.wait(until: end)
        Self.note(run, start: start, &outcome)
        return outcome
    }

    private static func note(_ run: WatchdogRun, start: WallClockTime, _ outcome: inout Outcome) {
        // What was noticed before the attack began is not its merit.
        for incident in run.incidents.values.sorted(by: { $0.id < $1.id }) where incident.opened >= start {
            if outcome.noticed == nil { outcome.noticed = incident.opened - start }
            if incident.opened - start == outcome.noticed { outcome.kinds.insert(incident.kind) }
        }
        if outcome.critical == nil, let moment = run.firstCritical, moment >= start {
            outcome.critical = moment - start
        }
    }
}

extension Duration {
    fileprivate var milliseconds: Int64 { self.wholeNanoseconds / 1_000_000 }
}
