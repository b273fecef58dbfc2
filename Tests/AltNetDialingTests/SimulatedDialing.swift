// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetDialing
import AltNetPeerRecords

/// A world of peers that answer, refuse, or do neither, and of callers who come, go and learn more.
///
/// A history is a list of actions that mean something in every state of the world, so that any part of it can be left
/// out: that is how a failure is made small. What becomes of an attempt depends on the seed and on its address, not on
/// what happened before.
struct SimulatedDialing {
    enum Action {
        case wait(milliseconds: Int)
        case request(peer: Int, policy: Int, addresses: [Int], insists: Bool)
        /// The one of that place among those that wait.
        case cancel(Int)
        case learn(peer: Int, addresses: [Int])
        /// The peer store was asked again, and knows these and no others.
        case stored(peer: Int, addresses: [Int])
        case inbound(peer: Int, address: Int)
        /// The connection of that place among those that were handed out.
        case hangUp(Int)
    }

    /// What must never happen.
    struct Violation: Error, CustomStringConvertible {
        let description: String
    }

    static let policies: [DialPolicy] = [.standard, .certifiedOnly, .privateOnly] + Self.more
    private static let more = [["only user"], ["without dht", "rank latency"]].compactMap {
        try? DialPolicy(stages: $0)
    }
    static let peers = 5
    static let addressesPerPeer = 12

    private enum Socket { case opening, open, closed, failed }

    private struct Waiting {
        let peer: PeerID
        let policy: DialPolicy
        let since: MonotonicInstant
    }

    /// All that was said of an address: by callers, which adds up, and by the store, whose last word counts.
    private struct Opinion {
        var candidate: DialCandidate
        var told: AddressSources = []
        var stored: AddressSources = []

        init(_ candidate: DialCandidate, isStored: Bool) {
            self.candidate = candidate
            self.add(candidate, isStored: isStored)
        }

        mutating func add(_ other: DialCandidate, isStored: Bool) {
            if isStored { self.stored = other.known.sources } else { self.told.formUnion(other.known.sources) }
            self.settle(exposure: max(self.candidate.exposure, other.exposure))
        }

        mutating func forgetStored() {
            self.stored = []
            self.settle(exposure: self.candidate.exposure)
        }

        /// All sources, and the worse exposure.
        private mutating func settle(exposure: DialExposure) {
            let known = self.candidate.known
            self.candidate = DialCandidate(
                KnownAddress(
                    address: known.address, sources: self.told.union(self.stored), firstSeen: known.firstSeen,
                    lastSeen: known.lastSeen, expiry: nil), exposure: exposure)
        }
    }

    private struct Place: Hashable {
        let peer: PeerID
        let address: Multiaddress
    }

    private struct Attempt {
        let peer: PeerID
        let address: Multiaddress
        let since: MonotonicInstant
        /// Attempts at the address before this one.
        let ordinal: UInt64
        var socket = Socket.opening
        var owners = 0
    }

    private let seed: UInt64
    private let settings: Dialing.Settings
    private var machine: Dialing
    private var now = MonotonicInstant.zero
    private var timer: MonotonicInstant?
    private var lastRequest: UInt64 = 0
    private var waiting: [UInt64: Waiting] = [:]
    private var attempts: [Dialing.AttemptID: Attempt] = [:]
    /// Those of them that are sockets: opening or open.
    private var sockets: Set<Dialing.AttemptID> = []
    private var ordinals: [Place: UInt64] = [:]
    /// What will come of attempts. A success may come although the attempt was closed: it was on its way.
    private var results: [(time: MonotonicInstant, attempt: Dialing.AttemptID, isSuccess: Bool)] = []
    /// All that dials were told of an address since somebody began to wait for its peer; of connections, since they
    /// stand.
    private var told: [PeerID: [Multiaddress: Opinion]] = [:]
    /// What is known of the addresses of connections that were handed out.
    private var standing: [Dialing.AttemptID: Opinion] = [:]
    /// The same for each peer, told and stored; made once, because reading addresses takes most of the time.
    private var candidates: [[Int: DialCandidate]] = [[:], [:]]
    /// How often what happened, to see that the histories are not idle.
    private(set) var counts: [String: Int] = [:]

