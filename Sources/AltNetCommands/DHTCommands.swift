// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetLibp2pHost
public import AltNetPeerRecords
public import ArgumentParser
internal import FoundationEssentials
internal import Glibc
internal import Logging
internal import UnixSignals

struct DHTCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dht", abstract: "Takes part in a libp2p Kademlia DHT, without a daemon.",
        subcommands: [Serve.self, Find.self])

    struct Options: ParsableArguments {
        /// More than a table ever has.
        static let maximumPerGroup = 10_000

        @Option(
            help: ArgumentHelp(
                "A node to join through: a multiaddr that ends with /p2p/ID. Repeatable.", valueName: "multiaddr"))
        var bootstrap: [Multiaddress] = []

        @Option(
            name: .customLong("protocol"),
            help: ArgumentHelp("The protocol of the DHT; private ones have their own prefix.", valueName: "name"))
        var protocolName = KademliaService.publicProtocol

        @Option(
            help: ArgumentHelp(
                "Nodes of one network group (a /16 of IPv4, a /32 of IPv6) in the table; more for a private DHT with one "
                    + "provider. Nodes in local networks are not limited.", valueName: "count"))
        var perGroup = KademliaService.Configuration().perGroupInTable

        @Flag(help: "Print JSON, one value in a line, for programs.")
        var json = false

        @Option(name: .customLong("log-level"), help: "trace, debug, info, notice, warning or error.")
        var logLevel = "warning"

        func validate() throws {
            for address in self.bootstrap where address.peerID == nil {
                throw ValidationError("--bootstrap \(address): it must end with /p2p/ and the node's peer id")
            }
            guard self.protocolName.hasPrefix("/"), self.protocolName.utf8.count <= 128 else {
                throw ValidationError("--protocol \(self.protocolName): a name like /ipfs/kad/1.0.0 is expected")
            }
            guard (1...Self.maximumPerGroup).contains(self.perGroup) else {
                throw ValidationError("--per-group \(self.perGroup): 1 to \(Self.maximumPerGroup) is expected")
            }
            guard Logger.Level(rawValue: self.logLevel) != nil else {
                throw ValidationError("--log-level \(self.logLevel): there is no such level")
            }
        }

        /// Makes the node; what is wrong with its files is said in one sentence.
        func node(data: String?, mode: KademliaService.Mode) throws -> DHTNode {
            signal(SIGPIPE, SIG_IGN)
            umask(0o077)
            let level = Logger.Level(rawValue: self.logLevel) ?? .warning
            var logger = Logger(label: "altnet") { StreamLogHandler.standardError(label: $0) }
            logger.logLevel = level
            do {
                return try DHTNode(
                    data: data,
                    kademlia: .init(protocolName: self.protocolName, mode: mode, perGroupInTable: self.perGroup),
                    logger: logger)
            } catch {
                throw Failure.exit("\(error)")
            }
        }

        func say(_ report: some Encodable, _ text: String) throws {
            var line = text
            if self.json {
                let encoder = JSONEncoder()
                encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
                line = String(decoding: try encoder.encode(report), as: UTF8.self)
            }
            // Programs wait for each line.
            var rest = Array((line + "\n").utf8)[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes { Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw ExitCode.failure }
                rest = rest.dropFirst(count)
            }
        }
    }

    struct Serve: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Runs a node of the DHT until it is interrupted.",
            discussion: """
                altnet dht serve --listen /ip4/127.0.0.1/tcp/0 --data ~/dht

                The first lines are the addresses that others give to --bootstrap, the one that leads farthest first. \
                Nodes given to --bootstrap here may be down: joining is tried until one answers. Key, peers and the sequence number of \
                the node's own record are kept in --data.
                """)

        @Option(help: ArgumentHelp("Where to accept connections. Repeatable.", valueName: "multiaddr"))
        var listen: [Multiaddress]

        @Option(help: ArgumentHelp("A directory of its own.", valueName: "directory"), completion: .directory)
        var data: String

        @OptionGroup var options: Options

        private struct Listening: Encodable {
            let event = "listening"
            let peer: String
            let addresses: [String]
        }

        private struct Joined: Encodable {
            let event = "joined"
            let answered: Int
            let members: Int
        }

        func run() async throws {
            let node = try self.options.node(data: self.data, mode: .server)
            let addresses: [String]
            do {
                try await node.host.listen(on: self.listen)
                addresses = try node.bootstrapAddresses().map(\.description)
            } catch {
                throw Failure.exit("cannot listen: \(error)")
            }
            try self.options.say(
                Listening(peer: node.host.peer.description, addresses: addresses),
                addresses.joined(separator: "\n"))
            let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
            // Each says whether the command ends with it.
            try await withThrowingTaskGroup(of: Bool.self) { group in
                group.addTask {
                    await node.run(publishes: true)
                    return true
                }
                group.addTask {
                    for await _ in signals { break }
                    return true
                }
                group.addTask {
                    let answered: Int
                    do {
                        answered = try await node.bootstrap(self.options.bootstrap)
                    } catch {
                        throw Failure.exit("cannot join: \(error)")
                    }
                    await node.service.refresh()
                    let members = await node.service.size
                    try self.options.say(
                        Joined(answered: answered, members: members), "joined: \(members) nodes known")
                    return false
                }
                defer { group.cancelAll() }
                while let isEnd = try await group.next(), !isEnd {}
            }
        }
    }

    struct Find: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Looks for peers, and prints what the DHT says of them.",
            discussion: """
                altnet dht find 12D3KooW… --bootstrap /ip4/203.0.113.5/tcp/4001/p2p/12D3KooW…

                A record is signed by the peer itself, and the signature is right. Hearsay is what others say without a \
                signature. The status is other than 0 when one of the peers is not found.
                """)

        @Argument(help: "Peer ids, in either text form.")
        var peers: [PeerID]

        @Option(
            help: ArgumentHelp(
                "The directory of a node, whose key and peers are used. Default: a new key, and nothing is kept.",
                valueName: "directory"), completion: .directory)
        var data: String?

        @OptionGroup var options: Options

        struct Report: Encodable {
            struct Record: Encodable {
                let sequence: UInt64
                let addresses: [String]
                /// The sealed record in hexadecimal, for whoever wants to verify it too.
                let envelope: String
            }

            let peer: String
            let found: Bool
            let record: Record?
            let hearsay: [String]
            /// Nodes that answered.
            let answered: Int
        }

        func run() async throws {
            let node = try self.options.node(data: self.data, mode: .client)
            let running = Task { await node.run(publishes: false) }
            defer { running.cancel() }
            do {
                let answered = try await node.bootstrap(self.options.bootstrap)
                guard answered > 0 || self.options.bootstrap.isEmpty else {
                    throw Failure.exit("no node given with --bootstrap answers")
                }
            } catch let error as PeerNewsRefusal {
                throw Failure.exit(error.description)
            }
            var isComplete = true
            for peer in self.peers {
                let found: FoundPeer?
                do {
                    found = try await node.service.find(peer)
                } catch {
                    throw Failure.exit(error.description)
                }
                if found == nil { isComplete = false }
                try self.options.say(Self.report(peer, found), Self.text(peer, found))
            }
            running.cancel()
            await running.value
            guard isComplete else { throw ExitCode.failure }
        }

        private static func report(_ peer: PeerID, _ found: FoundPeer?) -> Report {
            Report(
                peer: peer.description, found: found != nil,
                record: found?.record.map {
                    Report.Record(
                        sequence: $0.record.sequence, addresses: $0.record.addresses.map(\.description),
                        envelope: Hex.encode($0.envelope))
                }, hearsay: found?.hearsay.map(\.description) ?? [], answered: found?.answered ?? 0)
        }

        private static func text(_ peer: PeerID, _ found: FoundPeer?) -> String {
            guard let found else { return "\(peer)\n  not found" }
            var lines = [peer.description]
            if let record = found.record?.record {
                lines.append("  record \(record.sequence), signed by the peer; the signature is right:")
                lines += record.addresses.map { "    \($0)" }
            } else {
                lines.append("  no signed record")
            }
            if !found.hearsay.isEmpty {
                lines.append("  hearsay, signed by nobody:")
                lines += found.hearsay.map { "    \($0)" }
            }
            return lines.joined(separator: "\n")
        }
    }
}

extension Multiaddress: ExpressibleByArgument {
    public init?(argument: String) {
        guard let address = try? Multiaddress(text: argument) else { return nil }
        self = address
    }
}

extension PeerID: ExpressibleByArgument {
    public init?(argument: String) {
        guard let peer = try? PeerID(text: argument) else { return nil }
        self = peer
    }
}
