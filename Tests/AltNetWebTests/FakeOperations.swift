// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetControl
import AltNetPunchReports
import AltNetWeb
import Synchronization

/// A daemon that has one of everything, and remembers what it was told to do.
final class FakeOperations: ControlOperations {
    static let time = Timestamp(WallClockTime(milliseconds: 1_700_000_000_123))
    static let hash = String(repeating: "0", count: 60) + "beef"

    let done = Mutex<[String]>([])
    let isSafe = Mutex(true)
    /// What every change and every incident answers instead.
    let refusal = Mutex<ControlRefusal?>(nil)

    private func note(_ what: String) throws(ControlRefusal) {
        if let refusal = self.refusal.withLock({ $0 }) { throw refusal }
        self.done.withLock { $0.append(what) }
    }

    static let chain = ChainReport(
        startHeight: 0, height: 800_000, tip: hash, tipTime: time, work: String(repeating: "0", count: 62) + "ff",
        headers: 800_002)

    func status() async -> StatusReport {
        StatusReport(
            software: "altnetd 0.1.0", network: "main", processID: 7, started: Self.time, dataDirectory: "/data",
            chain: Self.chain, links: 2, linksBehind: 1, drivers: 1, openIncidents: 1, storeFailure: nil)
    }

    func links() async -> [LinkReport] {
        var open = LinkReport(driver: "bitcoin", state: "open")
        open.id = 1
        open.target = "127.0.0.1:8333"
        open.remote = "127.0.0.1:8333"
        open.identity = "none"
        open.agent = "/Satoshi:29.0.0/"
        open.exposure = "public"
        open.since = Self.time
        open.claimedHeight = 800_001
        open.tipHeight = 799_998
        open.tip = Self.hash
        open.missingBlocks = 2
        open.missingSince = Self.time
        open.presyncHeight = 5
        open.latencyMilliseconds = 12.5
        open.latenessSeconds = 0.25
        open.clockOffsetSeconds = -3
        open.networkGroup = "127.0"
        return [open, LinkReport(driver: "lightning", state: "unreachable")]
    }

    func tips() async -> [TipReport] {
        [
            TipReport(
                height: 800_000, hash: Self.hash, work: String(repeating: "0", count: 64), isBest: true,
                forkHeight: 800_000, followers: ["self"])
        ]
    }

    func drivers() async -> [DriverReport] { [Self.driver] }

    static var driver: DriverReport {
        var report = DriverReport(
            name: "bitcoin", program: "/usr/bin/altnet-bitcoin", state: "attached", restarts: 3, messagesPerSecond: 1,
            bytesPerSecond: 2)
        report.software = "altnet-bitcoin 0.1.0"
        report.direction = "both"
        report.traffic = ["headers"]
        report.operations = ["message.ping"]
        return report
    }

    func splices() async -> [SpliceReport] {
        var splice = SpliceReport(name: "core", driver: "lightning")
        splice.listening = "127.0.0.1:8500"
        splice.bytesIn = 10
        splice.bytesOut = 20
        splice.connections = 1
        return [splice]
    }

    static var node: NodeReport {
        var node = NodeReport(
            kind: "bitcoin-core", description: "Bitcoin Core at http://127.0.0.1:8332", reach: "reachable")
        node.blocks = 799_998
        node.headers = 800_000
        node.bestBlock = Self.hash
        node.version = "/Satoshi:29.0.0/"
        node.inboundPeers = 8
        node.outboundPeers = 10
        node.followedBy = "zmq hashblock"
        node.allow = ["headers"]
        node.missingBlocks = 2
        return node
    }

    func node() async -> NodeReport { Self.node }

    func safe() async -> SafeReport {
        self.isSafe.withLock { $0 } ? SafeReport(safe: true, reasons: []) : SafeReport(safe: false, reasons: ["behind"])
    }

    func health() async -> HealthReport { HealthReport(ok: true) }
    func ready() async -> HealthReport { HealthReport(ok: false, reason: "no driver is attached") }

    static let alert = AlertReport(
        at: time, sink: "webhook", incident: 1, attempt: 2, outcome: "delivered", detail: "200")

    func alerts(limit: Int) async -> [AlertReport] { [Self.alert] }

    func sendTestAlert(to sink: String) async throws(ControlRefusal) -> AlertReport { Self.alert }

