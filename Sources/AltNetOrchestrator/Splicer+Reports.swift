// SPDX-License-Identifier: MIT

internal import AltNetConfiguration
public import AltNetControl
internal import AltNetDriverProtocol
internal import AltNetObjects
internal import AltNetTransport

extension Splicer {
    /// The ports in the order of their names; and, where streams of others are accepted, one entry more, whose name no
    /// port can have and whose target is where they come out.
    public var reports: [SpliceReport] {
        var reports = self.ports.sorted { $0.key < $1.key }.map { name, port in
            var report = SpliceReport(name: name, driver: port.configuration.driver)
            report.listening = port.address?.description
            report.target = port.configuration.target
            self.fill(&report, from: port.tally)
            if port.address != nil, self.link(for: port.configuration) == nil {
                report.reason = "no link that takes streams is open"
            }
            return report
        }
        if let address = self.configuration.accept {
            var report = SpliceReport(name: "(accept)", driver: "any")
            report.target = address
            self.fill(&report, from: self.accepted)
            reports.append(report)
        }
        return reports
    }

    private func fill(_ report: inout SpliceReport, from tally: Tally) {
        var traffic = tally.traffic
        report.reason = tally.problem
        for key in tally.open {
            guard let stream = self.connections[key]?.connection.stream else { continue }
            traffic += stream.traffic
            guard stream.isOpen else { continue }
            report.connections += 1
            // What stands now says that the last problem is over.
            report.reason = nil
        }
        report.bytesIn = traffic.received
        report.bytesOut = traffic.sent
    }
}

extension DaemonConfiguration.Splice.Port {
    /// Whether a link of the port's driver is one that it may use: any, or the one to its target, whoever dialled.
    func matches(_ link: DriverLinkDescription) -> Bool {
        guard let target = self.target else { return true }
        if link.target == target { return true }
        let identity = link.peer.identity
        return !identity.isEmpty && target.prefix { $0 != "@" } == identity
    }
}

extension StreamRefusal {
    /// Why we refuse, in words for our operator.
    var ownReason: String {
        switch self {
        case .notAccepted: "splice.accept is not set"
        case .unsupported: "its purpose is unknown"
        case .busy: "there are too many streams"
        case .unavailable: "our node cannot be reached"
        }
    }
}
