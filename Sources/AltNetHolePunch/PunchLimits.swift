// SPDX-License-Identifier: MIT

public import AltNetBase

/// What strangers can make this node do: one value for all coordinations of a driver, in both roles. What is not
/// certainly allowed is refused.
public struct PunchLimits: Sendable {
    /// Requests that are taken at once, and the time after which one more is, in all. Each costs at most
    /// ``Coordination/maximumSYNs`` to one IPv4 address and one IPv6 address, and in each of at most
    /// ``PunchPaths/punchAttempts`` attempts a connection to a good peer, or to another one when the first is silent.
    public static let requestBurst = 8
    public static let requestInterval: Duration = .seconds(15)
    /// The same for one coordination endpoint, so that a flood of one does not close the others.
    public static let endpointBurst = 4
    public static let endpointInterval: Duration = .seconds(30)
    /// How many coordinate at once as responders.
    public static let maximumCoordinations = 4
    /// Connections to our endpoints: those that ``PunchVisitors`` lets wait, and those that coordinate.
    public static let maximumConnections = 2 * PunchVisitors<Int>.maximumOfEach + maximumCoordinations
    /// SYNs to one IPv4 address or IPv6 /64 in ``synWindow``, whoever named it: what somebody bears whose address is
    /// told by a liar, however many liars there are.
    public static let maximumSYNs = 24
    public static let synWindow: Duration = .seconds(600)
    /// Addresses that are counted at once. More than the requests of a window can name, so that it is never full by
    /// ourselves; when it is full nevertheless, nothing new is connected to.
    public static let maximumTargets = 1024
    /// Endpoints that are counted at once: a node has a few, and a new one after each change of keys.
    static let maximumEndpoints = 32

    private var requests: Trickle
    private var endpoints: [CoordinationEndpoint: Trickle] = [:]
    private var targets: [[UInt8]: [(at: MonotonicInstant, count: Int)]] = [:]
    /// Coordinations under way as responders.
    public private(set) var coordinations = 0
    /// Connections to our endpoints, those that coordinate included.
    public private(set) var connections = 0

    public init(now: MonotonicInstant) {
        self.requests = Trickle(burst: Self.requestBurst, interval: Self.requestInterval, now: now)
    }

    // MARK: - Connections and requests

    /// Somebody connected to an endpoint of ours; `false`: close it at once. Otherwise ``disconnected()`` must follow.
    public mutating func connected() -> Bool {
        guard self.connections < Self.maximumConnections else { return false }
        self.connections += 1
        return true
    }

    public mutating func disconnected() {
        self.connections = max(0, self.connections - 1)
    }

    /// For ``Coordination/Directive/request``: takes a token and a place, or says why not. After `nil`,
    /// ``requestEnded()`` must follow.
    public mutating func request(at endpoint: CoordinationEndpoint, now: MonotonicInstant) -> PunchRefusal? {
        self.endpoints = self.endpoints.filter { !$0.value.isFull(now: now) }
        guard self.coordinations < Self.maximumCoordinations, self.requests.canTake(now: now),
            self.endpoints[endpoint] != nil || self.endpoints.count < Self.maximumEndpoints
        else { return .busy }
        var own =
            self.endpoints[endpoint]
            ?? Trickle(burst: Self.endpointBurst, interval: Self.endpointInterval, now: now)
        guard own.take(now: now), self.requests.take(now: now) else { return .busy }
        self.endpoints[endpoint] = own
        self.coordinations += 1
        return nil
    }

    public mutating func requestEnded() {
        self.coordinations = max(0, self.coordinations - 1)
    }

    // MARK: - SYNs

    /// For ``Coordination/Directive/open(_:)``, in both roles and before the first SYN: whether so many may go there.
    /// They count as sent. On `false`, answer with ``PunchReason/synBudgetSpent``.
    public mutating func takeSYNs(_ count: Int, to target: ExternalEndpoint, now: MonotonicInstant) -> Bool {
        let key = target.isIPv4 ? target.address : Array(target.address.prefix(8))
        var sent = self.recent(key, now: now)
        guard sent.reduce(0, { $0 + $1.count }) + count <= Self.maximumSYNs else { return false }
        if self.targets[key] == nil, self.targets.count >= Self.maximumTargets {
            self.targets = self.targets.filter { entry in
                entry.value.contains { now - $0.at < Self.synWindow }
            }
            guard self.targets.count < Self.maximumTargets else { return false }
        }
        sent.append((now, count))
        self.targets[key] = sent
        return true
    }

    /// SYNs that were allowed to go to an address within the window.
    public func syns(to target: ExternalEndpoint, now: MonotonicInstant) -> Int {
        self.recent(target.isIPv4 ? target.address : Array(target.address.prefix(8)), now: now)
            .reduce(0) { $0 + $1.count }
    }

    private func recent(_ key: [UInt8], now: MonotonicInstant) -> [(at: MonotonicInstant, count: Int)] {
        (self.targets[key] ?? []).filter { now - $0.at < Self.synWindow }
    }
}
