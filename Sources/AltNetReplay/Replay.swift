// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetBitcoin
public import AltNetWatchdog

/// Runs recorded observations through a watchdog, with the time of the recording.
public enum Replay {
    /// A file as it is given: a recording of observations (JSON lines), or arrival times.
    public struct File: Sendable {
        /// A larger file is refused: some years of a busy daemon.
        public static let maximumLength = 1 << 28

        public var name: String
        public var bytes: [UInt8]

        public init(name: String, bytes: [UInt8]) {
            self.name = name
            self.bytes = bytes
        }

        /// A recording begins with a brace.
        var isRecording: Bool {
            self.bytes.first { !" \t\r\n".utf8.contains($0) } == UInt8(ascii: "{")
        }
    }

    /// One run of a daemon.
    public struct Episode: Hashable, Sendable {
        /// With what its watchdog was configured, if that was recorded.
        public var configuration: Watchdog.Configuration?
        /// In the order of time.
        public var observations: [Observation]

        public init(configuration: Watchdog.Configuration? = nil, observations: [Observation] = []) {
            self.configuration = configuration
            self.observations = observations
        }
    }

    /// What is replayed, in the order of time.
    public struct Script: Sendable {
        public var episodes: [Episode]
        /// How many lines of arrival files and recordings it was made of.
        public var lines: Int
        /// The last lines of recordings that were cut off while they were written (a crash, a full disk), and are left
        /// out.
        public var torn: [ReplayError] = []
    }

    /// Reads files. Arrival times become watched links, named by their files; `node` names the one that is the node.
    ///
    /// - Throws: ``ReplayError`` that names the file and the line.
    public static func script(of files: [File], node: String? = nil) throws(ReplayError) -> Script {
        let arrivals = try Self.arrivals(of: files.filter { !$0.isRecording })
        if let node, !arrivals.contains(where: { $0.name == node }) {
            throw ReplayError(file: node, line: 0, "not among the files of arrival times, so it cannot be the node")
        }
        let sources = arrivals.map {
            ArrivalWorld.Source(subject: $0.name == node ? .node : Subject($0.name), file: $0)
        }
        var episodes =
            sources.isEmpty ? [] : ArrivalWorld.episodes(of: sources).map { Episode(observations: $0) }
        var torn: [ReplayError] = []
        var lines = arrivals.reduce(0) { $0 + $1.arrivals.count }
        for file in files where file.isRecording {
            let (recorded, count) = try Self.recording(file, torn: &torn)
            episodes += recorded
            lines += count
        }
        let ordered = episodes.filter { !$0.observations.isEmpty }.sorted { Self.start($0) < Self.start($1) }
        return Script(episodes: ordered, lines: lines, torn: torn)
    }

    /// Lets a watchdog see the episodes one after another, and fires its timers when they are due.
    ///
    /// - Parameters:
    ///   - configuration: for episodes that have none of their own.
    ///   - grace: for all episodes, whatever was recorded; `nil` for that.
    /// - Returns: all incidents, by number, as they ended.
    public static func incidents(
        in script: Script, configuration: Watchdog.Configuration = Watchdog.Configuration(), grace: Duration? = nil
    ) -> [Incident] {
        var incidents: [Int64: Incident] = [:]
        var nextID: Int64 = 1
        for episode in script.episodes {
            var used = episode.configuration ?? configuration
            if let grace { used.grace = grace }
            var run = WatchdogRun(configuration: used, nextID: nextID)
            for observation in episode.observations { run.see(observation) }
            run.stop()
            incidents.merge(run.incidents) { $1 }
            nextID += Int64(run.incidents.count)
        }
        return incidents.values.sorted { $0.id < $1.id }
    }

    static func arrivals(of files: [File]) throws(ReplayError) -> [ArrivalFile] {
        var arrivals: [ArrivalFile] = []
        for file in files {
            guard !arrivals.contains(where: { $0.name == file.name }) else {
                throw ReplayError(file: file.name, line: 0, "given twice")
            }
            arrivals.append(try ArrivalFile(file.bytes, name: file.name))
        }
        return arrivals
    }

    private static func start(_ episode: Episode) -> WallClockTime {
        episode.observations.first?.at ?? WallClockTime(milliseconds: 0)
    }

    private static func recording(
        _ file: File, torn: inout [ReplayError]
    ) throws(ReplayError) -> ([Episode], Int) {
        var episodes = [Episode()]
        var number = 0
        var last = WallClockTime(milliseconds: .min)
        let lines = file.bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for bytes in lines {
            number += 1
            guard bytes.contains(where: { !" \t\r".utf8.contains($0) }) else { continue }
            let line: ObservationLine
            do {
                line = try ObservationLine(bytes, file: file.name, number: number)
            } catch {
                // Only a line that was written as a whole has its end.
                guard number == lines.count else { throw error }
                torn.append(error)
                continue
            }
            switch line {
            case .started(_, let configuration, _): episodes.append(Episode(configuration: configuration))
            case .observation(let observation):
                guard observation.at >= last else {
                    throw ReplayError(file: file.name, line: number, "earlier than the line before")
                }
                episodes[episodes.count - 1].observations.append(observation)
            }
            last = line.at
        }
        return (episodes, number)
    }
}

/// A watchdog with virtual time, and the incidents as a store would have them.
struct WatchdogRun {
    private(set) var incidents: [Int64: Incident] = [:]
    private(set) var now = WallClockTime(milliseconds: 0)
    /// When an incident was critical for the first time in the present run.
    private(set) var firstCritical: WallClockTime?
    private var watchdog: Watchdog
    private var timer: WallClockTime?

    init(configuration: Watchdog.Configuration, nextID: Int64 = 1) {
        self.watchdog = Watchdog(configuration: configuration, nextID: nextID)
    }

    mutating func see(_ observation: Observation) {
        self.wait(until: observation.at)
        self.take(self.watchdog.observe(observation))
    }

    mutating func wait(until moment: WallClockTime) {
        while let timer = self.timer, timer < moment {
            self.now = timer
            self.timer = nil
            self.take(self.watchdog.onTimer(now: timer))
        }
        self.now = moment
    }

    mutating func stop() {
        self.take(self.watchdog.onStop(now: self.now))
    }

    private mutating func take(_ directives: [Watchdog.Directive]) {
        for directive in directives {
            switch directive {
            case .open(let incident), .update(let incident), .close(let incident):
                self.incidents[incident.id] = incident
                if incident.severity == .critical, self.firstCritical == nil { self.firstCritical = self.now }
            case .setTimer(let moment): self.timer = moment
            }
        }
    }
}
