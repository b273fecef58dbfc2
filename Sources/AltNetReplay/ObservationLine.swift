// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin
public import AltNetWatchdog
internal import FoundationEssentials

/// A line of a recording: one JSON value. docs/watchdog.md has the form of each event.
public enum ObservationLine: Hashable, Sendable {
    case observation(Observation)
    /// The daemon that recorded started here: nothing from before is known to its watchdog. The configuration of its
    /// watchdog, and its network; `nil` in recordings of versions that did not write them.
    case started(WallClockTime, Watchdog.Configuration? = nil, network: Network? = nil)

    /// No line is longer: a thousand peers of the node fit.
    public static let maximumLength = 1 << 20

    /// The moment of the line.
    public var at: WallClockTime {
        switch self {
        case .observation(let observation): observation.at
        case .started(let time, _, _): time
        }
    }

    /// The line without its end, in one stable form: keys in alphabetical order.
    public var text: String {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return String(decoding: try encoder.encode(self), as: UTF8.self)
        }
    }

    /// Reads a line.
    ///
    /// - Throws: ``ReplayError`` that names what is unknown, missing or wrong.
    public init(_ line: some Collection<UInt8>, file: String, number: Int) throws(ReplayError) {
        guard line.count <= Self.maximumLength else {
            throw ReplayError(file: file, line: number, "longer than \(Self.maximumLength) bytes")
        }
        do {
            self = try JSONDecoder().decode(ObservationLine.self, from: Data(line))
        } catch let error as DecodingError {
            throw ReplayError(file: file, line: number, error.sentence)
        } catch {
            throw ReplayError(file: file, line: number, "\(error)")
        }
    }
}

extension ObservationLine: Codable {
    private enum Name: String {
        case started, proved, best, shows, opened, closed, node, clock
        case blockBrought = "block-brought"
        case blockWithheld = "block-withheld"
        case nodePeers = "node-peers"
        case nodeRefuses = "node-refuses"

        /// The keys of the event beside `at` and `event`.
        var keys: Set<String> {
            switch self {
            case .started: StartedForm.keys
            case .proved: ["by", "header", "point"]
            case .best: ["point"]
            case .shows: ["point", "subject"]
            case .opened: ["driver", "exposure", "isTarget", "networkGroup", "operatorKey", "subject"]
            case .closed: ["subject"]
            case .blockBrought: ["by", "hash", "took"]
            case .blockWithheld: ["by", "hash", "why"]
            case .node: ["blocks", "headers", "isSyncing", "reach", "why"]
            case .clock: ["offset", "subject"]
            case .nodePeers: ["peers"]
            case .nodeRefuses: ["branchLength", "isHeaderValidForUs", "point"]
            }
        }
    }

    public init(from decoder: any Decoder) throws {
        let fields = try Fields(decoder)
        guard let name = Name(rawValue: try fields.text("event")) else {
            throw fields.problem("unknown event \(UntrustedText(try fields.text("event")))")
        }
        try fields.refuseOthers(than: name.keys.union(["at", "event"]))
        let at = try fields.time("at")
        let event: Observation.Event
        switch name {
        case .started:
            self = try StartedForm.read(fields, at: at)
            return
        case .proved:
            event = .proved(try fields.header("header"), try fields.value("point"), by: try fields.value("by"))
        case .best: event = .best(try fields.value("point"))
        case .shows: event = .shows(try fields.value("subject"), try fields.optional("point"))
        case .opened:
            event = .opened(
                try fields.value("subject"),
                LinkFacts(
                    driver: try fields.text("driver"), isTarget: try fields.value("isTarget"),
                    operatorKey: try fields.text("operatorKey"), networkGroup: try fields.text("networkGroup"),
                    exposure: try fields.text("exposure")))
        case .closed: event = .closed(try fields.value("subject"))
        case .blockBrought:
            event = .blockBrought(
                try fields.hash("hash"), by: try fields.value("by"), took: try fields.duration("took"))
        case .blockWithheld:
            event = .blockWithheld(
                try fields.hash("hash"), by: try fields.value("by"), why: try fields.text("why"))
        case .node: event = .node(try Self.node(fields))
        case .clock: event = .clock(try fields.value("subject"), offset: try fields.duration("offset"))
        case .nodePeers:
            let peers: [PeerForm] = try fields.value("peers")
            event = .nodePeers(peers.map(\.facts))
        case .nodeRefuses:
            event = .nodeRefuses(
                try fields.value("point"), branchLength: try fields.value("branchLength"),
                isHeaderValidForUs: try fields.value("isHeaderValidForUs"))
        }
        self = .observation(Observation(at: at, event))
    }

