// SPDX-License-Identifier: MIT

/// What `GET /v1/events` tells as it happens. The name of the event is the case's, its data the JSON of the value.
public enum ControlEvent: Hashable, Sendable {
    case incident(IncidentEvent)
    /// The best chain has another tip.
    case tip(ChainReport)
    case link(LinkEvent)
    case node(NodeReport)
    case driver(DriverReport)
    case alert(AlertReport)

    /// The field `event` of the stream.
    public enum Name: String, Hashable, Sendable, CaseIterable {
        case incident, tip, link, node, driver, alert
    }

    public var name: Name {
        switch self {
        case .incident: .incident
        case .tip: .tip
        case .link: .link
        case .node: .node
        case .driver: .driver
        case .alert: .alert
        }
    }

    /// What makes an event necessary.
    public enum Change: String, Hashable, Sendable, Codable {
        case opened, updated, closed
    }

    public struct IncidentEvent: Hashable, Sendable, Codable {
        public var change: Change
        public var incident: IncidentReport

        public init(change: Change, incident: IncidentReport) {
            self.change = change
            self.incident = incident
        }
    }

    public struct LinkEvent: Hashable, Sendable, Codable {
        /// `updated` when it shows another tip.
        public var change: Change
        public var link: LinkReport

        public init(change: Change, link: LinkReport) {
            self.change = change
            self.link = link
        }
    }

    /// The JSON value that is the event's data.
    public var data: any Encodable & Sendable {
        switch self {
        case .incident(let event): event
        case .tip(let chain): chain
        case .link(let event): event
        case .node(let node): node
        case .driver(let driver): driver
        case .alert(let alert): alert
        }
    }
}
