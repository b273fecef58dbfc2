// SPDX-License-Identifier: MIT

internal import AltNetControl
internal import ArgumentParser

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Where the daemon and its best chain stand.")

    @OptionGroup var daemon: DaemonOptions

    func run() async throws {
        try await self.daemon.show({ try await $0.status() }) { status in
            var lines = [
                "\(status.software), process \(status.processID), on \(status.network) since \(status.started)",
                "chain      height \(status.chain.height), \(status.chain.headers) headers, tip \(status.chain.tip)",
                "           tip time \(status.chain.tipTime), work \(status.chain.work.trimmingZeros)",
                "links      \(status.links), \(status.linksBehind) behind",
                "drivers    \(status.drivers)",
                "incidents  \(status.openIncidents) open",
                "data       \(status.dataDirectory)",
            ]
            if let failure = status.storeFailure { lines.append("PROBLEM    \(failure)") }
            return lines.joined(separator: "\n")
        }
    }
}

struct LinksCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "links", abstract: "Every link: to whom, over what, and how far behind the best chain.")

    @OptionGroup var daemon: DaemonOptions

    func run() async throws {
        try await self.daemon.show({ try await $0.links() }) { links in
            TextTable.of(
                ["LINK", "DRIVER", "REMOTE", "TIP", "BEHIND", "SINCE", "EXPOSURE", "AGENT"],
                links.map { link in
                    [
                        link.id.map(String.init) ?? "-", link.driver, Self.remote(link),
                        link.tipHeight.map(String.init) ?? (link.presyncHeight.map { "(\($0))" } ?? "?"),
                        Self.behind(link), Self.since(link), link.exposure ?? "-", link.reason ?? link.agent ?? "",
                    ]
                }, empty: "no links; open one with `altnet link open DRIVER TARGET`")
        }
    }

    private static func remote(_ link: LinkReport) -> String {
        let text = link.target ?? link.remote ?? ""
        // A Lightning node's key is recognised by its beginning.
        guard let at = text.firstIndex(of: "@"), text.distance(from: text.startIndex, to: at) > 16 else { return text }
        return text.prefix(12) + "…" + text[at...]
    }

    private static func behind(_ link: LinkReport) -> String {
        if link.state != "open" { return link.state }
        if link.isLowWork { return "low work" }
        guard let missing = link.missingBlocks else { return "?" }
        return missing == 0 ? "-" : "\(missing)"
    }

    private static func since(_ link: LinkReport) -> String {
        if let since = link.missingSince { return since.description }
        return link.state == "open" ? "-" : (link.since?.description ?? "-")
    }
}

struct TipsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tips", abstract: "Which tips there are, and who stands on them.")

    @OptionGroup var daemon: DaemonOptions

    func run() async throws {
        try await self.daemon.show({ try await $0.tips() }) { tips in
            TextTable.of(
                ["HEIGHT", "HASH", "FORK", "FOLLOWED BY"],
                tips.map { tip in
                    [
                        "\(tip.height)\(tip.isBest ? " best" : "")", tip.hash, tip.isBest ? "-" : "\(tip.forkHeight)",
                        tip.followers.joined(separator: ", "),
                    ]
                }, empty: "no tips")
        }
    }
}

struct DriversCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drivers", abstract: "Every driver: its state, and what it can do.")

    @OptionGroup var daemon: DaemonOptions

    func run() async throws {
        try await self.daemon.show({ try await $0.drivers() }) { drivers in
            drivers.isEmpty ? "no drivers" : drivers.map(DriverText.of).joined(separator: "\n")
        }
    }
}

enum DriverText {
    static func of(_ driver: DriverReport) -> String {
        var lines = [
            "\(driver.name)  \(driver.state)\(driver.reason.map { ": \($0)" } ?? "")"
                + (driver.restarts > 0 ? "  (restarted \(driver.restarts)×)" : "")
        ]
        let software = driver.software.map { "  (\($0))" } ?? ""
        if let program = driver.program { lines.append("    program    \(program)\(software)") }
        if let file = driver.startFile { lines.append("    start file \(file)\(software)") }
        if let identity = driver.identity { lines.append("    identity   \(identity)") }
        for address in driver.listening { lines.append("    listening  \(address)") }
        if driver.state == "attached" {
            let nothing = ["nothing"]
            lines.append(
                "    asks for   \((driver.requests.isEmpty ? nothing : driver.requests).joined(separator: ", "))")
            lines.append(
                "    serves     \((driver.serves.isEmpty ? nothing : driver.serves).joined(separator: ", "))")
            lines.append(
                "    medium     \(driver.latency ?? ""), \(driver.bandwidth ?? "") a second, \(driver.cost ?? ""), "
                    + "exposure \(driver.exposure ?? "")")
            if !driver.operations.isEmpty {
                lines.append("    operations \(driver.operations.joined(separator: ", "))")
            }
        }
        if let traffic = driver.traffic { lines.append("    may carry  \(traffic.joined(separator: ", "))") }
        return lines.joined(separator: "\n")
    }
}

extension String {
    /// A number's text without the zeros in front.
    var trimmingZeros: String {
        let trimmed = self.drop { $0 == "0" }
        return trimmed.isEmpty ? "0" : "0x" + trimmed
    }
}