    static func actions(_ seed: UInt64, count: Int) -> [Action] {
        var random = SeededRandom(seed: seed)
        return (0..<count).map { _ in
            let peer = Int.random(in: 0..<Self.peers, using: &random)
            let some = (0..<Int.random(in: 0...6, using: &random)).map { _ in
                Int.random(in: 0..<4 * Self.addressesPerPeer, using: &random)
            }
            switch Int.random(in: 0..<20, using: &random) {
            case 0..<6: return .wait(milliseconds: [0, 1, 40, 250, 900, 7_000].randomElement(using: &random) ?? 0)
            case 6..<13:
                let policy = Int.random(in: 0..<Self.policies.count, using: &random)
                return .request(peer: peer, policy: policy, addresses: some, insists: Bool.random(using: &random))
            case 13..<15: return .cancel(Int.random(in: 0..<100, using: &random))
            case 15..<17: return .learn(peer: peer, addresses: some)
            case 17: return .stored(peer: peer, addresses: some)
            case 18: return .inbound(peer: peer, address: Int.random(in: 0..<48, using: &random))
            default: return .hangUp(Int.random(in: 0..<100, using: &random))
            }
        }
    }

    init(_ seed: UInt64) {
        self.seed = seed
        var random = SeededRandom(seed: seed ^ 0xd1a1)
        self.settings = Dialing.Settings(
            attemptTimeout: .seconds(10), attempts: Int.random(in: 1...8, using: &random),
            attemptsPerPeer: Int.random(in: 1...4, using: &random))
        self.machine = Dialing(self.settings, random: random)
    }

    /// Plays the actions, and waits until nothing is under way any more.
    mutating func play(_ actions: [Action]) throws {
        for action in actions {
            try self.perform(action)
            try self.check()
        }
        try self.wait(self.settings.requestTimeout)
        try self.require(self.waiting.isEmpty, "requests never ended: \(self.waiting.keys.sorted())")
        try self.require(self.machine.requestCount == 0, "requests are left over in the machine")
        try self.require(self.machine.attemptCount == 0, "attempts are left over in the machine")
        // What was on its way when it was closed arrives in the end.
        try self.wait(.seconds(60))
        for (id, attempt) in self.attempts {
            try self.require(attempt.socket != .opening, "nobody answered or closed attempt \(id.rawValue)")
            try self.require(attempt.socket != .open || attempt.owners > 0, "leaked socket \(id.rawValue)")
        }
    }

    // MARK: - What happens

    private mutating func perform(_ action: Action) throws {
        switch action {
        case .wait(let milliseconds): try self.wait(.milliseconds(milliseconds))
        case .request(let peer, let policy, let addresses, let insists):
            let peer = try Self.peer(peer)
            let candidates = try addresses.map { try self.candidate($0) }
            self.tell(peer, candidates, isStored: false, isForRequest: true)
            self.lastRequest += 1
            let policy = Self.policies[policy]
            self.waiting[self.lastRequest] = Waiting(peer: peer, policy: policy, since: self.now)
            try self.carryOut(
                self.machine.onRequest(
                    .init(self.lastRequest), peer: peer, policy: policy, candidates: candidates,
                    ignoresBackOff: insists, now: self.now))
        case .cancel(let place):
            let ids = self.waiting.keys.sorted()
            guard !ids.isEmpty else { return }
            let id = ids[place % ids.count]
            self.waiting[id] = nil
            self.counts["cancelled", default: 0] += 1
            try self.carryOut(self.machine.onCancel(.init(id), now: self.now))
        case .learn(let peer, let addresses):
            let peer = try Self.peer(peer)
            let candidates = try addresses.map { try self.candidate($0) }
            self.tell(peer, candidates, isStored: false, isForRequest: false)
            try self.carryOut(self.machine.onCandidates(peer, candidates, now: self.now))
        case .stored(let peer, let addresses):
            let peer = try Self.peer(peer)
            let candidates = try addresses.map { try self.candidate($0, isStored: true) }
            self.forgetStored(of: peer, but: Set(candidates.map(\.address)))
            self.tell(peer, candidates, isStored: true, isForRequest: false)
            try self.carryOut(self.machine.onStored(peer, candidates, now: self.now))
        case .inbound(let peer, let address):
            let peer = try Self.peer(peer)
            let candidate = try self.candidate(address)
            let (id, directives) = self.machine.onOpened(peer, candidate, now: self.now)
            // Its owner is whoever listens.
            self.attempts[id] = Attempt(
                peer: peer, address: candidate.address, since: self.now, ordinal: 0, socket: .open, owners: 1)
            self.sockets.insert(id)
            self.standing[id] = Opinion(candidate, isStored: false)
            try self.carryOut(directives)
        case .hangUp(let place):
            let ids = self.standing.keys.sorted()
            guard !ids.isEmpty else { return }
            let id = ids[place % ids.count]
            self.standing[id] = nil
            self.become(.closed, id)
            self.machine.onClosed(id)
        }
    }

