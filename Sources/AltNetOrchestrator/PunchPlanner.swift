// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetHolePunch

/// Decides when to connect through a NAT without being asked, and whom not to: one at a time, never two in one network
/// group, and ever more rarely those that could not be reached.
struct PunchPlanner: Sendable {
    /// The pause between two attempts of ours: a coordination takes up to half a minute, and costs others connections.
    static let pace: Duration = .seconds(10)
    /// The pauses after failures, of one endpoint and of all: they double each time. An offer is gone after ten minutes,
    /// so that the first pause leaves room for one more try.
    static let firstPause: Duration = .seconds(240)
    static let longestPause: Duration = .seconds(14_400)
    /// The longest pause that many failures in a row make for all: our own network may be what fails.
    static let longestPace: Duration = .seconds(600)
    /// The most endpoints that are remembered for having failed: as many as there can be offers.
    static let maximumFailed = 1_000

    /// The most offers that are remembered for a wrong address: as many as there can be offers.
    static let maximumLies = 1_000
    /// How long they are: three lives of an offer, as lies are told again.
    static let disbelief: Duration = .seconds(1_800)

    private struct Failure {
        var count: Int
        var until: MonotonicInstant
    }

    /// How many links are wanted.
    let wanted: Int
    private var failures: [CoordinationEndpoint: Failure] = [:]
    /// Offers that named an address which the endpoint does not have, and until when they are not believed.
    private var lies: [PunchOffer: MonotonicInstant] = [:]
    /// Attempts in a row that came to nothing which lasted.
    private(set) var streak = 0
    private var nextAttempt = MonotonicInstant.zero
    /// Whom we are connecting to, with or without being asked.
    private(set) var underWay: Set<CoordinationEndpoint> = []

    init(wanted: Int) {
        self.wanted = wanted
    }

    /// Whether somebody is to be called now.
    ///
    /// - Parameter standing: how many links there are that we made.
    func isDue(standing: Int, now: MonotonicInstant) -> Bool {
        standing < self.wanted && self.underWay.isEmpty && now >= self.nextAttempt
    }

    /// Whether somebody may be called. Whoever names addresses of both families counts in the groups of both.
    ///
    /// - Parameter groups: network groups in which we have outbound connections already: nobody who has many addresses
    ///   in one of them is to have more than one connection.
    func allows(
        _ candidate: PunchCandidate, standing: Set<CoordinationEndpoint>, groups: Set<String>, now: MonotonicInstant
    ) -> Bool {
        !standing.contains(candidate.endpoint) && self.pause(of: candidate.endpoint, now: now) == nil
            && candidate.addresses.networkGroups.isDisjoint(with: groups)
    }

    /// How long an endpoint is left alone; `nil` when it may be called.
    func pause(of endpoint: CoordinationEndpoint, now: MonotonicInstant) -> Duration? {
        guard let failure = self.failures[endpoint], failure.until > now else { return nil }
        return failure.until - now
    }

    /// An attempt begins. `false` when there is one to the same endpoint already.
    mutating func began(_ endpoint: CoordinationEndpoint) -> Bool { self.underWay.insert(endpoint).inserted }

    /// An attempt is over.
    mutating func ended(_ endpoint: CoordinationEndpoint, connected: Bool, now: MonotonicInstant) {
        self.underWay.remove(endpoint)
        self.nextAttempt = now + Self.pace
        guard !connected else { return }
        self.slowDown(now: now)
        self.failed(endpoint, now: now)
    }

    /// An attempt is over that says nothing about the endpoint: there was nobody to make it.
    mutating func gaveUp(_ endpoint: CoordinationEndpoint) { self.underWay.remove(endpoint) }

    /// A connection has lasted. Only that forgives: whoever hangs up at once could have us call for ever.
    mutating func lasted(_ endpoint: CoordinationEndpoint) {
        self.failures[endpoint] = nil
        self.streak = 0
    }

    /// An attempt came to nothing, whoever's fault that was.
    mutating func slowDown(now: MonotonicInstant) {
        self.streak += 1
        self.nextAttempt = now + min(Self.longestPace, Self.doubled(Self.pace, self.streak - 1))
    }

    /// An attempt is over, and offers named an address that the endpoint does not have. That is held against the offers
    /// alone: anybody can have told them.
    mutating func ended(_ endpoint: CoordinationEndpoint, lies offers: [PunchOffer], now: MonotonicInstant) {
        self.underWay.remove(endpoint)
        self.nextAttempt = now + Self.pace
        self.lies = self.lies.filter { now < $0.value }
        // Beyond the bound an offer is only tried once more than it deserves.
        for offer in offers where self.lies.count < Self.maximumLies { self.lies[offer] = now + Self.disbelief }
    }

    /// Whether an offer is known to name a wrong address.
    func isLie(_ offer: PunchOffer, now: MonotonicInstant) -> Bool {
        self.lies[offer].map { now < $0 } ?? false
    }

    /// A connection was of no use: it did not last, or led where we are connected already.
    mutating func failed(_ endpoint: CoordinationEndpoint, now: MonotonicInstant) {
        let count = (self.failures[endpoint]?.count ?? 0) + 1
        self.failures[endpoint] = Failure(
            count: count, until: now + min(Self.longestPause, Self.doubled(Self.firstPause, count - 1)))
        self.makeRoom()
    }

    /// How many offers are remembered for a wrong address.
    var lieCount: Int { self.lies.count }

    /// How many endpoints are remembered for having failed.
    var failureCount: Int { self.failures.count }

    /// Our network changed: what failed before may work now.
    mutating func forgetFailures() {
        self.failures = [:]
        self.streak = 0
        self.nextAttempt = .zero
    }

    /// Forgets those whose pause ends first: they would be called again soonest anyway.
    private mutating func makeRoom() {
        while self.failures.count > Self.maximumFailed,
            let first = self.failures.min(by: { $0.value.until < $1.value.until })
        {
            self.failures[first.key] = nil
        }
    }

    private static func doubled(_ pause: Duration, _ times: Int) -> Duration {
        // Sixteen doublings are longer than any bound above.
        pause * (1 << min(times, 16))
    }
}
