// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDriverHost
internal import AltNetDriverProtocol
internal import AltNetHolePunch
internal import AltNetNode
internal import AltNetObjects
internal import AltNetPunchReports
internal import AltNetWeb
internal import FoundationEssentials
internal import Logging

// Connections that we make, and what becomes of them.
extension PunchService {
    /// Connects because the operator asks for it.
    func punch(_ request: PunchRequest) async throws(ControlRefusal) -> PunchReport {
        let endpoint: CoordinationEndpoint
        do throws(CoordinationEndpointError) {
            endpoint = try CoordinationEndpoint(request.endpoint)
        } catch {
            throw ControlRefusal(.badRequest, "\(UntrustedText(request.endpoint)): \(error)")
        }
        var addresses: OfferedAddresses
        do throws(OfferedAddressesError) {
            addresses = try OfferedAddresses(hosts: request.clearnet ?? [])
        } catch {
            throw ControlRefusal(.badRequest, error.description)
        }
        guard !self.exchange.isOwn(endpoint, now: .system) else {
            throw ControlRefusal(.conflict, "that is our own coordination endpoint")
        }
        guard self.driver != nil else { throw Self.noDriver }
        guard !self.taken.contains(endpoint) else {
            throw ControlRefusal(.conflict, "there is a punched connection to it already")
        }
        guard self.planner.began(endpoint) else {
            throw ControlRefusal(.conflict, "a connection to it is being made already")
        }
        let isTold = addresses.isEmpty
        if isTold {
            let planner = self.planner
            addresses = self.exchange.addresses(of: endpoint, now: .system) { planner.isLie($0, now: .system) }
        }
        return try await self.call(
            PunchCandidate(endpoint: endpoint, addresses: addresses), isTold: isTold, avoiding: nil)
    }

    /// Connects to somebody whom the planner let pass.
    func callUnasked(_ candidate: PunchCandidate, avoiding groups: Set<String>) async {
        do throws(ControlRefusal) {
            let report = try await self.call(candidate, isTold: true, avoiding: groups)
            self.logger.info(
                "hole punching",
                metadata: [
                    "outcome": "\(UntrustedText(report.outcome))", "attempts": "\(report.attempts)",
                    "path": "\(UntrustedText(report.path ?? "none"))",
                    "reason": "\(UntrustedText(report.reason ?? "none"))",
                ])
        } catch {
            self.logger.info("hole punching", metadata: ["outcome": "failed", "reason": "\(error)"])
        }
    }

    /// - Parameters:
    ///   - isTold: whether offers named the addresses, and not the operator.
    ///   - groups: network groups that nobody may be in; `nil` where the operator asks for the connection.
    private func call(
        _ candidate: PunchCandidate, isTold: Bool, avoiding groups: Set<String>?
    ) async throws(ControlRefusal) -> PunchReport {
        let endpoint = candidate.endpoint
        let report: PunchReport
        do throws(ControlRefusal) {
            report = try await self.ask(
                PunchOperation.punch,
                PunchRequest(endpoint: endpoint.description, clearnet: candidate.addresses.hosts))
        } catch {
            if self.driver == nil {
                self.planner.gaveUp(endpoint)
            } else {
                self.planner.ended(endpoint, connected: false, now: .system)
            }
            throw error
        }
        if isTold, report.outcome == PunchTally.notTheOffered, !candidate.addresses.isEmpty {
            let path = PunchPath.allCases.first { $0.name == report.path }
            self.planner.ended(endpoint, lies: candidate.lies(on: path), now: .system)
        } else {
            self.planner.ended(endpoint, connected: report.isConnected, now: .system)
        }
        guard report.isConnected else { return report }
        // What the offer claimed proves nothing.
        let group = report.peer.flatMap { ExternalEndpoint($0) }?.networkGroup ?? Self.relayedGroup
        let expected = Expected(
            standing: Standing(endpoint: endpoint, group: group), isAutomatic: groups != nil,
            avoided: groups ?? [])
        let used: Used?
        if let link = self.link(to: endpoint) {
            used = await self.use(link.number, link.description, expected)
        } else {
            used = await self.expect(expected)
        }
        // The operator is told what became of it; elsewhere nobody waits for the node.
        guard groups == nil else { return report }
        guard let used else {
            throw ControlRefusal(
                .conflict, "the connection stood, and the two sides made no link of it in \(Self.askerPatience)")
        }
        if let problem = await used.giving?.value { throw ControlRefusal(.conflict, problem) }
        return report
    }

    /// Puts a link that we made to use.
    ///
    /// What the driver says next does not wait for the node.
    func use(
        _ number: DriverLink, _ description: DriverLinkDescription, _ expected: Expected
    ) async -> Used {
        // An offer that does not tell where it leads to may lead to where we are connected already.
        if expected.isAutomatic, let group = expected.standing.group,
            expected.avoided.contains(group) || self.standing.values.contains(where: { $0.group == group })
        {
            self.planner.failed(expected.standing.endpoint, now: .system)
            await self.close(number, "there is a connection with its network group already")
            return Used(giving: nil)
        }
        self.note(number, expected.standing)
        guard description.peer.takesStreams, let driver = self.driver else { return Used(giving: nil) }
        return Used(giving: Task { await self.giveToNode(number, of: driver, expected.standing) })
    }

    /// Has the node connect over a link that is one stream; returns what went wrong.
    private func giveToNode(_ number: DriverLink, of driver: String, _ standing: Standing) async -> String? {
        do {
            guard let node else { throw LendingError("there is no node: set [node]") }
            let address = try await self.splicer.lend(number, of: driver)
            try await node.perform(.addPeer("\(address)"), because: "a connection to \(standing.endpoint) was punched")
            self.nodeProblem = nil
            return nil
        } catch {
            let problem = "a punched connection did not reach the node: \(error)"
            self.nodeProblem = problem
            self.logger.warning("punched connection not used", metadata: ["reason": "\(error)"])
            // The driver may have ended meanwhile, and another link have the number now.
            guard self.forget(number, to: standing.endpoint, of: driver) else { return problem }
            // While our node is down nobody else is to be bothered for it.
            self.planner.slowDown(now: .system)
            await self.close(number, "the node does not take it")
            return problem
        }
    }

    private func close(_ number: DriverLink, _ reason: String) async {
        guard let driver = self.driver else { return }
        await self.host?.send(.closeLink(number, DisconnectReason(.requested, reason)), to: driver)
    }

    // MARK: - Asking the driver

    static let noDriver = ControlRefusal(
        .conflict, "no driver for hole punching is attached; docs/hole-punching.md says how to switch it on")

    func ask<Answer: Decodable>(_ operation: String) async throws(ControlRefusal) -> Answer {
        try await self.ask(operation, Nothing())
    }

    func ask<Answer: Decodable>(
        _ operation: String, _ question: some Encodable
    ) async throws(ControlRefusal) -> Answer {
        guard let driver = self.driver, let perform = self.perform else { throw Self.noDriver }
        let answer: [UInt8]
        do {
            answer = try await perform(operation, Array(JSONEncoder().encode(question)), driver)
        } catch let error as OperationError {
            throw ControlRefusal(error)
        } catch {
            throw ControlRefusal(.internalError, "\(error)")
        }
        do {
            return try JSONDecoder().decode(Answer.self, from: Data(answer))
        } catch {
            throw ControlRefusal(.conflict, "the driver \(driver) answered \(operation) with something else: \(error)")
        }
    }
}