    private mutating func wait(_ duration: Duration) throws {
        let end = self.now + duration
        while true {
            let result = self.results.indices.min { self.results[$0].time < self.results[$1].time }
            let resultTime = result.map { self.results[$0].time }
            guard let next = [resultTime, self.timer].compactMap(\.self).min(), next <= end else { break }
            self.now = max(self.now, next)
            if let result, resultTime == next {
                try self.arrive(self.results.remove(at: result))
            } else {
                self.timer = nil
                try self.carryOut(self.machine.onTimer(now: self.now))
            }
            try self.check()
        }
        self.now = end
    }

    private mutating func arrive(
        _ result: (time: MonotonicInstant, attempt: Dialing.AttemptID, isSuccess: Bool)
    ) throws {
        guard let attempt = self.attempts[result.attempt] else { return }
        if result.isSuccess {
            if attempt.socket == .closed { self.counts["answers after the end", default: 0] += 1 }
            self.become(.open, result.attempt)
            try self.carryOut(self.machine.onConnected(result.attempt, now: self.now))
        } else {
            if attempt.socket == .opening { self.become(.failed, result.attempt) }
            let failure: Dialing.AttemptFailure = self.dice(attempt, 3) % 5 == 0 ? .local : .remote
            try self.carryOut(self.machine.onFailed(result.attempt, failure, now: self.now))
        }
    }

    private mutating func carryOut(_ directives: [Dialing.Directive]) throws {
        for directive in directives {
            switch directive {
            case .open(let id, let peer, let address): try self.open(id, peer, address)
            case .close(let id, let reason):
                let attempt = try self.attempt(id)
                let isTooSlow = attempt.socket == .opening && self.now - attempt.since >= self.settings.attemptTimeout
                try self.require(reason == .unwanted || isTooSlow, "closed for the wrong reason: \(id.rawValue)")
                try self.require(attempt.owners == 0, "closed what somebody was given: \(id.rawValue)")
                self.become(.closed, id)
                // Half of what was on its way arrives nevertheless.
                if self.dice(attempt, 2) % 2 == 0 { self.results.removeAll { $0.attempt == id } }
            case .succeeded(let request, let id):
                let attempt = try self.attempt(id)
                let waiting = try self.take(request.rawValue)
                try self.require(attempt.socket == .open, "given a socket that is not open: \(id.rawValue)")
                try self.require(attempt.peer == waiting.peer, "given a connection to another peer")
                let opinion = self.standing[id] ?? self.told[attempt.peer]?[attempt.address]
                guard let opinion else { throw Violation(description: "given an address that nobody knew") }
                try self.require(
                    waiting.policy.allows(opinion.candidate),
                    "request \(request.rawValue) got what its policy does not allow")
                self.attempts[id]?.owners += 1
                self.standing[id] = opinion
                self.counts["succeeded", default: 0] += 1
                if attempt.owners > 0 { self.counts["shared", default: 0] += 1 }
            case .failed(let request, let failure):
                _ = try self.take(request.rawValue)
                self.counts[Self.name(failure), default: 0] += 1
            case .setTimer(let time): self.timer = time
            }
        }
        // What was told to a dial goes with it.
        for peer in self.told.keys where !self.waiting.values.contains(where: { $0.peer == peer }) {
            self.told[peer] = nil
        }
    }

