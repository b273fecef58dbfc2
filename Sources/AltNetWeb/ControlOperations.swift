// SPDX-License-Identifier: MIT

public import AltNetControl
public import AltNetPunchReports

/// What the control interface asks of the daemon behind it. Tests put a fake here.
///
/// Every call may run at the same time as any other. None but ``perform(_:_:by:)`` and those that ask the driver of hole
/// punching may wait for a remote: the answer says what is known now.
public protocol ControlOperations: Sendable {
    func status() async -> StatusReport
    func links() async -> [LinkReport]
    func tips() async -> [TipReport]
    func drivers() async -> [DriverReport]
    func splices() async -> [SpliceReport]
    /// The operator's node; of kind `none` when there is none.
    func node() async -> NodeReport
    func safe() async -> SafeReport
    /// Whether the process does its work at all; false when only a restart or the operator can help.
    func health() async -> HealthReport
    /// Whether it has what it needs to notice anything: a chain, a driver that is attached.
    func ready() async -> HealthReport
    /// The latest deliveries, newest first.
    func alerts(limit: Int) async -> [AlertReport]
    /// The last blocks of the best chain, newest first.
    func blocks(limit: Int) async -> [BlockReport]
    /// What has been counted since the daemon started, for `/metrics`.
    func counters() async -> ControlCounters

    /// The latest incidents, newest first; with `onlyOpen` those that have not ended.
    func incidents(limit: Int, onlyOpen: Bool) async throws(ControlRefusal) -> [IncidentReport]
    func incident(_ id: Int64) async throws(ControlRefusal) -> IncidentReport?
    /// The evidence file of an incident, which is JSON; `nil` when there is no such incident.
    func evidence(of id: Int64) async throws(ControlRefusal) -> [UInt8]?

    /// Peers after one of them, in the order of their ids.
    func peers(after: String?, limit: Int) async throws(ControlRefusal) -> PeerListReport
    /// What is known of a peer; `nil` when nothing is.
    func peer(_ id: String) async throws(ControlRefusal) -> PeerReport?
    /// Adds to the peer store; one report for each addition.
    func addPeers(_ additions: [PeerAddition]) async throws(ControlRefusal) -> [PeerAdditionReport]
    /// Forgets a peer, or one address of it; false when it was not known.
    func forgetPeer(_ id: String, address: String?) async throws(ControlRefusal) -> Bool

    /// How hole punching stands, without asking the driver.
    func punchOverview() async -> PunchOverviewReport
    /// Offers that are known, newest first.
    func punchOffers() async -> PunchOfferListReport
    // These ask the driver.
    func nat() async throws(ControlRefusal) -> NATReport
    func checkNAT() async throws(ControlRefusal) -> NATReport
    func punches() async throws(ControlRefusal) -> PunchReports
    func punchStats() async throws(ControlRefusal) -> PunchStatsReport
    func rotatePunchKeys() async throws(ControlRefusal) -> PunchEndpoints
    /// Connects to a peer behind a NAT, and waits for what it came to.
    func punch(_ request: PunchRequest) async throws(ControlRefusal) -> PunchReport

    func attach(_ request: AttachRequest) async throws(ControlRefusal) -> DriverReport
    /// Returns when the driver's process is gone.
    func detach(_ driver: String) async throws(ControlRefusal)
    func openTarget(_ target: String, driver: String) async throws(ControlRefusal)
    func closeTarget(_ target: String, driver: String) async throws(ControlRefusal)
    /// Has a driver do something that it offers, and waits for what it came to; minutes, if it asks remotes.
    ///
    /// - Parameter question: JSON, as it came.
    /// - Returns: the driver's JSON.
    func perform(_ operation: String, _ question: [UInt8], by driver: String) async throws(ControlRefusal) -> [UInt8]
    /// Sends a test alert to one sink, and waits for what becomes of it.
    func sendTestAlert(to sink: String) async throws(ControlRefusal) -> AlertReport
    /// Raw headers of the best chain from a height on; none above the tip.
    func exportHeaders(from height: UInt32, count: UInt32) async throws(ControlRefusal) -> [UInt8]
    /// Stores raw headers, a whole number of 80 bytes; returns when they are on the disk.
    func importHeaders(_ headers: [UInt8]) async throws(ControlRefusal) -> ImportReport
}

/// Why a request is refused.
public struct ControlRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    /// Each stands for one status of HTTP (RFC 9110, section 15; 429 is RFC 6585, 507 is RFC 4918).
    public enum Reason: Int, Hashable, Sendable, CaseIterable {
        case badRequest = 400
        case unauthorized = 401
        case forbidden = 403
        case notFound = 404
        case methodNotAllowed = 405
        case conflict = 409
        case contentTooLarge = 413
        case unsupportedMediaType = 415
        case misdirected = 421
        case tooManyRequests = 429
        case internalError = 500
        case unavailable = 503
        case insufficientStorage = 507
    }

    public let reason: Reason
    /// One sentence for the operator.
    public let description: String

    public init(_ reason: Reason, _ description: String) {
        self.reason = reason
        self.description = description
    }
}

/// What has been counted since the daemon started. Names come from fixed lists, so that the series stay few.
public struct ControlCounters: Hashable, Sendable {
    /// Incidents that opened.
    public struct Incidents: Hashable, Sendable {
        public var kind: String
        public var severity: String
        public var count: UInt64

        public init(kind: String, severity: String, count: UInt64) {
            self.kind = kind
            self.severity = severity
            self.count = count
        }
    }

    /// Attempts to deliver alerts.
    public struct Alerts: Hashable, Sendable {
        public var sink: String
        public var outcome: String
        public var count: UInt64

        public init(sink: String, outcome: String, count: UInt64) {
            self.sink = sink
            self.outcome = outcome
            self.count = count
        }
    }

    /// Transactions that remotes handed to us, by what became of them.
    public struct Transactions: Hashable, Sendable {
        public var outcome: String
        public var count: UInt64

        public init(outcome: String, count: UInt64) {
            self.outcome = outcome
            self.count = count
        }
    }

    public var incidents: [Incidents]
    public var alerts: [Alerts]
    public var transactions: [Transactions]

    public init(incidents: [Incidents] = [], alerts: [Alerts] = [], transactions: [Transactions] = []) {
        self.incidents = incidents
        self.alerts = alerts
        self.transactions = transactions
    }
}
