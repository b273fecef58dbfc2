// SPDX-License-Identifier: MIT

internal import AltNetControl
internal import AltNetDriverHost
internal import AltNetPunchReports
internal import AltNetWeb

// What the operator asks about hole punching.
extension DaemonOperations {
    func punchOverview() async -> PunchOverviewReport { await self.daemon.punching.overview }

    func punchOffers() async -> PunchOfferListReport {
        PunchOfferListReport(await self.daemon.punching.offerReports())
    }

    func nat() async throws(ControlRefusal) -> NATReport { try await self.daemon.punching.ask(PunchOperation.nat) }

    func checkNAT() async throws(ControlRefusal) -> NATReport {
        try await self.daemon.punching.ask(PunchOperation.natCheck)
    }

    func punches() async throws(ControlRefusal) -> PunchReports {
        try await self.daemon.punching.ask(PunchOperation.punches)
    }

    func punchStats() async throws(ControlRefusal) -> PunchStatsReport {
        try await self.daemon.punching.ask(PunchOperation.stats)
    }

    func rotatePunchKeys() async throws(ControlRefusal) -> PunchEndpoints {
        try await self.daemon.punching.ask(PunchOperation.rotateKeys)
    }

    func punch(_ request: PunchRequest) async throws(ControlRefusal) -> PunchReport {
        try await self.daemon.punching.punch(request)
    }
}

extension ControlRefusal {
    /// The status that the failure of a driver's operation has for whoever asked for it.
    init(_ error: OperationError) {
        let reason: Reason =
            switch error {
            case .notAnObject: .badRequest
            case .notOffered: .notFound
            case .notAttached, .failed: .conflict
            case .tooLarge: .contentTooLarge
            case .tooMany, .timedOut, .lost: .unavailable
            }
        self.init(reason, error.description)
    }
}