    private mutating func open(_ id: Dialing.AttemptID, _ peer: PeerID, _ address: Multiaddress) throws {
        try self.require(self.attempts[id] == nil, "attempt \(id.rawValue) exists already")
        guard let candidate = self.told[peer]?[address]?.candidate else {
            throw Violation(description: "dialled an address that nobody named")
        }
        try self.require(
            self.waiting.values.contains { $0.peer == peer && $0.policy.allows(candidate) },
            "dialled what nobody's policy allows")
        try self.require(
            !self.opening.contains { $0.peer == peer && $0.address == address },
            "dialled the same address twice at once")
        let ordinal = self.ordinals[Place(peer: peer, address: address), default: 0]
        self.ordinals[Place(peer: peer, address: address)] = ordinal + 1
        let attempt = Attempt(peer: peer, address: address, since: self.now, ordinal: ordinal)
        self.attempts[id] = attempt
        self.sockets.insert(id)
        self.counts["opened", default: 0] += 1
        let delay = Duration.milliseconds(Int(self.dice(attempt, 0) % 900))
        switch self.dice(attempt, 1) % 10 {
        case 0..<2: self.results.append((self.now + delay, id, true))
        case 2..<3: self.results.append((self.now + delay * 9, id, true))
        case 3..<6: self.results.append((self.now + delay / 3, id, false))
        case 6..<7: self.results.append((self.now, id, false))
        default: break  // Says nothing, for ever.
        }
    }

    private mutating func become(_ socket: Socket, _ id: Dialing.AttemptID) {
        self.attempts[id]?.socket = socket
        switch socket {
        case .opening, .open: self.sockets.insert(id)
        case .closed, .failed: self.sockets.remove(id)
        }
    }

    // MARK: - What must be true after each step

    private var opening: [Attempt] {
        self.sockets.compactMap { self.attempts[$0] }.filter { $0.socket == .opening }
    }

    private func check() throws {
        let opening = self.opening
        try self.require(opening.count <= self.settings.attempts, "too many attempts")
        try self.require(opening.count == self.machine.attemptCount, "attempts are miscounted")
        try self.require(self.waiting.count == self.machine.requestCount, "requests are miscounted")
        for (peer, mine) in Dictionary(grouping: opening, by: \.peer) {
            try self.require(mine.count <= self.settings.attemptsPerPeer, "too many attempts for one peer")
            for attempt in mine {
                try self.require(
                    self.waiting.values.contains { self.allows($0, attempt) }, "nobody wants an attempt to \(peer)")
                try self.require(
                    self.now - attempt.since <= self.settings.attemptTimeout, "an attempt lasts too long")
            }
        }
        for id in self.sockets {
            guard let attempt = self.attempts[id], attempt.socket == .open else { continue }
            try self.require(attempt.owners > 0, "leaked socket \(id.rawValue)")
        }
        for (id, waiting) in self.waiting {
            try self.require(self.now - waiting.since <= self.settings.requestTimeout, "request \(id) lasts too long")
            // Whoever waits has something under way, unless a limit is reached.
            let isServed = opening.contains { self.allows(waiting, $0) }
            let isLimited =
                opening.count == self.settings.attempts
                || opening.count { $0.peer == waiting.peer } == self.settings.attemptsPerPeer
            try self.require(isServed || isLimited, "request \(id) waits for nothing")
        }
    }

    private func allows(_ waiting: Waiting, _ attempt: Attempt) -> Bool {
        guard attempt.peer == waiting.peer, let opinion = self.told[attempt.peer]?[attempt.address] else {
            return false
        }
        return waiting.policy.allows(opinion.candidate)
    }

    // MARK: - Bookkeeping

