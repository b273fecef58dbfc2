// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetDriverKit
internal import AltNetLibp2pHost
internal import AltNetLightning
public import AltNetPeerRecords
internal import AltNetPeerStore
public import ArgumentParser
internal import FoundationEssentials
internal import Glibc

struct RecordCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "record",
        abstract: "Makes, verifies and shows records in which a peer signs where it can be reached, without a daemon.",
        discussion: """
            Two kinds of record: `peer` has libp2p addresses and is read by every libp2p implementation; `node` has the \
            addresses of a Bitcoin node and a Lightning node. docs/protocol/peer-records.md describes both.

            Records are read as bytes, hexadecimal digits or base 64, whichever they are; the file - is standard input.
            """,
        subcommands: [Create.self, Verify.self, Inspect.self])

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Signs a record and writes it into a new file.",
            discussion: """
                altnet record create me.record --key peer.key --address /ip4/203.0.113.5/tcp/4001
                altnet record create node.record --kind node --key peer.key --bitcoin 203.0.113.5:8333
                altnet record create node.record --kind node --lightning-key node.key --lightning 203.0.113.5:9735

                The sequence number is the next one of the file record-sequence in the key's directory, where a node \
                keeps it, too: it is never used twice, and a node that is running there has to be stopped first.
                """)

        @Argument(help: "The file to make; - prints hexadecimal digits.", completion: .file())
        var file: String

        @Option(help: "peer or node.")
        var kind = RecordKind.peer

        @Option(
            help: ArgumentHelp(
                "The signing key, in libp2p's form. An Ed25519 key is made when the file is not there.",
                valueName: "file"), completion: .file())
        var key: String?

        @Option(
            help: ArgumentHelp(
                "Sign with the key of altnet-lightning instead: 64 hexadecimal digits.", valueName: "file"),
            completion: .file())
        var lightningKey: String?

        @Option(help: ArgumentHelp("With peer: an address. Repeatable.", valueName: "multiaddr"))
        var address: [Multiaddress] = []

        @Option(
            help: ArgumentHelp(
                "With node: where the Bitcoin node listens; IPv4, [IPv6], .onion or .b32.i2p. Repeatable.",
                valueName: "host:port"))
        var bitcoin: [String] = []

        @Option(help: ArgumentHelp("With node: the service bits at those addresses, as 0x409.", valueName: "bits"))
        var services = "0"

        @Option(
            help: ArgumentHelp(
                "With node: where the Lightning node listens that has the key. Repeatable.", valueName: "host:port"))
        var lightning: [String] = []

        @Option(help: "With node: main, testnet3, testnet4, signet or regtest.")
        var network = "main"

        @Option(
            help: ArgumentHelp(
                "This sequence number, above that of the key's last record. Without it, the clock's or one more.",
                valueName: "number"))
        var sequence: UInt64?

        @Flag(help: "With peer: under the names of libp2p's RFC 0003, for old implementations.")
        var older = false

        @Flag(help: "Print one JSON value for programs.")
        var json = false

        func validate() throws {
            guard (self.key == nil) != (self.lightningKey == nil) else {
                throw ValidationError("say either --key or --lightning-key")
            }
            switch self.kind {
            case .peer:
                guard self.bitcoin.isEmpty, self.lightning.isEmpty else {
                    throw ValidationError("--bitcoin and --lightning need --kind node")
                }
            case .node:
                guard self.address.isEmpty, !self.older else {
                    throw ValidationError("--address and --older need --kind peer")
                }
                _ = try self.bitcoinAddresses()
                _ = try self.lightningAddresses()
                guard Network(name: self.network) != nil else {
                    throw ValidationError("there is no network \(self.network)")
                }
            }
        }

        func run() async throws {
            umask(0o077)
            let path = self.key ?? self.lightningKey ?? ""
            let envelope: [UInt8]
            do {
                let key = try self.key.map { try PeerKeyFile.load($0) } ?? LightningKeyFile.load(path)
                envelope = try self.sign(with: key, sequence: try self.number(besides: path))
                try self.write(envelope)
            } catch {
                throw Failure.exit("\(error)")
            }
            guard self.file != "-" || self.json else { return print(Hex.encode(envelope)) }
            let report = RecordReport(envelope, naming: self.older ? [.olderRFC] : [.current])
            print(self.json ? try JSONText.of(report) : report.text)
        }

        /// The next number of the key's directory, unless one is given.
        private func number(besides path: String) throws -> UInt64 {
            var issuer = try RecordSequence(directory: LightningKeyFile.directory(of: path))
            if let sequence {
                try issuer.issue(sequence)
                return sequence
            }
            return try issuer.next(now: WallClockTime(milliseconds: Int64(Date().timeIntervalSince1970 * 1_000)))
        }

        private func sign(with key: PeerPrivateKey, sequence: UInt64) throws -> [UInt8] {
            switch self.kind {
            case .peer:
                return try PeerRecord(peer: key.peerID, sequence: sequence, addresses: self.address)
                    .sealed(by: key, naming: self.older ? .olderRFC : .current).envelope
            case .node:
                return try NodeAddressRecord(
                    peer: key.peerID, sequence: sequence, chain: (Network(name: self.network) ?? .main).chainHash,
                    bitcoin: try self.bitcoinAddresses(), lightning: try self.lightningAddresses()
                ).sealed(by: key).envelope
            }
        }

        private func write(_ envelope: [UInt8]) throws {
            guard self.file != "-" else { return }
            let output = try OutputFile(self.file)
            try output.write(envelope)
            try output.close()
        }

        private func bitcoinAddresses() throws -> [BitcoinEndpoint] {
            let isHex = self.services.lowercased().hasPrefix("0x")
            let digits = isHex ? self.services.dropFirst(2) : self.services[...]
            guard digits.first?.isHexDigit == true, let services = UInt64(digits, radix: isHex ? 16 : 10) else {
                throw ValidationError("--services \(self.services): a number of 64 bits is expected")
            }
            return try self.bitcoin.map { text in
                do {
                    return try BitcoinEndpoint(text: text, services: services)
                } catch {
                    throw ValidationError("--bitcoin \(text): \(error)")
                }
            }
        }

        private func lightningAddresses() throws -> [LightningAddress] {
            try self.lightning.map { text in
                do {
                    return try LightningAddress(text: text)
                } catch {
                    throw ValidationError("--lightning \(text): \(error)")
                }
            }
        }
    }

    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Says whether a record is genuine.",
            discussion: """
                The status is 0 when it is, 1 when it is not, and 66 when the file cannot be read. The first line says \
                why it is not.
                """)

        @OptionGroup var input: Input

        @Option(help: ArgumentHelp("The peer that the record has to be about.", valueName: "peer"))
        var peer: PeerID?

        @Option(help: "The kind that the record has to be of, peer or node. Default: either.")
        var kind: RecordKind?

        func run() async throws {
            var report = try self.input.report()
            if report.genuine {
                if let kind, report.kind != kind {
                    report.refuse(
                        "the record is of the kind \(report.kind?.rawValue ?? "unknown"), not \(kind.rawValue)")
                } else if let peer, report.peer != peer.description {
                    report.refuse("the record is about \(report.peer ?? "nobody"), not about \(peer)")
                }
            }
            print(self.input.json ? try JSONText.of(report) : report.summary)
            guard report.genuine else { throw ExitCode(1) }
        }
    }

    struct Inspect: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Shows all that can be read of a record, genuine or not.",
            discussion: """
                The first line says whether the record is genuine. The status is 0 when it is; of one that is not, what \
                it says is shown all the same, nobody vouches for it, and the status is 1.
                """)

        @OptionGroup var input: Input

        func run() async throws {
            let report = try self.input.report()
            print(self.input.json ? try JSONText.of(report) : report.text)
            guard report.genuine else { throw ExitCode(1) }
        }
    }

    struct Input: ParsableArguments {
        @Argument(help: "The record; - reads standard input.", completion: .file())
        var file: String

        @Flag(help: "Take the names of libp2p's RFC 0003 and of earlier implementations, too.")
        var older = false

        @Flag(help: "Print one JSON value for programs.")
        var json = false

        func report() throws -> RecordReport {
            let bytes = try InputFile.record(self.file)
            return RecordReport(bytes, naming: self.older ? Set(PeerRecord.Naming.allCases) : [.current])
        }
    }
}

/// What a record is about.
enum RecordKind: String, Encodable, ExpressibleByArgument, CaseIterable {
    case peer, node
}

/// The file of altnet-lightning's key: 64 hexadecimal digits, and nobody else may read it.
enum LightningKeyFile {
    private static let maximumSize = 66

    struct Problem: Error, CustomStringConvertible {
        let description: String
    }

    static func load(_ path: String) throws -> PeerPrivateKey {
        let bytes = try SecretFile.read(path, maximumSize: Self.maximumSize)
        let digits = bytes.filter { $0 != UInt8(ascii: "\n") }
        guard let secret = Hex.decode(String(decoding: digits, as: UTF8.self)),
            let key = PeerPrivateKey.secp256k1(secret)
        else { throw Problem(description: "\(path) holds no private key: 64 hexadecimal digits are expected") }
        return key
    }

    static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
