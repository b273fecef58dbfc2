// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetControl

/// All that `/metrics` says, and where it comes from. `docs/grafana-dashboard.json` uses these names; a test compares.
enum Metrics {
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    static let info = Metric(
        "altnet_info", .gauge, labels: ["software", "network"], "Always 1; which program answers.")
    static let healthy = Metric("altnet_store_ok", .gauge, "1 while headers can be stored.")
    static let safe = Metric("altnet_safe", .gauge, "1 while GET /v1/safe answers 200.")
    static let height = Metric("altnet_chain_height", .gauge, "Height of the best valid chain.")
    static let tipTime = Metric(
        "altnet_chain_tip_time_seconds", .gauge, "Time in the header of the best chain's tip, since 1970.")
    static let work = Metric("altnet_chain_work", .gauge, "Total work of the best chain, in hashes, rounded.")
    static let headers = Metric("altnet_headers", .gauge, "Headers that are kept, side branches included.")

    static let links = Metric("altnet_links", .gauge, labels: ["driver", "state"], "Links and targets without one.")
    static let linkBehind = Metric(
        "altnet_link_blocks_behind", .gauge, labels: ["driver", "target"],
        "Blocks of the best chain that a target's link has not shown.")
    static let linkLateness = Metric(
        "altnet_link_lateness_seconds", .gauge, labels: ["driver", "target"],
        "How much later than elsewhere blocks are first shown on a target's link.")
    static let linkLatency = Metric(
        "altnet_link_latency_seconds", .gauge, labels: ["driver", "target"], "How long a target's last answer took.")

    static let nodeReachable = Metric("altnet_node_reachable", .gauge, "1 while the operator's node answers.")
    static let nodeSyncing = Metric("altnet_node_syncing", .gauge, "1 while the node says it is in its first download.")
    static let nodeBlocks = Metric("altnet_node_blocks", .gauge, "Height of the node's validated chain.")
    static let nodeHeaders = Metric("altnet_node_headers", .gauge, "Height of the node's best header.")
    static let nodeBehind = Metric("altnet_node_blocks_behind", .gauge, "Blocks of our best chain that the node lacks.")
    static let nodePeers = Metric("altnet_node_peers", .gauge, labels: ["direction"], "Peers of the node.")

    static let incidentsOpen = Metric(
        "altnet_incidents_open", .gauge, labels: ["kind", "severity"], "Incidents that have not ended.")
    static let incidents = Metric(
        "altnet_incidents_total", .counter, labels: ["kind", "severity"], "Incidents that opened since the start.")
    static let alerts = Metric(
        "altnet_alerts_total", .counter, labels: ["sink", "outcome"], "Attempts to deliver alerts since the start.")

    static let transactions = Metric(
        "altnet_transactions_total", .counter, labels: ["outcome"],
        "Transactions that remotes handed to us since the start, by what became of them.")

    static let driverUp = Metric("altnet_driver_up", .gauge, labels: ["driver"], "1 while the driver is attached.")
    static let driverRestarts = Metric(
        "altnet_driver_restarts_total", .counter, labels: ["driver"], "How often the driver was started again.")

    static let spliceConnections = Metric(
        "altnet_splice_connections", .gauge, labels: ["splice"], "Connections of a splice that are open.")
    static let spliceBytes = Metric(
        "altnet_splice_bytes_total", .counter, labels: ["splice", "direction"],
        "Bytes that a splice carried; in is towards the operator's node.")

    static let nat = Metric(
        "altnet_nat_confidence", .gauge, labels: ["mapping"], "How sure the NAT check is of the mapping, 0 to 1.")
    static let punches = Metric(
        "altnet_punches_total", .counter, labels: ["role", "outcome", "path", "own_nat", "peer_nat"],
        "Attempts at connections through NATs since the driver's start, by how they ended.")
    static let punchEvents = Metric(
        "altnet_punch_events_total", .counter, labels: ["event"],
        "What else the driver of hole punching counted since its start.")
    static let punchLinks = Metric(
        "altnet_punch_links", .gauge, labels: ["role", "state"], "Punched links, those that stand and those wanted.")
    static let punchOffers = Metric(
        "altnet_punch_offers", .gauge, labels: ["whose"], "Offers of hole punching that are known, and our own.")
    static let punchOfferEvents = Metric(
        "altnet_punch_offers_total", .counter, labels: ["event"],
        "What happened to offers of hole punching since the start.")

    static let requests = Metric(
        "altnet_http_requests_total", .counter, labels: ["listener", "class"], "Requests answered, by class of status.")
    static let eventStreams = Metric("altnet_http_event_streams", .gauge, "Event streams that are open.")

    // Prometheus' own names for what every process has.
    static let cpu = Metric("process_cpu_seconds_total", .counter, "User and system CPU time, in seconds.")
    static let resident = Metric("process_resident_memory_bytes", .gauge, "Resident memory, in bytes.")
    static let files = Metric("process_open_fds", .gauge, "Open file descriptors.")
    static let maximumFiles = Metric("process_max_fds", .gauge, "File descriptors that the system allows.")
    static let started = Metric("process_start_time_seconds", .gauge, "When the process started, since 1970.")

    static let catalogue: [Metric] = [
        info, healthy, safe, height, tipTime, work, headers, links, linkBehind, linkLateness, linkLatency,
        nodeReachable, nodeSyncing, nodeBlocks, nodeHeaders, nodeBehind, nodePeers, incidentsOpen, incidents, alerts,
        transactions, driverUp, driverRestarts, spliceConnections, spliceBytes, nat, punches, punchEvents, punchLinks,
        punchOffers, punchOfferEvents, requests, eventStreams, cpu, resident, files, maximumFiles, started,
    ]
}