    private mutating func tell(
        _ peer: PeerID, _ candidates: [DialCandidate], isStored: Bool, isForRequest: Bool
    ) {
        for id in self.standing.keys where self.attempts[id]?.peer == peer {
            for newer in candidates where newer.address == self.standing[id]?.candidate.address {
                self.standing[id]?.add(newer, isStored: isStored)
            }
        }
        guard isForRequest || self.waiting.values.contains(where: { $0.peer == peer }) else { return }
        for candidate in candidates {
            if self.told[peer]?[candidate.address]?.add(candidate, isStored: isStored) == nil {
                self.told[peer, default: [:]][candidate.address] = Opinion(candidate, isStored: isStored)
            }
        }
    }

    private mutating func forgetStored(of peer: PeerID, but kept: Set<Multiaddress>) {
        for (address, opinion) in self.told[peer] ?? [:] where !kept.contains(address) {
            if opinion.stored != [] { self.counts["taken back by the store", default: 0] += 1 }
            self.told[peer]?[address]?.forgetStored()
        }
        for id in self.standing.keys where self.attempts[id]?.peer == peer {
            guard let address = self.standing[id]?.candidate.address, !kept.contains(address) else { continue }
            self.standing[id]?.forgetStored()
        }
    }

    private static func name(_ failure: DialFailure) -> String {
        switch failure {
        case .noAddress: "noAddress"
        case .noneAllowed: "noneAllowed"
        case .inBackOff: "inBackOff"
        case .unreachable: "unreachable"
        case .timedOut: "timedOut"
        case .tooManyRequests, .tooManyRequestsForPeer: "tooMany"
        }
    }

    private static func peer(_ number: Int) throws -> PeerID {
        try PeerID(bytes: [0x12, 0x20] + [UInt8](repeating: UInt8(number), count: 32))
    }

    /// One of a peer's addresses, as one of four who tell about it describes it.
    private mutating func candidate(_ number: Int, isStored: Bool = false) throws -> DialCandidate {
        if let made = self.candidates[isStored ? 1 : 0][number] { return made }
        let address = number % Self.addressesPerPeer
        let host = address % 3 == 0 ? "/ip6/2001:\(address)::1" : "/ip4/\(address % 4 + 1).0.\(address).1"
        let sources: AddressSources =
            switch number / Self.addressesPerPeer {
            case 0: address % 4 == 0 ? .user : .identify
            case 1: address % 3 == 0 ? .certified : .addrv2
            default: .dht
            }
        // Now and then, somebody finds that the proxy is not used for an address.
        let exposure: DialExposure = address % 2 == 0 && number % 11 != 0 ? .pseudonym : .clearnetAddress
        let known = KnownAddress(
            address: try Multiaddress(text: "\(host)/tcp/\(1 + address)"), sources: sources,
            firstSeen: WallClockTime(seconds: 0), lastSeen: WallClockTime(seconds: 0), expiry: nil)
        let made = DialCandidate(known, exposure: exposure, isStored: isStored)
        self.candidates[isStored ? 1 : 0][number] = made
        return made
    }

    /// A number that belongs to an attempt, whatever happened before.
    private func dice(_ attempt: Attempt, _ purpose: UInt64) -> UInt64 {
        var hash = self.seed &* 0x9e37_79b9_7f4a_7c15 &+ purpose
        for byte in attempt.peer.bytes.suffix(1) + attempt.address.bytes {
            hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3
        }
        hash ^= attempt.ordinal
        var random = SeededRandom(seed: hash)
        return random.next()
    }

    private func attempt(_ id: Dialing.AttemptID) throws -> Attempt {
        guard let attempt = self.attempts[id] else { throw Violation(description: "no attempt \(id.rawValue)") }
        return attempt
    }

    private mutating func take(_ request: UInt64) throws -> Waiting {
        guard let waiting = self.waiting.removeValue(forKey: request) else {
            throw Violation(description: "request \(request) ended twice, or after it was cancelled")
        }
        return waiting
    }

    private func require(_ condition: Bool, _ what: @autoclosure () -> String) throws {
        if !condition { throw Violation(description: what()) }
    }
}
