// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetControl
internal import AltNetHolePunch
internal import AltNetPunchReports
internal import ArgumentParser

struct PunchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "punch",
        abstract: "Connects to nodes behind NATs, and shows who offers that and how it went.",
        discussion: """
            altnet punch 2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion:8333
            altnet punch offers

            docs/hole-punching.md says how to switch it on.
            """,
        subcommands: [
            Connect.self, Status.self, Offers.self, List.self, Stats.self, RotateKeys.self,
        ], defaultSubcommand: Connect.self)

    struct Connect: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Connects to the node that takes requests at an endpoint. Takes up to two minutes.")

        @Argument(help: "The coordination endpoint: NAME.onion:PORT, NAME.b32.i2p or direct:HOST:PORT.")
        var endpoint: String

        @Option(
            help: ArgumentHelp(
                """
                The address that it must turn out to have; once for IPv4 and once for IPv6 at most. Default: what its \
                offers say, if some are known.
                """,
                valueName: "ip"))
        var clearnet: [String] = []

        @OptionGroup var daemon: DaemonOptions

        func validate() throws {
            try PunchText.check(endpoint: self.endpoint)
            do throws(OfferedAddressesError) {
                _ = try OfferedAddresses(hosts: self.clearnet)
            } catch {
                throw ValidationError("--clearnet: \(error)")
            }
        }

        func run() async throws {
            let request = PunchRequest(endpoint: self.endpoint, clearnet: self.clearnet)
            var isConnected = false
            try await self.daemon.show(
                { client in
                    let report = try await client.punch(request)
                    isConnected = report.isConnected
                    return report
                }, as: PunchText.outcome)
            guard isConnected else { throw ExitCode.failure }
        }
    }

    struct Status: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "How hole punching stands: our NAT, our endpoints, links, and what is in the way.")

        @OptionGroup var daemon: DaemonOptions

        func run() async throws {
            try await self.daemon.show({ try await $0.punchOverview() }, as: PunchText.overview)
        }
    }

    struct Offers: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Who offers to be connected to, as heard in the last ten minutes.")

        @OptionGroup var daemon: DaemonOptions

        func run() async throws {
            let options = self.daemon
            var overview: PunchOverviewReport?
            try await options.show(
                { client in
                    let report = try await client.punchOffers()
                    if report.offers.isEmpty { overview = try await client.punchOverview() }
                    return report
                }) { report in PunchText.offers(report, overview) }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "The last attempts, ours and those of others, newest first.")

        @OptionGroup var daemon: DaemonOptions

        func run() async throws {
            try await self.daemon.show({ try await $0.punches() }, as: PunchText.list)
        }
    }

    struct Stats: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "How attempts ended since the driver started, by way and by the kinds of NAT.")

        @OptionGroup var daemon: DaemonOptions

        func run() async throws {
            try await self.daemon.show({ try await $0.punchStats() }, as: PunchText.stats)
        }
    }

    struct RotateKeys: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rotate-keys",
            abstract: "Gives our coordination endpoints new keys; offers of the old ones lead nowhere from now on.")

        @OptionGroup var daemon: DaemonOptions

        func run() async throws {
            try await self.daemon.show({ try await $0.rotatePunchKeys() }) { report in
                report.endpoints.isEmpty
                    ? "there is no endpoint of ours: set coordination in [drivers.punch]"
                    : report.endpoints.map { UntrustedText($0).description }.joined(separator: "\n")
            }
        }
    }
}
