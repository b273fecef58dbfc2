// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetControl
internal import AltNetDialing
internal import AltNetPeerRecords
internal import ArgumentParser

struct PeersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "peers",
        abstract: "Looks into the peer store and adds to it: who is where, and who said so.",
        subcommands: [
            List.self, Show.self, Add.self, Forget.self, Dial.self, PeersExport.self, PeersImport.self,
        ])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "The peers that are known, in the order of their ids.")

        @Option(help: ArgumentHelp("How many, 1 to 100.", valueName: "count"))
        var limit = 50

        @Option(help: ArgumentHelp("Only those that come after this one.", valueName: "peer"))
        var after: String?

        @OptionGroup var daemon: DaemonOptions

        func validate() throws {
            guard (1...ControlInterface.maximumPeers).contains(self.limit) else {
                throw ValidationError("--limit must be 1 to \(ControlInterface.maximumPeers)")
            }
            if let after { _ = try PeerText.id(after) }
        }

        func run() async throws {
            try await self.daemon.show(
                { try await $0.peers(after: self.after, limit: self.limit) }, as: PeerText.list)
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "All that is known of one peer: its addresses, who said them, and how they worked.")

        @Argument(help: PeerText.idHelp)
        var peer: String

        @OptionGroup var daemon: DaemonOptions

        func validate() throws { _ = try PeerText.id(self.peer) }

        func run() async throws {
            try await self.daemon.show(
                { try await $0.peer(try PeerText.id(self.peer).description) }, as: PeerText.details)
        }
    }

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Adds addresses of a peer, or a record that it signed.",
            discussion: """
                altnet peers add /ip4/203.0.113.5/tcp/4001/p2p/12D3Koo…
                altnet peers add 12D3Koo… /dns/example.com/tcp/4001 /ip6/2001:db8::5/tcp/4001
                altnet peers add 02… /ip4/203.0.113.5/tcp/9735 --use lightning
                altnet peers add --record peer.record

                An address that is added by hand is dialled whatever records say, and is kept until it is forgotten by \
                hand. A record counts for a week, like one that was heard.
                """)

        @Argument(
            help: """
                A peer id, or the key of a Lightning node, and its addresses; or addresses that end with /p2p/ and a \
                peer id.
                """)
        var words: [String] = []

        @Option(
            help: ArgumentHelp(
                "What is spoken at the addresses: libp2p, lightning or bitcoin. Default: libp2p.", valueName: "name"),
            transform: PeerText.use)
        var use: AddressUse?

        @Option(help: ArgumentHelp("A sealed record to add; - reads standard input.", valueName: "file"))
        var record: String?

        @Option(
            help: ArgumentHelp(
                "The network on which addresses of private ranges mean this peer. Default: any; they are always tried.",
                valueName: "name"))
        var localNetwork: String?

        @OptionGroup var daemon: DaemonOptions

        func validate() throws {
            guard self.words.isEmpty != (self.record == nil) else {
                throw ValidationError("say either addresses or --record")
            }
            guard self.use == nil || self.record == nil else {
                throw ValidationError("--use is for addresses; a record says itself what its addresses are for")
            }
            _ = try PeerText.additions(self.words, network: self.localNetwork, use: self.use)
        }

        func run() async throws {
            var additions = try PeerText.additions(self.words, network: self.localNetwork, use: self.use)
            if let record {
                let bytes = try InputFile.record(record)
                additions.append(PeerAddition(peer: nil, record: Hex.encode(bytes), network: self.localNetwork))
            }
            try await PeersImport.report(additions, self.daemon)
        }
    }

    struct Forget: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Forgets a peer with all its addresses, or one address of it.")

        @Argument(help: PeerText.idHelp)
        var peer: String

        @Argument(help: "The address to forget. Default: all, and the peer's record.")
        var address: String?

        @OptionGroup var daemon: DaemonOptions

        func validate() throws {
            _ = try PeerText.id(self.peer)
            if let address { _ = try PeerText.address(address) }
        }

        func run() async throws {
            let peer = try PeerText.id(self.peer).description
            try await self.daemon.show({ client in
                try await client.forgetPeer(peer, address: self.address)
                return ["forgotten": self.address ?? peer]
            }) { "forgotten: \($0["forgotten"] ?? peer)" }
        }
    }

    struct Dial: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Connects to a peer by what is known of it.",
            discussion:
                "Which addresses are tried, and in which order, is the policy's word; docs/dialing.md explains it.")

        @Argument(help: PeerText.idHelp)
        var peer: String

        @Option(
            help: ArgumentHelp(
                "standard, certified-only, private-only, or a stage; repeat it for several. Default: the driver's.",
                valueName: "policy"))
        var policy: [String] = []

        @Option(help: ArgumentHelp("How long it may take, 1 to 100.", valueName: "seconds"))
        var timeout = 30

        @OptionGroup var operation: OperationOptions

        func validate() throws {
            _ = try PeerText.id(self.peer)
            guard (1...100).contains(self.timeout) else { throw ValidationError("--timeout must be 1 to 100") }
            guard !self.policy.isEmpty else { return }
            do throws(DialPolicyError) {
                _ = try DialPolicy(setting: self.policy)
            } catch {
                throw ValidationError(error.description)
            }
        }

        func run() async throws {
            let dial = PeerDial(
                peer: try PeerText.id(self.peer).description, policy: self.policy.isEmpty ? nil : self.policy,
                timeoutSeconds: self.timeout)
            try await self.operation.show(.dialPeer, dial) { report in
                "connected at \(UntrustedText(report.address)) after \(Milliseconds.text(report.milliseconds))"
                    + (report.agent.map { " to \(UntrustedText($0))" } ?? "")
            }
        }
    }
}