    private static func node(_ fields: Fields) throws -> NodeFacts {
        let why: String = try fields.optional("why") ?? ""
        let reach: NodeFacts.Reach
        switch try fields.text("reach") {
        case "reachable": reach = .reachable
        case "unreachable": reach = .unreachable(why)
        case "refused": reach = .refused(why)
        case "wrong-network": reach = .wrongNetwork(why)
        case let other: throw fields.problem("unknown reach \(UntrustedText(other))")
        }
        return NodeFacts(
            reach: reach, isSyncing: try fields.value("isSyncing"), blocks: try fields.value("blocks"),
            headers: try fields.value("headers"))
    }

    public func encode(to encoder: any Encoder) throws {
        var fields = FieldWriter(encoder)
        try fields.write("at", self.at.milliseconds)
        switch self {
        case .started(_, let configuration, let network):
            try fields.write("event", Name.started.rawValue)
            try StartedForm.write(configuration, network, to: &fields)
        case .observation(let observation): try Self.write(observation.event, to: &fields)
        }
    }

    private static func write(_ event: Observation.Event, to fields: inout FieldWriter) throws {
        switch event {
        case .proved(let header, let point, let by):
            try fields.write("event", Name.proved.rawValue)
            try fields.write("header", Hex.encode(header.bytes))
            try fields.write("point", point)
            try fields.write("by", by)
        case .best(let point):
            try fields.write("event", Name.best.rawValue)
            try fields.write("point", point)
        case .shows(let subject, let point):
            try fields.write("event", Name.shows.rawValue)
            try fields.write("subject", subject)
            try fields.write("point", point)
        case .opened(let subject, let facts):
            try fields.write("event", Name.opened.rawValue)
            try fields.write("subject", subject)
            try fields.write("driver", facts.driver)
            try fields.write("isTarget", facts.isTarget)
            try fields.write("operatorKey", facts.operatorKey)
            try fields.write("networkGroup", facts.networkGroup)
            try fields.write("exposure", facts.exposure)
        case .closed(let subject):
            try fields.write("event", Name.closed.rawValue)
            try fields.write("subject", subject)
        case .blockBrought(let hash, let by, let took):
            try fields.write("event", Name.blockBrought.rawValue)
            try fields.write("hash", hash.description)
            try fields.write("by", by)
            try fields.write("took", took.wholeNanoseconds / 1_000_000)
        case .blockWithheld(let hash, let by, let why):
            try fields.write("event", Name.blockWithheld.rawValue)
            try fields.write("hash", hash.description)
            try fields.write("by", by)
            try fields.write("why", why)
        case .node(let facts): try Self.write(facts, to: &fields)
        case .clock(let subject, let offset):
            try fields.write("event", Name.clock.rawValue)
            try fields.write("subject", subject)
            try fields.write("offset", offset.wholeNanoseconds / 1_000_000)
        case .nodePeers(let peers):
            try fields.write("event", Name.nodePeers.rawValue)
            try fields.write("peers", peers.map(PeerForm.init))
        case .nodeRefuses(let point, let length, let isValid):
            try fields.write("event", Name.nodeRefuses.rawValue)
            try fields.write("point", point)
            try fields.write("branchLength", length)
            try fields.write("isHeaderValidForUs", isValid)
        }
    }

    private static func write(_ facts: NodeFacts, to fields: inout FieldWriter) throws {
        try fields.write("event", Name.node.rawValue)
        switch facts.reach {
        case .reachable: try fields.write("reach", "reachable")
        case .unreachable(let why):
            try fields.write("reach", "unreachable")
            try fields.write("why", why)
        case .refused(let why):
            try fields.write("reach", "refused")
            try fields.write("why", why)
        case .wrongNetwork(let why):
            try fields.write("reach", "wrong-network")
            try fields.write("why", why)
        }
        try fields.write("isSyncing", facts.isSyncing)
        try fields.write("blocks", facts.blocks)
        try fields.write("headers", facts.headers)
    }
}

/// A peer of the node as a recording has it.
private struct PeerForm: Codable {
    var facts: NodePeerFacts

    init(_ facts: NodePeerFacts) {
        self.facts = facts
    }

    init(from decoder: any Decoder) throws {
        let fields = try Fields(decoder)
        try fields.refuseOthers(than: ["address", "clockOffset", "isInbound", "networkGroup"])
        self.facts = NodePeerFacts(
            address: try fields.text("address"), networkGroup: try fields.text("networkGroup"),
            isInbound: try fields.value("isInbound"), clockOffset: try fields.duration("clockOffset"))
    }

    func encode(to encoder: any Encoder) throws {
        var fields = FieldWriter(encoder)
        try fields.write("address", self.facts.address)
        try fields.write("networkGroup", self.facts.networkGroup)
        try fields.write("isInbound", self.facts.isInbound)
        try fields.write("clockOffset", self.facts.clockOffset.wholeNanoseconds / 1_000_000)
    }
}
