// SPDX-License-Identifier: MIT

import AltNetControl
import AltNetPunchReports
import Foundation
import Testing

@testable import AltNetWeb

@Suite("Metrics")
struct MetricsTests {
    private func page() async -> String {
        let operations = FakeOperations()
        return Metrics.page(
            MetricsInput(
                status: await operations.status(), links: await operations.links(), drivers: await operations.drivers(),
                node: await operations.node(), splices: await operations.splices(), safe: await operations.safe(),
                openIncidents: [FakeOperations.incident(1, isOpen: true)], counters: await operations.counters(),
                punch: await operations.punchOverview(), http: [.tcp: [2: 10, 4: 3], .unix: [2: 1]], eventStreams: 2,
                process: ProcessFigures(cpuSeconds: 1.5, residentBytes: 4096, openFiles: 9, maximumFiles: .infinity)))
    }

    @Test("the page is as expected, line by line")
    func golden() async {
        let expected = """
            altnet_info{software="altnetd 0.1.0",network="main"} 1
            altnet_store_ok 1
            altnet_safe 1
            altnet_chain_height 800000
            altnet_chain_tip_time_seconds 1700000000.123
            altnet_chain_work 255
            altnet_headers 800002
            altnet_links{driver="bitcoin",state="open"} 1
            altnet_links{driver="lightning",state="unreachable"} 1
            altnet_link_blocks_behind{driver="bitcoin",target="127.0.0.1:8333"} 2
            altnet_link_lateness_seconds{driver="bitcoin",target="127.0.0.1:8333"} 0.25
            altnet_link_latency_seconds{driver="bitcoin",target="127.0.0.1:8333"} 0.0125
            altnet_node_reachable 1
            altnet_node_syncing 0
            altnet_node_blocks 799998
            altnet_node_headers 800000
            altnet_node_blocks_behind 2
            altnet_node_peers{direction="inbound"} 8
            altnet_node_peers{direction="outbound"} 10
            altnet_incidents_open{kind="link-behind",severity="warning"} 1
            altnet_incidents_total{kind="link-behind",severity="warning"} 4
            altnet_alerts_total{sink="webhook",outcome="delivered"} 3
            altnet_transactions_total{outcome="accepted"} 5
            altnet_driver_up{driver="bitcoin"} 1
            altnet_driver_restarts_total{driver="bitcoin"} 3
            altnet_splice_connections{splice="core"} 1
            altnet_splice_bytes_total{splice="core",direction="in"} 10
            altnet_splice_bytes_total{splice="core",direction="out"} 20
            altnet_nat_confidence{mapping="endpoint-independent"} 0.9
            altnet_punches_total{role="initiator",outcome="connected",path="punch",own_nat="endpoint-independent",peer_nat="open"} 3
            altnet_punches_total{role="responder",outcome="impossible",path="none",own_nat="endpoint-independent",peer_nat="endpoint-dependent"} 1
            altnet_punch_events_total{event="refused-busy"} 2
            altnet_punch_links{role="responder",state="open"} 1
            altnet_punch_links{role="responder",state="wanted"} 4
            altnet_punch_links{role="initiator",state="open"} 1
            altnet_punch_links{role="initiator",state="wanted"} 2
            altnet_punch_offers{whose="others"} 5
            altnet_punch_offers{whose="own"} 1
            altnet_punch_offers_total{event="learned"} 9
            altnet_punch_offers_total{event="relayed"} 7
            altnet_http_requests_total{listener="unix",class="2xx"} 1
            altnet_http_requests_total{listener="tcp",class="2xx"} 10
            altnet_http_requests_total{listener="tcp",class="4xx"} 3
            altnet_http_event_streams 2
            process_cpu_seconds_total 1.5
            process_resident_memory_bytes 4096
            process_open_fds 9
            process_max_fds +Inf
            process_start_time_seconds 1700000000.123
            """
        let lines = await self.page().split(separator: "\n").filter { !$0.hasPrefix("#") }
        #expect(lines.joined(separator: "\n") == expected)
    }

