// SPDX-License-Identifier: MIT

internal import AltNetAlternativeAddresses
internal import AltNetBase
internal import AltNetKeys
internal import AltNetLightning
internal import AltNetStreamDriver
internal import FoundationEssentials

/// The operations `alt-addr.*`. They are the one place where addresses are told: to the operator, who asks.
struct AlternativeAddressOperations: Sendable {
    /// The names that the driver offers.
    static let names = ["alt-addr.clear", "alt-addr.list", "alt-addr.received", "alt-addr.send"]

    let book: AlternativeAddressBook

    /// Carries out one of ``names``; `nil` for any other.
    func perform(_ operation: String, _ body: [UInt8]) async throws(OperationFailure) -> [UInt8]? {
        switch operation {
        case "alt-addr.list": try OperationBody.encode(await self.list())
        case "alt-addr.received": try OperationBody.encode(await self.received())
        case "alt-addr.send": try OperationBody.encode(await self.send(OperationBody.decode(body)))
        case "alt-addr.clear": try OperationBody.encode(await self.clear(OperationBody.decode(body)))
        default: nil
        }
    }

    private struct ListReport: Encodable {
        struct Address: Encodable {
            let peer, channelID, address, endpoint, since: String
            let until: String?
        }

        let given: [Address]
        let counters: [String: UInt64]
    }

    private func list() async -> ListReport {
        let machine = await self.book.snapshot()
        return ListReport(
            given: machine.given.map { record in
                ListReport.Address(
                    peer: "\(record.peer)", channelID: Hex.encode(record.channelID), address: record.address.text,
                    endpoint: "\(record.endpoint)", since: Self.text(record.since),
                    until: record.until.map(Self.text))
            },
            counters: Dictionary(
                uniqueKeysWithValues: AlternativeAddressCounter.allCases.map {
                    ($0.rawValue, machine.counters[$0] ?? 0)
                }))
    }

    private struct ReceivedReport: Encodable {
        struct Address: Encodable {
            let peer, address, receivedAt: String
            let validatedAt, lastFailureAt: String?
        }

        let received: [Address]
    }

    private func received() async -> ReceivedReport {
        let machine = await self.book.snapshot()
        return ReceivedReport(
            received: machine.received.map { record in
                ReceivedReport.Address(
                    peer: "\(record.peer)", address: record.address.text, receivedAt: Self.text(record.receivedAt),
                    validatedAt: record.validatedAt.map(Self.text), lastFailureAt: record.lastFailureAt.map(Self.text))
            })
    }

    private struct Arguments: Decodable, Sendable {
        let peer: String?

        func node() throws(OperationFailure) -> NodeID? {
            guard let text = self.peer else { return nil }
            guard let node = NodeID(hex: text) else {
                throw OperationFailure("\(UntrustedText(text)) is no public key of 66 hexadecimal digits")
            }
            return node
        }
    }

    private struct DeliveryReport: Encodable {
        let sent, waiting: [String]

        init(_ delivery: AlternativeAddresses.Delivery) {
            self.sent = delivery.sent.map(\.description)
            self.waiting = delivery.waiting.map(\.description)
        }
    }

    private func send(_ arguments: Arguments) async throws(OperationFailure) -> DeliveryReport {
        DeliveryReport(try await self.book.send(to: arguments.node()))
    }

    private func clear(_ arguments: Arguments) async throws(OperationFailure) -> DeliveryReport {
        guard let peer = try arguments.node() else { throw OperationFailure("alt-addr.clear needs a peer") }
        return DeliveryReport(try await self.book.clear(peer))
    }

    private static func text(_ time: WallClockTime) -> String {
        Date(timeIntervalSince1970: Double(time.milliseconds) / 1000).formatted(.iso8601)
    }
}
