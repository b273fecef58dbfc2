// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetWatchdog

/// Turns arrival times of one or more nodes into what a daemon that watched them would have observed.
///
/// What the files do not have is made up, and said here:
///
/// - A line says that its block became the node's tip then. A block's predecessor is the last block of the height below
///   in the same file, or of any file.
/// - Headers: the predecessor, the block's hash as the root, the arrival as the time, constant bits. They do not hash to
///   the block's hash, so nothing that is replayed can be exported as a proof.
/// - Work: every block is worth the same.
/// - A node whose tip is a block has all blocks before it: missing ones are proven with it.
/// - A line whose block the node's chain already contains, or that has less work, is not a move.
/// - A node's link is open from its first arrival to its last, apart from the times when its recorder was off.
struct ArrivalWorld {
    /// The bits of every made-up header: a difficulty of the year 2023.
    private static let bits = CompactTarget(0x1704_ed7f)
    /// The work of every block.
    private static let workOfBlock = ArrivalWorld.bits.work

    /// One of the files, and whose tips it has.
    struct Source {
        var subject: Subject
        var file: ArrivalFile
    }

    private struct Mark: Hashable {
        var height: UInt32
        var hash: BlockHash
    }

    private struct Entry {
        var source: Int
        var mark: Mark
        var at: WallClockTime
        /// Whether the link opens before it.
        var opens = false
        /// Whether the link closes after it.
        var closes = false
    }

    private var parents: [Mark: BlockHash] = [:]
    private var proved: Set<Mark> = []
    private var best: ChainPoint?
    /// The height of the first block of the episode.
    private var lowest: UInt32?
    private var shown: [Int: Mark] = [:]
    private var openLinks: Set<Int> = []
    private var episode: [Observation] = []
    private var episodes: [[Observation]] = []

    /// The observations, in episodes: between two of them nobody was watched, so the daemon did not run.
    ///
    /// - Parameter isOpenEnded: whether those who show nothing more at the end are still there, and silent.
    static func episodes(of sources: [Source], isOpenEnded: Bool = false) -> [[Observation]] {
        var world = ArrivalWorld()
        world.findParents(sources)
        var entries: [Entry] = []
        for (index, source) in sources.enumerated() {
            let sessions = source.file.sessions
            for (number, session) in sessions.enumerated() {
                let staysOpen = isOpenEnded && number == sessions.count - 1
                for (position, arrival) in session.enumerated() {
                    entries.append(
                        Entry(
                            source: index, mark: Mark(height: arrival.height, hash: arrival.hash), at: arrival.at,
                            opens: position == 0, closes: position == session.count - 1 && !staysOpen))
                }
            }
        }
        entries.sort { ($0.at, $0.mark.height, $0.source) < ($1.at, $1.mark.height, $1.source) }
        for entry in entries { world.take(entry, sources[entry.source].subject) }
        if !world.episode.isEmpty { world.end() }
        return world.episodes
    }

    private mutating func findParents(_ sources: [Source]) {
        var anywhere: [UInt32: BlockHash] = [:]
        for source in sources { for arrival in source.file.arrivals { anywhere[arrival.height] = arrival.hash } }
        for source in sources {
            var last: [UInt32: BlockHash] = [:]
            var later: [(Mark, UInt32)] = []
            for arrival in source.file.arrivals {
                let mark = Mark(height: arrival.height, hash: arrival.hash)
                last[arrival.height] = arrival.hash
                guard self.parents[mark] == nil, arrival.height > 0 else { continue }
                if let parent = last[arrival.height - 1] {
                    self.parents[mark] = parent
                } else {
                    later.append((mark, arrival.height - 1))
                }
            }
            for (mark, height) in later where self.parents[mark] == nil {
                self.parents[mark] = last[height] ?? anywhere[height]
            }
        }
    }

    private mutating func take(_ entry: Entry, _ subject: Subject) {
        if entry.opens {
            self.openLinks.insert(entry.source)
            self.shown[entry.source] = nil
            self.open(subject, entry)
        }
        self.prove(entry.mark, by: subject, at: entry.at)
        if self.isMove(entry) {
            self.shown[entry.source] = entry.mark
            self.see(.shows(subject, Self.point(entry.mark)), at: entry.at)
        }
        if entry.closes {
            self.openLinks.remove(entry.source)
            let off = NodeFacts(
                reach: .unreachable("the recorder was off"), isSyncing: false, blocks: entry.mark.height,
                headers: entry.mark.height)
            self.see(subject.isLink ? .closed(subject) : .node(off), at: entry.at)
            if self.openLinks.isEmpty { self.end() }
        }
    }

    private mutating func open(_ subject: Subject, _ entry: Entry) {
        guard subject.isLink else {
            let height = entry.mark.height
            return self.see(
                .node(NodeFacts(reach: .reachable, isSyncing: false, blocks: height, headers: height)), at: entry.at)
        }
        self.see(
            .opened(
                subject,
                LinkFacts(
                    driver: "replay", isTarget: true, operatorKey: subject.name, networkGroup: subject.name,
                    exposure: "")), at: entry.at)
    }

    /// The watchdog of the next episode knows nothing of this one.
    private mutating func end() {
        self.episodes.append(self.episode)
        self.episode = []
        self.proved = []
        self.best = nil
        self.lowest = nil
        self.shown = [:]
    }

    private mutating func prove(_ mark: Mark, by subject: Subject, at time: WallClockTime) {
        var missing: [Mark] = []
        var place = mark
        while !self.proved.contains(place) {
            missing.append(place)
            // Before the first block of an episode nothing is known.
            guard let lowest = self.lowest, place.height > lowest, let parent = self.parents[place] else { break }
            place = Mark(height: place.height - 1, hash: parent)
        }
        self.lowest = self.lowest ?? mark.height
        for mark in missing.reversed() {
            self.proved.insert(mark)
            let header = BlockHeader(
                version: 0x2000_0000, previous: self.parents[mark] ?? .zero, merkleRoot: mark.hash,
                time: UInt32(clamping: time.seconds), bits: Self.bits, nonce: 0)
            let point = Self.point(mark)
            self.see(.proved(header, point, by: subject), at: time)
            if self.best.map({ $0.work < point.work }) ?? true {
                self.best = point
                self.see(.best(point), at: time)
            }
        }
    }

    private func isMove(_ entry: Entry) -> Bool {
        guard let shown = self.shown[entry.source] else { return true }
        return entry.mark.height >= shown.height && entry.mark != shown
    }

    private mutating func see(_ event: Observation.Event, at time: WallClockTime) {
        self.episode.append(Observation(at: time, event))
    }

    private static func point(_ mark: Mark) -> ChainPoint {
        ChainPoint(hash: mark.hash, height: mark.height, work: Self.workOfBlock &* UInt64(mark.height))
    }
}
