// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetConfiguration
internal import AltNetControl
internal import ArgumentParser
internal import FoundationEssentials
internal import Glibc

struct PeersExport: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Writes all peers down, a line of JSON for each.",
        discussion: """
            `altnet peers import` reads what this writes. Records carry their own proof; the rest is hearsay. \
            Addresses that partners gave to you alone are left out. \
            Ends with status 1 when the store holds damaged peers, which are left out.
            """)

    @Argument(help: "The file to write; it must not exist. Default: standard output.")
    var file: String?

    @OptionGroup var settings: SettingOptions

    func run() async throws {
        let client = ControlClient(socketPath: try self.settings.load().controlSocket)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let output: OutputFile
        do {
            output = try OutputFile(self.file)
        } catch {
            throw Failure.exit(error.description)
        }
        var after: String?
        var count = 0
        var damaged: [String] = []
        repeat {
            let page: PeerListReport
            do {
                page = try await client.peers(after: after, limit: ControlInterface.maximumPeers)
            } catch {
                output.discard()
                throw Failure.exit(error.description)
            }
            for peer in page.peers {
                try output.write([UInt8](try encoder.encode(peer.withoutConfidences)) + [UInt8(ascii: "\n")])
            }
            count += page.peers.count
            damaged += PeerText.damaged(page)
            // The next page begins behind the last peer of this one, so this cannot go round in circles.
            guard let next = page.next, next != after else { break }
            after = next
        } while true
        try output.close()
        if let file { print("\(count) peers are in \(file)") }
        if let first = damaged.first {
            throw Failure.exit("\(damaged.count) peers were left out, the first because \(first)")
        }
    }
}

struct PeersImport: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Adds the peers that `altnet peers export` wrote down.",
        discussion: """
            Records are verified again; all other addresses are hearsay, which holds as long as the file says. What the \
            file calls certified counts only with a record. With --own, addresses that the file's operator typed count as \
            typed by you. Ends with status 1 when something was refused.
            """)

    @Argument(help: "The file to read; - reads standard input.")
    var file: String

    @Flag(help: "The file is an export of your own: addresses that you typed stay yours.")
    var own = false

    @OptionGroup var daemon: DaemonOptions

    /// The longest file: a million peers of a few addresses each.
    private static let maximumFile = 2 << 30
    /// The most bytes of additions in one request, with room for what JSON adds.
    private static let maximumRequest = ControlInterface.maximumOperationBytes / 2

    func run() async throws {
        let lines: [UInt8]
        do {
            lines = try InputFile.read(self.file, atMost: Self.maximumFile)
        } catch let problem as InputFile.Problem {
            throw Failure.exit("\(problem)", status: EX_NOINPUT)
        }
        let now = Date()
        var additions: [PeerAddition] = []
        var leftOut = 0
        for (index, line) in lines.split(separator: UInt8(ascii: "\n")).enumerated() {
            do {
                let peer = try JSONDecoder().decode(PeerReport.self, from: Data(line))
                additions += Self.additions(of: peer, isOwn: self.own, now: now, leftOut: &leftOut)
            } catch {
                throw Failure.exit("line \(index + 1) of \(self.file) is no peer as `altnet peers export` writes it")
            }
        }
        try await Self.report(additions, self.daemon, onlyRefused: true, leftOut: leftOut)
    }

    /// What has to be added for a peer: its record, and its addresses by their sources.
    ///
    /// - Parameter leftOut: counts addresses that have expired by now, and those that only a record which is not there
    ///   certifies.
    static func additions(of peer: PeerReport, isOwn: Bool, now: Date, leftOut: inout Int) -> [PeerAddition] {
        var additions: [PeerAddition] = []
        for record in [peer.record, peer.node?.record].compactMap({ $0 }) {
            additions.append(PeerAddition(peer: peer.id, record: record))
        }
        for address in peer.addresses + (peer.node?.addresses ?? []) {
            // The record says again what it certifies, and being connected is nothing that can be taken over.
            var sources = address.sources.filter { $0 != "certified" && $0 != "connection" }
            guard !sources.isEmpty else {
                if (address.use == nil ? peer.record : peer.node?.record) == nil { leftOut += 1 }
                continue
            }
            if !isOwn { sources = sources.map { $0 == "user" ? "link" : $0 } }
            var lifetime: Int?
            if let expires = address.expires {
                let left = Double(expires.time.seconds) - now.timeIntervalSince1970
                guard left >= 1 else {
                    leftOut += 1
                    continue
                }
                lifetime = Int(left)
            }
            additions.append(
                PeerAddition(
                    peer: peer.id, addresses: [address.address], sources: Array(Set(sources)).sorted(),
                    lifetimeSeconds: lifetime, network: address.network, use: address.use))
        }
        return additions
    }

    /// Adds, prints what became of it, and fails when something was refused.
    static func report(
        _ additions: [PeerAddition], _ daemon: DaemonOptions, onlyRefused: Bool = false, leftOut: Int = 0
    ) async throws {
        var reports: [PeerAdditionReport] = []
        do {
            let client = try daemon.client()
            for batch in Self.batches(additions) { reports += try await client.addPeers(batch) }
        } catch let error as ControlError {
            throw Failure.exit(error.description)
        }
        let refused = reports.filter { $0.outcome == .refused }
        if daemon.json {
            print(try JSONText.of(reports))
        } else {
            for report in onlyRefused ? refused : reports { print(PeerText.outcome(report)) }
            if onlyRefused {
                let stored = reports.count { $0.outcome == .stored || $0.outcome == .storedInPart }
                let unchanged = reports.count { $0.outcome == .unchanged }
                print("\(stored) stored, \(unchanged) known already, \(refused.count) refused")
                if leftOut > 0 {
                    print("\(leftOut) addresses left out: expired, or certified by a record that is missing")
                }
            }
        }
        if !refused.isEmpty { throw ExitCode.failure }
    }

    /// Additions in requests that the daemon takes.
    private static func batches(_ additions: [PeerAddition]) -> [[PeerAddition]] {
        var batches: [[PeerAddition]] = []
        var size = 0
        for addition in additions {
            let own = 256 + (addition.record?.utf8.count ?? 0) + addition.addresses.reduce(0) { $0 + $1.utf8.count + 8 }
            if let last = batches.last, last.count < ControlInterface.maximumPeerAdditions,
                size + own <= Self.maximumRequest
            {
                batches[batches.count - 1].append(addition)
                size += own
            } else {
                batches.append([addition])
                size = own
            }
        }
        return batches
    }
}
