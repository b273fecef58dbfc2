// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetControl
internal import ArgumentParser

struct AlternativeAddressCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "alt-addr",
        abstract: "Alternative addresses: which ones peers were given, and which ones they gave.",
        discussion: "These addresses are private. They are shown here, because you ask, and nowhere else.",
        subcommands: [List.self, Send.self, Clear.self, Received.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Every address that a peer was given, and until when.")

        @OptionGroup var operation: OperationOptions

        func run() async throws {
            try await self.operation.show(.givenAddresses, NoQuestion(), as: Self.table)
        }

        static func table(_ report: GivenAddressesReport) -> String {
            let table = TextTable.of(
                ["PEER", "ADDRESS", "ENDPOINT", "SINCE", "UNTIL"],
                report.given.map { given in
                    [
                        NodeIDText.short(UntrustedText(given.peer).description),
                        UntrustedText(given.address).description, UntrustedText(given.endpoint).description,
                        UntrustedText(given.since).description, UntrustedText(given.until ?? "-").description,
                    ]
                }, empty: "no peer was given an address")
            let counters = (report.counters ?? [:]).filter { $0.value > 0 }.sorted { $0.key < $1.key }
                .map { "\(UntrustedText($0.key)) \($0.value)" }
            return counters.isEmpty ? table : "\(table)\nsince the start: \(counters.joined(separator: ", "))"
        }
    }

    struct Send: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Sends a peer its address, or all peers theirs that are to have one.")

        @Argument(help: "The peer's node id. Default: all.")
        var peer: String?

        @OptionGroup var operation: OperationOptions

        func validate() throws { _ = try self.peer.map(NodeIDText.peer) }

        func run() async throws {
            let peer = AddressPeer(peer: try self.peer.map(NodeIDText.peer))
            try await self.operation.show(.sendAddresses, peer, as: SentText.of)
        }
    }

    struct Clear: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Tells a peer to forget its address, and takes no connection on it any more.")

        @Argument(help: "The peer's node id.")
        var peer: String

        @OptionGroup var operation: OperationOptions

        func validate() throws { _ = try NodeIDText.peer(self.peer) }

        func run() async throws {
            let peer = AddressPeer(peer: try NodeIDText.peer(self.peer))
            try await self.operation.show(.clearAddress, peer, as: SentText.of)
        }
    }

    struct Received: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Every address that a peer gave, whether it has worked, and when it last failed.")

        @OptionGroup var operation: OperationOptions

        func run() async throws {
            try await self.operation.show(.receivedAddresses, NoQuestion(), as: Self.table)
        }

        static func table(_ report: ReceivedAddressesReport) -> String {
            TextTable.of(
                ["PEER", "ADDRESS", "RECEIVED", "WORKED", "FAILED"],
                report.received.map { received in
                    [
                        NodeIDText.short(UntrustedText(received.peer).description),
                        UntrustedText(received.address).description, UntrustedText(received.receivedAt).description,
                        UntrustedText(received.validatedAt ?? "-").description,
                        UntrustedText(received.lastFailureAt ?? "-").description,
                    ]
                }, empty: "no peer gave an address")
        }
    }
}

/// Who was told, and who will be.
enum SentText {
    static func of(_ report: SentAddressesReport) -> String {
        let lines =
            report.sent.map { "told    \(UntrustedText($0))" } + report.waiting.map { "waiting \(UntrustedText($0))" }
        return lines.isEmpty ? "nobody is to be told" : lines.joined(separator: "\n")
    }
}