    func blocks(limit: Int) async -> [BlockReport] {
        [
            BlockReport(height: 800_000, hash: Self.hash, time: Self.time, provenAt: Self.time, provenBy: "bitcoin x"),
            BlockReport(height: 799_999, hash: Self.hash, time: Self.time, provenAt: nil, provenBy: nil),
        ]
    }

    func counters() async -> ControlCounters {
        ControlCounters(
            incidents: [.init(kind: "link-behind", severity: "warning", count: 4)],
            alerts: [.init(sink: "webhook", outcome: "delivered", count: 3)],
            transactions: [.init(outcome: "accepted", count: 5)])
    }

    static func incident(_ id: Int64, isOpen: Bool) -> IncidentReport {
        IncidentReport(
            id: id, kind: "link-behind", severity: "warning", subject: "bitcoin 127.0.0.1:8333",
            explanation: "it is 2 blocks behind",
            behind: isOpen
                ? .init(blocks: 2, firstMissingHeight: 799_999, firstMissingHash: Self.hash, provenBy: "other") : nil,
            measures: [.init(name: "probability", value: 1.2e-7, unit: "")],
            actions: [.init(at: Self.time, action: "alert", outcome: "done", detail: "")], since: Self.time,
            opened: Self.time, updated: Self.time, closed: isOpen ? nil : Self.time, ending: isOpen ? nil : "over")
    }

    func incidents(limit: Int, onlyOpen: Bool) async throws(ControlRefusal) -> [IncidentReport] {
        try self.note("incidents \(limit) \(onlyOpen)")
        return [Self.incident(2, isOpen: true)] + (onlyOpen ? [] : [Self.incident(1, isOpen: false)])
    }

    func incident(_ id: Int64) async throws(ControlRefusal) -> IncidentReport? {
        id == 1 ? Self.incident(1, isOpen: false) : nil
    }