/// Peers and addresses as people type and read them.
enum PeerText {
    /// What a command says of an argument that is read by ``id(_:)``.
    static let idHelp: ArgumentHelp = "The peer id, or the key of a Lightning node: 66 hexadecimal digits."

    static func id(_ text: String) throws(ValidationError) -> PeerID {
        if let peer = PeerID(identity: text) { return peer }
        do throws(PeerIDError) {
            return try PeerID(text: text)
        } catch {
            throw ValidationError("\(error); that of a Lightning node may be given by its key, 66 hexadecimal digits")
        }
    }

    static func use(_ name: String) throws(ValidationError) -> AddressUse {
        guard let use = AddressUse(name: name) else {
            let names = AddressUse.allCases.map(\.name).joined(separator: ", ")
            throw ValidationError("\(UntrustedText(name)) is nothing that addresses are for; there are \(names)")
        }
        return use
    }

    static func address(_ text: String) throws(ValidationError) -> Multiaddress {
        do throws(MultiaddressError) {
            return try Multiaddress(text: text)
        } catch {
            throw ValidationError("\(UntrustedText(text)): \(error)")
        }
    }

    /// What `altnet peers add` is to add: one entry for each peer that is named.
    static func additions(
        _ words: [String], network: String?, use: AddressUse? = nil
    ) throws(ValidationError) -> [PeerAddition] {
        guard let first = words.first else { return [] }
        if !first.hasPrefix("/") {
            guard words.count > 1 else { throw ValidationError("no address follows the peer id") }
            for word in words.dropFirst() { _ = try Self.address(word) }
            return [
                PeerAddition(
                    peer: try Self.id(first).description, addresses: Array(words.dropFirst()), network: network,
                    use: use?.name)
            ]
        }
        var additions: [PeerAddition] = []
        for word in words {
            guard let peer = try Self.address(word).peerID else {
                throw ValidationError(
                    "\(UntrustedText(word)) does not say whose it is: write the peer id first, or /p2p/ID at its end")
            }
            additions.append(
                PeerAddition(peer: peer.description, addresses: [word], network: network, use: use?.name))
        }
        return additions
    }

    static func list(_ report: PeerListReport) -> String {
        let hasNodes = report.peers.contains { $0.node?.lightningNode != nil }
        let table = TextTable.of(
            ["PEER", "RECORD", "ADDRESSES", "NODE RECORD", "NODE ADDRESSES", "BEST"]
                + (hasNodes ? ["LIGHTNING NODE"] : []),
            report.peers.map { peer in
                let nodes = peer.node?.addresses ?? []
                let best = (peer.addresses.first ?? nodes.first).map {
                    UntrustedText($0.address.utf8, maximumLength: 80).description
                }
                return [
                    UntrustedText(peer.id).description, peer.sequence.map { UntrustedText($0).description } ?? "none",
                    "\(peer.addresses.count)", peer.node?.sequence.map { UntrustedText($0).description } ?? "none",
                    "\(nodes.count)", best ?? "",
                ] + (hasNodes ? [peer.node?.lightningNode.map { UntrustedText($0).description } ?? ""] : [])
            }, empty: "no peers")
        let damaged = self.damaged(report).map { "\n\($0)" }.joined()
        guard let next = report.next else { return table + damaged }
        return table + damaged + "\n\(report.peers.count) of \(report.total); more with --after \(UntrustedText(next))"
    }

    /// What to say of peers that cannot be read.
    static func damaged(_ report: PeerListReport) -> [String] {
        (report.damaged ?? []).map { id in
            let id = UntrustedText(id)
            return "what is stored of \(id) is damaged; run: altnet peers forget \(id)"
        }
    }

    static func details(_ report: PeerReport) -> String {
        let peer =
            "\(UntrustedText(report.id)): \(self.record(report.sequence))\n"
            + self.table(report.addresses, empty: "no addresses")
        guard let node = report.node else { return peer }
        let key = node.lightningNode.map { " of Lightning node \(UntrustedText($0))" } ?? ""
        return peer + "\nnodes: \(self.record(node.sequence))\(key)\n"
            + self.table(node.addresses, empty: "no addresses")
    }

    private static func record(_ sequence: String?) -> String {
        sequence.map { "signed record, sequence number \(UntrustedText($0))" } ?? "no signed record"
    }

    private static func table(_ addresses: [PeerAddressReport], empty: String) -> String {
        let hasUses = addresses.contains { $0.use != nil }
        return TextTable.of(
            (hasUses ? ["USE"] : [])
                + ["ADDRESS", "SOURCES", "LAST SEEN", "EXPIRES", "LAST SUCCESS", "FAILURES", "NETWORK"],
            addresses.map { address in
                (hasUses ? [UntrustedText(address.use ?? "").description] : []) + [
                    UntrustedText(address.address.utf8, maximumLength: 1_100).description,
                    address.sources.map { UntrustedText($0).description }.joined(separator: "+"),
                    "\(address.lastSeen)", address.expires.map { "\($0)" } ?? "never",
                    Self.success(address), "\(address.failures)",
                    address.network.map { UntrustedText($0).description } ?? "",
                ]
            }, empty: empty)
    }

    private static func success(_ address: PeerAddressReport) -> String {
        guard let moment = address.lastSuccess else { return "never" }
        guard let latency = address.latencyMilliseconds else { return "\(moment)" }
        return "\(moment) (\(Milliseconds.text(latency)))"
    }

    static func outcome(_ report: PeerAdditionReport) -> String {
        let whom = report.peer.map { UntrustedText($0).description } ?? "the record"
        let details = report.details.map { UntrustedText($0).description }
        return ([whom + ": " + report.outcome.rawValue] + details.map { "  \($0)" }).joined(separator: "\n")
    }
}
