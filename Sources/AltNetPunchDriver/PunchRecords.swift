// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetHolePunch
internal import AltNetPunchReports
internal import FoundationEssentials

/// What became of the coordinations, for the operator.
struct PunchRecords: Sendable {
    /// The outcome of calls that did not reach the endpoint.
    static let unreachable = "unreachable"

    private var nextID: UInt64 = 1
    private var recent: [PunchReport] = []
    private var tally = PunchTally()
    /// What else happened, by name.
    private(set) var counters: [String: UInt64] = [:]

    /// The last ones, newest first.
    var reports: [PunchReport] { self.recent.reversed() }

    var counts: [PunchStatsReport.Count] {
        self.tally.counts.map { key, count in
            PunchStatsReport.Count(
                role: key.role.name, outcome: key.path == nil ? key.failure : PunchReport.connected,
                path: key.path?.name, ownNAT: key.ownMapping.name,
                peerNAT: (key.peerMapping ?? .unknown).name, count: UInt64(count))
        }
    }

    /// - Parameter name: one of a fixed set.
    mutating func count(_ name: String) {
        self.counters[name, default: 0] += 1
    }

    /// A call that did not reach the endpoint.
    mutating func unreachable(
        _ endpoint: CoordinationEndpoint, _ own: NATMapping, reason: String, took: Duration, at: WallClockTime
    ) -> PunchReport {
        var report = PunchReport(
            id: 0, role: PunchRole.initiator.name, endpoint: endpoint.description, attempts: 0,
            outcome: Self.unreachable, milliseconds: took.inSeconds * 1000, ownNAT: own.name,
            peerNAT: NATMapping.unknown.name, at: Self.text(at))
        report.reason = UntrustedText(reason).description
        self.count(Self.unreachable)
        return self.keep(report)
    }

    /// A coordination that ended.
    mutating func ended(_ outcome: PunchOutcome, _ endpoint: CoordinationEndpoint, at: WallClockTime) -> PunchReport {
        var report = PunchReport(
            id: 0, role: outcome.role.name, endpoint: endpoint.description, attempts: outcome.attempts.count,
            outcome: PunchReport.connected, milliseconds: outcome.duration.inSeconds * 1000,
            ownNAT: outcome.ownMapping.name, peerNAT: (outcome.peerMapping ?? .unknown).name, at: Self.text(at))
        switch outcome.ending {
        case .connected(let path, let peer):
            report.path = path.name
            report.peer = peer?.description
        case .failed(let failure):
            report.outcome = PunchTally.word(for: failure)
            report.path = outcome.attempts.last?.path.name
            report.reason = failure.description
        }
        report.roundTrips = outcome.roundTrips.map(Double.init)
        report.roundTripMilliseconds = outcome.coordinationRoundTrip.map { $0.inSeconds * 1000 }
        self.tally.count(outcome)
        return self.keep(report)
    }

    private mutating func keep(_ report: PunchReport) -> PunchReport {
        var report = report
        report.id = self.nextID
        self.nextID += 1
        self.recent.append(report)
        if self.recent.count > PunchOperation.maximumPunches { self.recent.removeFirst() }
        return report
    }

    /// RFC 3339.
    static func text(_ time: WallClockTime) -> String {
        Date(timeIntervalSince1970: Double(time.milliseconds) / 1000).formatted(
            Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }
}