/// What the page is made of.
struct MetricsInput: Sendable {
    var status: StatusReport
    var links: [LinkReport]
    var drivers: [DriverReport]
    var node: NodeReport
    var splices: [SpliceReport]
    var safe: SafeReport
    var openIncidents: [IncidentReport]
    var counters: ControlCounters
    var punch: PunchOverviewReport
    /// Answers by listener and first digit of the status.
    var http: [Listener.Kind: [Int: UInt64]]
    var eventStreams: Int
    var process: ProcessFigures
}

extension Metrics {
    static func page(_ input: MetricsInput) -> String {
        var page = MetricsPage()
        page.addChain(input)
        page.addLinks(input.links)
        page.addNode(input.node)
        page.addIncidents(input)
        for entry in input.counters.transactions {
            page.add(Self.transactions, [entry.outcome], Double(entry.count))
        }
        for driver in input.drivers {
            page.add(Self.driverUp, [driver.name], driver.state == "attached" ? 1 : 0)
            page.add(Self.driverRestarts, [driver.name], Double(driver.restarts))
        }
        for splice in input.splices {
            page.add(Self.spliceConnections, [splice.name], Double(splice.connections))
            page.add(Self.spliceBytes, [splice.name, "in"], Double(splice.bytesIn))
            page.add(Self.spliceBytes, [splice.name, "out"], Double(splice.bytesOut))
        }
        page.add(input.punch)
        page.addProcess(input)
        return page.text(Self.catalogue)
    }
}

extension MetricsPage {
    fileprivate mutating func addChain(_ input: MetricsInput) {
        let chain = input.status.chain
        self.add(Metrics.info, [input.status.software, input.status.network], 1)
        self.add(Metrics.healthy, input.status.storeFailure == nil ? 1 : 0)
        self.add(Metrics.safe, input.safe.safe ? 1 : 0)
        self.add(Metrics.height, Double(chain.height))
        self.add(Metrics.tipTime, Double(chain.tipTime.time.milliseconds) / 1000)
        self.add(Metrics.work, Self.number(hex: chain.work))
        self.add(Metrics.headers, Double(chain.headers))
    }

    fileprivate mutating func addLinks(_ links: [LinkReport]) {
        let groups = Dictionary(grouping: links) { [$0.driver, $0.state] }
        for (labels, links) in groups.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            self.add(Metrics.links, labels, Double(links.count))
        }
        // Links that others open come and go under ever new names; only what the operator asked for has a series. Two
        // links to one target would be the same series twice.
        var seen: Set<[String]> = []
        for link in links {
            guard link.state == "open", let target = link.target, seen.insert([link.driver, target]).inserted else {
                continue
            }
            self.add(Metrics.linkBehind, [link.driver, target], link.missingBlocks.map(Double.init))
            self.add(Metrics.linkLateness, [link.driver, target], link.latenessSeconds)
            self.add(Metrics.linkLatency, [link.driver, target], link.latencyMilliseconds.map { $0 / 1000 })
        }
    }

    fileprivate mutating func addNode(_ node: NodeReport) {
        guard node.kind != "none" else { return }
        self.add(Metrics.nodeReachable, node.reach == "reachable" ? 1 : 0)
        self.add(Metrics.nodeSyncing, node.isSyncing ? 1 : 0)
        self.add(Metrics.nodeBlocks, node.blocks.map(Double.init))
        self.add(Metrics.nodeHeaders, node.headers.map(Double.init))
        self.add(Metrics.nodeBehind, node.missingBlocks.map(Double.init))
        self.add(Metrics.nodePeers, ["inbound"], Double(node.inboundPeers))
        self.add(Metrics.nodePeers, ["outbound"], Double(node.outboundPeers))
    }

    fileprivate mutating func addIncidents(_ input: MetricsInput) {
        let groups = Dictionary(grouping: input.openIncidents) { [$0.kind, $0.severity] }
        for (labels, incidents) in groups.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            self.add(Metrics.incidentsOpen, labels, Double(incidents.count))
        }
        for counter in input.counters.incidents {
            self.add(Metrics.incidents, [counter.kind, counter.severity], Double(counter.count))
        }
        for counter in input.counters.alerts {
            self.add(Metrics.alerts, [counter.sink, counter.outcome], Double(counter.count))
        }
    }

    fileprivate mutating func addProcess(_ input: MetricsInput) {
        for kind in Listener.Kind.allCases {
            for (digit, count) in (input.http[kind] ?? [:]).sorted(by: { $0.key < $1.key }) {
                self.add(Metrics.requests, [kind.rawValue, "\(digit)xx"], Double(count))
            }
        }
        self.add(Metrics.eventStreams, Double(input.eventStreams))
        self.add(Metrics.cpu, input.process.cpuSeconds)
        self.add(Metrics.resident, input.process.residentBytes)
        self.add(Metrics.files, input.process.openFiles)
        self.add(Metrics.maximumFiles, input.process.maximumFiles)
        self.add(Metrics.started, Double(input.status.started.time.milliseconds) / 1000)
    }

    /// 256 bits do not fit a float; their first 53 do.
    private static func number(hex: String) -> Double {
        hex.reduce(0) { $0 * 16 + Double($1.hexDigitValue ?? 0) }
    }
}
