// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetConfiguration
internal import AltNetControl
internal import AltNetHolePunch
internal import AltNetPunchDriver
internal import AltNetPunchReports
internal import AltNetTransport
internal import ArgumentParser
internal import Glibc

struct NATCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nat",
        abstract: "Finds out what kind of NAT this machine is behind, and whether holes can be punched through it.",
        subcommands: [Check.self, Show.self], defaultSubcommand: Show.self)

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "What the last check of the daemon found.")

        @OptionGroup var daemon: DaemonOptions

        func run() async throws {
            try await self.daemon.show({ try await $0.nat() }, as: NATText.of)
        }
    }

    struct Check: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Asks several Bitcoin nodes where they see us. Takes up to half a minute.",
            discussion: """
                altnet nat check
                altnet nat check --witness 203.0.113.7:8333 --witness node.example.org:8333 --witness [2001:db8::1]:8333

                The daemon asks the nodes that it knows. With --witness, these nodes are asked by this command itself, \
                without a daemon. Any Bitcoin node will do that is reached over the Internet directly; at least three \
                in different networks are needed, five are better. The status is 0 when there is a result.

                docs/nat-check.md explains what comes out.
                """)

        /// Fewer cannot be compared, more are not asked.
        static let minimumRange = 2...16
        static let standardMinimum = 3

        @Option(
            help: ArgumentHelp(
                "A Bitcoin node to ask, instead of those that the daemon knows. Repeatable.",
                valueName: "host:port"))
        var witness: [String] = []

        @Option(
            name: .customLong("minimum"),
            help: ArgumentHelp(
                """
                How many witnesses in different networks must answer, with --witness. Of two none may lie, of three \
                one. Default: \(Self.standardMinimum).
                """,
                valueName: "count"))
        var minimum: Int?

        @Flag(help: "Let witnesses be in private networks, with --witness: for labs and tests.")
        var allowPrivate = false

        @OptionGroup var daemon: DaemonOptions

        func validate() throws {
            guard self.witness.count <= NATCheck.maximumWitnesses else {
                throw ValidationError("there are more than \(NATCheck.maximumWitnesses) witnesses")
            }
            for text in self.witness where (HostAndPort(text)?.port ?? 0) == 0 {
                throw ValidationError("--witness \(UntrustedText(text)) is not of the form host:port")
            }
            guard !self.witness.isEmpty || (self.minimum == nil && !self.allowPrivate) else {
                throw ValidationError(
                    """
                    --minimum and --allow-private go with --witness; without it the daemon checks, with \
                    minimum_witnesses and allow_private_addresses of its [drivers.punch]
                    """)
            }
            guard Self.minimumRange.contains(self.minimum ?? Self.standardMinimum) else {
                throw ValidationError(
                    "--minimum must be \(Self.minimumRange.lowerBound) to \(Self.minimumRange.upperBound)")
            }
        }

        func run() async throws {
            var isKnown = false
            if self.witness.isEmpty {
                try await self.daemon.show(
                    { client in
                        let report = try await client.checkNAT()
                        isKnown = report.mapping != NATMapping.unknown.name
                        return report
                    }, as: NATText.of)
            } else {
                let report = await self.check(try self.daemon.settings.load().network)
                isKnown = report.mapping != NATMapping.unknown.name
                print(self.daemon.json ? try JSONText.of(report) : NATText.of(report))
            }
            guard isKnown else { throw ExitCode.failure }
        }

        /// Without a daemon.
        private func check(_ network: Network) async -> NATReport {
            signal(SIGPIPE, SIG_IGN)
            let checker = NATChecker(
                network: network, userAgent: "/AltNet:\(AltNetVersion.current)/",
                NATCheck.Configuration(
                    minimumWitnesses: self.minimum ?? Self.standardMinimum, allowPrivate: self.allowPrivate,
                    seed: UInt64.random(in: 0...UInt64.max)))
            let verdict = await checker.run(self.witness.compactMap { HostAndPort($0) })
            return NATReport(
                verdict, network: LocalSurroundings.look().defaultNetwork,
                at: WallClockTime(seconds: Int64(time(nil))))
        }
    }
}