    @Test("the page is in the exposition format, and every series has its metric's labels")
    func format() async throws {
        let page = await self.page()
        #expect(page.hasSuffix("\n"))
        let metrics = Dictionary(uniqueKeysWithValues: Metrics.catalogue.map { ($0.name, $0) })
        var current: Metric?
        var types: [String: String] = [:]
        var series: Set<String> = []
        for line in page.split(separator: "\n") {
            if let match = line.wholeMatch(of: /# HELP ([a-z_]+) (\S.*)/) {
                current = try #require(metrics[String(match.1)])
                #expect(match.2.hasSuffix("."))
            } else if let match = line.wholeMatch(of: /# TYPE ([a-z_]+) (counter|gauge)/) {
                #expect(String(match.1) == current?.name)
                #expect(types.updateValue(String(match.2), forKey: String(match.1)) == nil)
            } else {
                let match = try #require(
                    line.wholeMatch(of: /([a-z_]+)(?:\{(.*)\})? (\S+)/), "\(line)")
                #expect(String(match.1) == current?.name)
                let labels = (match.2 ?? "").matches(of: /([a-z_]+)="((?:[^"\\]|\\.)*)"/).map { String($0.1) }
                #expect(labels == current?.labels, "\(line)")
                #expect(Double(match.3) != nil || match.3 == "+Inf", "\(line)")
                #expect(series.insert("\(match.1) \(match.2 ?? "")").inserted, "\(line) comes twice")
            }
        }
        #expect(types.count == Metrics.catalogue.count)
        for metric in Metrics.catalogue {
            #expect(metric.name.hasSuffix("_total") == (metric.kind == .counter), "\(metric.name)")
        }
    }

    @Test("labels are escaped, and a metric has no more series than the bound")
    func bounds() {
        let metric = Metric("x", .gauge, labels: ["a"], "Help.")
        var page = MetricsPage()
        page.add(metric, ["q\"b\\n\n"], 1)
        for number in 0..<MetricsPage.maximumSeries * 2 { page.add(metric, ["\(number)"], .nan) }
        let lines = page.text([metric]).split(separator: "\n")
        #expect(lines[2] == #"x{a="q\"b\\n\n"} 1"#)
        #expect(lines[3] == #"x{a="0"} NaN"#)
        #expect(lines.count == 2 + MetricsPage.maximumSeries)
    }

    @Test("many links of others and two links to one target make no more series")
    func cardinality() async {
        let operations = FakeOperations()
        var links: [LinkReport] = []
        for number in 0..<1_000 {
            var link = LinkReport(driver: "bitcoin", state: "open")
            link.id = UInt64(number)
            link.remote = "10.0.0.\(number)"
            link.missingBlocks = 1
            if number < 2 { link.target = "same" }
            links.append(link)
        }
        var input = MetricsInput(
            status: await operations.status(), links: links, drivers: [],
            node: NodeReport(kind: "none", description: "", reach: "none"), splices: [], safe: await operations.safe(),
            openIncidents: [], counters: ControlCounters(), punch: await operations.punchOverview(), http: [:],
            eventStreams: 0, process: ProcessFigures())
        input.drivers = []
        let series = Metrics.page(input).split(separator: "\n").filter { $0.hasPrefix("altnet_link") }
        #expect(
            series == [
                #"altnet_links{driver="bitcoin",state="open"} 1000"#,
                #"altnet_link_blocks_behind{driver="bitcoin",target="same"} 1"#,
            ])
    }

    @Test("what a driver calls its counters makes no series that others cannot read, and none twice")
    func words() async {
        var overview = await FakeOperations().punchOverview()
        overview.stats?.counters = ["a b": 1, "c\"": 2, String(repeating: "x", count: 49): 4, "": 8, "fine-one": 16]
        overview.nat?.mapping = "<b>"
        var page = MetricsPage()
        page.add(overview)
        let lines = page.text([Metrics.nat, Metrics.punchEvents]).split(separator: "\n").filter { !$0.hasPrefix("#") }
        #expect(
            lines == [
                #"altnet_nat_confidence{mapping="other"} 0.9"#, #"altnet_punch_events_total{event="fine-one"} 16"#,
                #"altnet_punch_events_total{event="other"} 15"#,
            ])
    }

    @Test("this process has memory, CPU time and files")
    func process() {
        let figures = ProcessFigures.current
        #expect((figures.residentBytes ?? 0) > 1_000_000)
        #expect((figures.cpuSeconds ?? 0) > 0)
        #expect((figures.openFiles ?? 0) > 3)
        #expect((figures.maximumFiles ?? 0) >= (figures.openFiles ?? 0))
    }

    @Test("Prometheus' own checker finds nothing wrong")
    func promtool() async throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/promtool")
        guard FileManager.default.isExecutableFile(atPath: "/usr/bin/promtool") else {
            // Debian's package prometheus has it; the tests do not need the server itself.
            print("skipped: there is no /usr/bin/promtool")
            return
        }
        process.arguments = ["check", "metrics"]
        let (input, output) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardError = output
        try process.run()
        input.fileHandleForWriting.write(Data(await self.page().utf8))
        try input.fileHandleForWriting.close()
        let complaints = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(complaints)")
    }

    @Test("every expression of the Grafana dashboard names metrics and labels that there are")
    func grafana() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let text = try Data(contentsOf: root.appendingPathComponent("docs/grafana-dashboard.json"))
        let dashboard = try #require(try JSONSerialization.jsonObject(with: text) as? [String: Any])
        let panels = try #require(dashboard["panels"] as? [[String: Any]])
        let expressions = panels.flatMap { $0["targets"] as? [[String: Any]] ?? [] }.compactMap {
            $0["expr"] as? String
        }
        #expect(expressions.count > 10)
        let metrics = Dictionary(uniqueKeysWithValues: Metrics.catalogue.map { ($0.name, $0) })
        for expression in expressions {
            let names = expression.matches(of: /\b(altnet|process)_[a-z_]+/).map { String($0.0) }
            #expect(!names.isEmpty, "\(expression)")
            for name in names { #expect(metrics[name] != nil, "\(name) in \(expression)") }
            let labels = names.flatMap { metrics[$0]?.labels ?? [] } + ["job", "instance"]
            for match in expression.matches(of: /(?:by|without) \(([^)]*)\)/) {
                for label in match.1.split(separator: ",").map({ $0.trimmingCharacters(in: .whitespaces) }) {
                    #expect(labels.contains(label), "\(label) in \(expression)")
                }
            }
        }
        let positions = panels.compactMap { $0["gridPos"] as? [String: Int] }
        #expect(positions.count == panels.count)
        #expect(Set(panels.compactMap { $0["id"] as? Int }).count == panels.count)
    }
}
