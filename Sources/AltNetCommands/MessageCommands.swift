// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetControl
public import ArgumentParser

extension MessageKind: ExpressibleByArgument {}

struct MessageCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "message",
        abstract: "Sends texts and transactions over several Lightning nodes, and measures the way.",
        subcommands: [Send.self, Ping.self, Received.self, Counters.self])

    struct Path: ParsableArguments {
        @Option(help: "The nodes to go over, the last one included: node ids with commas between.")
        var path: String

        @Option(help: "directed: every node has to know directed messages. onion: BOLT 4 onion messages.")
        var over = MessageKind.directed

        @OptionGroup var operation: OperationOptions

        func validate() throws { _ = try NodeIDText.path(self.path) }

        var nodes: [String] { get throws { try NodeIDText.path(self.path) } }
    }

    struct Send: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Sends a text, or a transaction to broadcast, to the last node of a path.",
            discussion: "The last node learns who handed it on, but not who sent it.")

        @Option(help: "The text.")
        var text: String?

        @Option(help: ArgumentHelp("The transaction: hexadecimal digits, or a file of them.", valueName: "hex|file"))
        var transaction: String?

        @OptionGroup var path: Path

        func validate() throws {
            guard (self.text == nil) != (self.transaction == nil) else {
                throw ValidationError("say either --text or --transaction")
            }
        }

        func run() async throws {
            let message = OutgoingMessage(
                path: try self.path.nodes, over: self.path.over, text: self.text,
                transaction: try self.transaction.map(Self.transaction))
            try await self.path.operation.show(.sendMessage, message) { report in
                "the last node has it, after \(Milliseconds.text(report.milliseconds))"
            }
        }

        /// The most bytes of a transaction's file. What the daemon takes is less; this bounds what is read.
        private static let maximumFile = 1 << 20

        /// The hexadecimal digits of a transaction that was given as such, or as a file of them or of its bytes.
        static func transaction(_ argument: String) throws -> String {
            if let bytes = Hex.decode(argument), !bytes.isEmpty { return Hex.encode(bytes) }
            let bytes: [UInt8]
            do {
                bytes = try InputFile.read(argument, atMost: Self.maximumFile)
            } catch let problem as InputFile.Problem {
                throw ValidationError("--transaction is neither hexadecimal digits nor a file: \(problem)")
            }
            let spaces: [UInt8] = [0x20, 0x09, 0x0a, 0x0d]
            guard let text = String(validating: bytes, as: UTF8.self),
                let decoded = Hex.decode(String(decoding: text.utf8.filter { !spaces.contains($0) }, as: UTF8.self))
            else { return Hex.encode(bytes) }
            return Hex.encode(decoded)
        }
    }

    struct Ping: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Measures the round trip to each node of a path.",
            discussion: "Ends with status 1 when a node did not answer.")

        @Option(help: ArgumentHelp("How long each node has to answer, 1 to 60.", valueName: "seconds"))
        var timeout = 30

        @OptionGroup var path: Path

        func validate() throws {
            // Nobody on the way remembers a message for longer.
            guard (1...60).contains(self.timeout) else { throw ValidationError("--timeout must be 1 to 60") }
        }

        func run() async throws {
            let ping = PathPing(
                path: try self.path.nodes, over: self.path.over, timeoutSeconds: self.timeout)
            let report = try await self.path.operation.show(.ping, ping, as: Self.table)
            if report.hops.contains(where: { $0.milliseconds == nil }) { throw ExitCode.failure }
        }

        static func table(_ report: PathPingReport) -> String {
            TextTable.of(
                ["HOP", "NODE", "ROUND TRIP"],
                report.hops.enumerated().map { index, hop in
                    [
                        "\(index + 1)", NodeIDText.short(UntrustedText(hop.node).description),
                        hop.milliseconds.map(Milliseconds.text)
                            ?? UntrustedText(hop.failure ?? "no answer").description,
                    ]
                }, empty: "no hops")
        }
    }

    struct Counters: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "What happened to messages since the driver started.")

        @OptionGroup var operation: OperationOptions

        func run() async throws {
            try await self.operation.show(.messageCounters, NoQuestion(), as: Self.table)
        }

        static func table(_ report: MessageCountersReport) -> String {
            let names = Set(report.directed.keys).union(report.onion.keys).sorted()
            return TextTable.of(
                ["EVENT", "DIRECTED", "ONION"],
                names.map {
                    [UntrustedText($0).description, "\(report.directed[$0] ?? 0)", "\(report.onion[$0] ?? 0)"]
                }, empty: "nothing yet")
        }
    }

    struct Received: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "The texts that were received. Who wrote them is not known.")

        @OptionGroup var operation: OperationOptions

        func run() async throws {
            try await self.operation.show(.receivedMessages, NoQuestion(), as: Self.table)
        }

        static func table(_ report: ReceivedMessagesReport) -> String {
            TextTable.of(
                ["RECEIVED", "OVER", "HANDED ON BY", "TEXT"],
                report.messages.map { message in
                    [
                        UntrustedText(message.receivedAt).description, UntrustedText(message.over).description,
                        NodeIDText.short(UntrustedText(message.neighbour).description),
                        UntrustedText(message.text).description,
                    ]
                }, empty: "no texts")
        }
    }
}

/// Times for people.
enum Milliseconds {
    /// With one decimal: what a network can be measured to.
    static func text(_ value: Double) -> String {
        guard value.isFinite, (0..<1e12).contains(value) else { return "?" }
        let tenths = Int64((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10) ms"
    }
}
