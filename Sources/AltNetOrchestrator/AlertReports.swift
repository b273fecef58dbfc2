// SPDX-License-Identifier: MIT

internal import AltNetAlerts
internal import AltNetBase
internal import AltNetConfiguration
internal import AltNetControl
internal import AltNetWatchdog

extension AlertMessage.Severity {
    init(_ severity: Incident.Severity) {
        switch severity {
        case .warning: self = .warning
        case .critical: self = .critical
        }
    }
}

extension AlertMessage {
    /// What became of an incident.
    init(_ incident: Incident, _ change: ControlEvent.Change, node: String, network: String) {
        let event: Event =
            switch change {
            case .opened: .opened
            case .updated: .updated
            case .closed: .closed
            }
        self.init(
            node: node, network: network, event: event, number: incident.updated.milliseconds, at: incident.updated,
            incident: incident.id, kind: incident.kind.rawValue, severity: Severity(incident.severity),
            subject: incident.subject.name, explanation: incident.explanation, since: incident.since,
            opened: incident.opened, closed: incident.closed, ending: incident.ending?.rawValue,
            measures: incident.measures.map { Measure(name: $0.name, value: $0.value, unit: $0.unit) },
            actions: incident.actions.map {
                Action(at: $0.at, action: $0.action, outcome: $0.outcome.rawValue, detail: $0.detail)
            })
    }
}

extension AlertReport {
    init(_ delivery: AlertDelivery) {
        self.init(
            at: Timestamp(delivery.at), sink: delivery.sink, incident: delivery.incident, attempt: delivery.attempt,
            outcome: delivery.outcome.rawValue, detail: delivery.detail)
    }
}