    func evidence(of id: Int64) async throws(ControlRefusal) -> [UInt8]? {
        id == 1 ? Array(#"{"version":1}"#.utf8) : nil
    }

    static let peerID = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"

    /// An address that a partner gave to us alone.
    static let confidence = "/ip4/192.0.2.77/tcp/9735"
    static let knownPeer: PeerReport = {
        var address = PeerAddressReport(
            address: "/ip4/192.0.2.1/tcp/4001", sources: ["user", "certified"], firstSeen: time, lastSeen: time,
            failures: 1)
        address.expires = time
        address.lastSuccess = time
        address.lastFailure = time
        address.latencyMilliseconds = 12.5
        address.network = "home"
        let given = PeerAddressReport(
            address: confidence, sources: ["alt-addr"], firstSeen: time, lastSeen: time, failures: 0)
        return PeerReport(id: peerID, sequence: "18446744073709551615", record: "0a24", addresses: [address, given])
    }()

    func peers(after: String?, limit: Int) async throws(ControlRefusal) -> PeerListReport {
        PeerListReport(peers: [Self.knownPeer], total: 2, next: Self.peerID)
    }

    func peer(_ id: String) async throws(ControlRefusal) -> PeerReport? {
        id == "1" ? Self.knownPeer : nil
    }

    func addPeers(_ additions: [PeerAddition]) async throws(ControlRefusal) -> [PeerAdditionReport] {
        try self.note("add \(additions.count) peers")
        return additions.map {
            PeerAdditionReport(peer: $0.peer, outcome: .refused, code: "noRoom", details: ["no room"])
        }
    }

    func forgetPeer(_ id: String, address: String?) async throws(ControlRefusal) -> Bool {
        try self.note("forget \(id) \(address ?? "whole")")
        return id == "1"
    }

    static let nat: NATReport = {
        var nat = NATReport(mapping: "endpoint-independent", confidence: 0.9, reason: "three witnesses agree")
        nat.preservesPort = true
        nat.filtering = "endpoint-dependent"
        nat.evidence = [
            .init(
                witness: "203.0.113.5:8333", group: "203.0", address: "198.51.100.7:4711", localPort: 4711,
                latencyMilliseconds: 21.5, at: "2026-11-21T20:00:00Z")
        ]
        nat.external = ["198.51.100.7"]
        nat.network = "home"
        nat.checkedAt = "2026-11-21T20:00:00Z"
        return nat
    }()

    static let punched: PunchReport = {
        var punch = PunchReport(
            id: 1, role: "initiator", endpoint: "direct:203.0.113.9:9735", attempts: 2, outcome: "connected",
            milliseconds: 812.5, ownNAT: "endpoint-independent", peerNAT: "open", at: "2026-11-21T20:00:00Z")
        punch.peer = "203.0.113.9:4712"
        punch.path = "punch"
        punch.reason = "the first attempt was too early"
        punch.roundTrips = 1.5
        punch.roundTripMilliseconds = 240
        return punch
    }()

    static let stats = PunchStatsReport(
        counts: [
            .init(
                role: "initiator", outcome: "connected", path: "punch", ownNAT: "endpoint-independent",
                peerNAT: "open", count: 3),
            .init(
                role: "responder", outcome: "impossible", path: nil, ownNAT: "endpoint-independent",
                peerNAT: "endpoint-dependent", count: 1),
        ], slots: 4, slotsTaken: 1, coordinating: 0, endpoints: ["direct:203.0.113.5:9735"],
        counters: ["refused-busy": 2])

    func punchOverview() async -> PunchOverviewReport {
        var overview = PunchOverviewReport(
            outboundWanted: 2, outbound: 1, offersKnown: 5, offersOwn: 1, offerLinks: 3,
            offerCounters: ["relayed": 7, "learned": 9])
        overview.driver = "punch"
        overview.problem = "no offer is known that can be called"
        overview.nat = Self.nat
        overview.stats = Self.stats
        overview.recent = [Self.punched]
        return overview
    }

    func punchOffers() async -> PunchOfferListReport {
        var offer = PunchOfferReport(
            endpoint: "direct:203.0.113.9:9735", clearnet: "203.0.113.9", group: "203.0", ageSeconds: 30,
            isConnected: false)
        offer.waitSeconds = 60
        return PunchOfferListReport([
            offer,
            PunchOfferReport(
                endpoint: "direct:203.0.113.10:9735", clearnet: nil, group: nil, ageSeconds: 31, isConnected: true),
        ])
    }

    func nat() async throws(ControlRefusal) -> NATReport { Self.nat }

    func checkNAT() async throws(ControlRefusal) -> NATReport {
        try self.note("check the NAT")
        return NATReport(mapping: "unknown", confidence: 0, reason: "no witness answered")
    }

    func punches() async throws(ControlRefusal) -> PunchReports { PunchReports([Self.punched]) }

    func punchStats() async throws(ControlRefusal) -> PunchStatsReport { Self.stats }

    func rotatePunchKeys() async throws(ControlRefusal) -> PunchEndpoints {
        try self.note("rotate keys")
        return PunchEndpoints(["direct:203.0.113.5:9735"])
    }

    func punch(_ request: PunchRequest) async throws(ControlRefusal) -> PunchReport {
        try self.note("punch \(request.endpoint)")
        return PunchReport(
            id: 2, role: "initiator", endpoint: request.endpoint, attempts: 0, outcome: "impossible", milliseconds: 1,
            ownNAT: "endpoint-dependent", peerNAT: "endpoint-dependent", at: "2026-11-21T20:00:00Z")
    }

    func attach(_ request: AttachRequest) async throws(ControlRefusal) -> DriverReport {
        try self.note("attach \(request.name)")
        return Self.driver
    }

    func detach(_ driver: String) async throws(ControlRefusal) { try self.note("detach \(driver)") }

    func openTarget(_ target: String, driver: String) async throws(ControlRefusal) {
        try self.note("open \(target) \(driver)")
    }

    func closeTarget(_ target: String, driver: String) async throws(ControlRefusal) {
        try self.note("close \(target) \(driver)")
    }

    /// What operations wait for before they answer.
    let mayAnswer = Mutex<[CheckedContinuation<Void, Never>]?>(nil)

    func perform(_ operation: String, _ question: [UInt8], by driver: String) async throws(ControlRefusal) -> [UInt8] {
        try self.note("perform \(operation) \(driver) \(String(decoding: question, as: UTF8.self))")
        await withCheckedContinuation { continuation in
            let waits = self.mayAnswer.withLock { waiting in
                waiting?.append(continuation)
                return waiting != nil
            }
            if !waits { continuation.resume() }
        }
        return Array(#"{"hops":[]}"#.utf8)
    }

    func exportHeaders(from height: UInt32, count: UInt32) async throws(ControlRefusal) -> [UInt8] {
        [UInt8](repeating: 7, count: 80 * Int(min(count, 50_000)))
    }

    func importHeaders(_ headers: [UInt8]) async throws(ControlRefusal) -> ImportReport {
        try self.note("import \(headers.count / 80)")
        return ImportReport(added: 1, chain: Self.chain, rejection: "header 2: high-hash", rule: "high-hash")
    }
}
