// SPDX-License-Identifier: MIT

internal import AltNetControl

/// What the daemon reaches.
extension DoctorChecks {
    static func drivers(_ situation: DoctorSituation) -> [DoctorFinding] {
        let check = "drivers"
        guard case .answers = situation.daemon else { return [] }
        var findings: [DoctorFinding] = []
        for driver in situation.drivers where driver.isEnabled {
            guard let report = driver.report else {
                findings.append(
                    .fail(
                        check, "the driver \(driver.name) is configured, and the daemon does not have it",
                        fix: "restart the daemon; its log says why a driver is not attached"))
                continue
            }
            let restarts = report.restarts == 0 ? "" : ", restarted \(report.restarts) times"
            let reason = report.reason.map { ": \($0)" } ?? ""
            switch report.state {
            case "attached" where report.restarts == 0:
                findings.append(.ok(check, "the driver \(driver.name) is attached"))
            case "attached", "starting":
                findings.append(
                    .warn(
                        check, "the driver \(driver.name) is \(report.state)\(restarts)",
                        fix: "look at its lines in the log"))
            case "waiting":
                findings.append(
                    .warn(
                        check,
                        "the driver \(driver.name) is waiting for the program that somebody else starts\(reason)",
                        fix: "start that program, and give it the start file that `altnet drivers` shows"))
            default:
                findings.append(
                    .fail(
                        check, "the driver \(driver.name) is \(report.state)\(restarts)\(reason)",
                        fix: "look at its lines in the log"))
            }
            if !driver.listen.isEmpty, report.state == "attached", report.listening.isEmpty {
                findings.append(
                    .fail(
                        "ports",
                        "the driver \(driver.name) does not listen at \(driver.listen.joined(separator: ", "))",
                        fix: "look for another program at that port: ss -ltnp"))
            }
        }
        if !situation.drivers.contains(where: \.isEnabled) {
            findings.append(
                .fail(check, "no driver is enabled: nothing can be seen", fix: "enable one, see docs/configuration.md"))
        }
        return findings
    }

    static func links(_ situation: DoctorSituation) -> [DoctorFinding] {
        let check = "links"
        guard case .answers = situation.daemon else { return [] }
        var findings: [DoctorFinding] = situation.links.filter { $0.state != "open" }.map { link in
            .warn(
                check,
                "\(link.driver) cannot reach \(link.target ?? link.remote ?? "a target"): \(link.reason ?? link.state)",
                fix: "look whether it runs, and at the address")
        }
        let open = situation.links.filter { $0.state == "open" }
        guard !open.isEmpty else {
            findings.append(
                .fail(
                    check, "no link is open: the daemon sees nothing", fix: "open one: altnet link open DRIVER TARGET"))
            return findings
        }
        let fix = "add links to others, or over another driver: one operator can hide blocks from all of its links"
        let groups = Set(open.map { $0.networkGroup ?? $0.remote ?? $0.target ?? "" })
        let drivers = Set(open.map(\.driver))
        if open.count == 1 {
            findings.append(.warn(check, "only one link is open", fix: fix))
        } else if groups.count == 1 {
            findings.append(.warn(check, "all \(open.count) links lead to one network group", fix: fix))
        } else if drivers.count == 1 {
            findings.append(
                .warn(
                    check, "all \(open.count) links go over the driver \(open[0].driver)",
                    fix: "add a link over another driver"))
        } else {
            findings.append(
                .ok(
                    check,
                    "\(open.count) links are open, over \(drivers.count) drivers, to \(groups.count) network groups"))
        }
        return findings
    }

    static func proxy(_ proxy: DoctorSituation.Endpoint) -> DoctorFinding {
        guard let failure = proxy.failure else {
            return .ok("proxy", "the proxy \(proxy.address) answers (\(proxy.usedBy))")
        }
        return .fail(
            "proxy", "the proxy \(proxy.address) of \(proxy.usedBy) does not answer: \(failure)",
            fix: "start it (for Tor: systemctl start tor), or mend its address")
    }

    static func node(_ node: DoctorSituation.Node, network: String) -> [DoctorFinding] {
        let check = "node"
        let facts: DoctorSituation.Node.Facts
        switch node.answer {
        case .none(let reason): return [.fail(check, reason, fix: "see [node] in docs/configuration.md")]
        case .facts(let found): facts = found
        }
        guard facts.isExpectedNetwork else {
            return [
                .fail(
                    check, "the node at \(node.url) follows \(facts.network), and altnetd watches \(network)",
                    fix: "set node.url to a node of \(network), or network to the node's")
            ]
        }
        var findings: [DoctorFinding] = [.ok(check, "\(facts.version) answers at \(node.url), height \(facts.blocks)")]
        if facts.isSyncing {
            findings.append(
                .warn(
                    check, "the node is still synchronising: block \(facts.blocks) of \(facts.headers)",
                    fix: "wait; until then nothing is said about the node being behind"))
        }
        if facts.isPruned {
            findings.append(
                .warn(
                    check, "the node is pruned: it cannot give old blocks to others", fix: "nothing, if that is meant"))
        }
        if node.allow.isEmpty {
            findings.append(
                .warn(
                    check, "nothing may be changed of the node: it is watched and not healed",
                    fix: "set node.allow = [\"headers\", \"blocks\", \"peers\"] to let altnetd help it"))
        } else {
            findings.append(.ok(check, "altnetd may give the node: \(node.allow.joined(separator: ", "))"))
        }
        switch node.zmq {
        case let endpoint? where endpoint.failure == nil:
            findings.append(.ok("zmq", "new blocks are announced at \(endpoint.address)"))
        case let endpoint?:
            findings.append(
                .fail(
                    "zmq", "nobody publishes at \(endpoint.address): \(endpoint.failure ?? "")",
                    fix: "start the node with zmqpubhashblock=\(endpoint.address)"))
        case nil where node.wantsZMQ:
            findings.append(
                .fail(
                    "zmq", "node.follow is zmq, and the node publishes no hashblock",
                    fix: "start the node with zmqpubhashblock=tcp://127.0.0.1:28332"))
        case nil: break
        }
        return findings
    }
}
