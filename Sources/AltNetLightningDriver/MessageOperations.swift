// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDriverProtocol
internal import AltNetKeys
internal import AltNetLightningRelay
internal import AltNetObjects
internal import AltNetStreamDriver
internal import FoundationEssentials

/// The operations `message.*`: what the operator can do with directed and onion messages.
struct MessageOperations: Sendable {
    /// The names that the driver offers.
    static let names = ["message.counters", "message.ping", "message.received", "message.send"]
    /// How long an answer is waited for when the operator does not say.
    static let defaultTimeout = 30.0
    /// How long the parts of a transaction may take in all: the orchestrator waits no longer for an operation.
    static let transferDeadline = OperationRules.deadline
    /// How often a transfer may begin anew before it is given up.
    static let maximumRestarts = 3

    let hub: MessageHub
    let reception: Reception

    /// Carries out one of ``names``; `nil` for any other.
    func perform(_ operation: String, _ body: [UInt8]) async throws(OperationFailure) -> [UInt8]? {
        switch operation {
        case "message.ping": try OperationBody.encode(await self.ping(OperationBody.decode(body)))
        case "message.send": try OperationBody.encode(await self.send(OperationBody.decode(body)))
        case "message.received": try OperationBody.encode(await self.received())
        case "message.counters": try OperationBody.encode(await self.counters())
        default: nil
        }
    }

    // MARK: - Counters

    struct CountersReport: Encodable {
        let directed, onion: [String: UInt64]
    }

    private func counters() async -> CountersReport {
        func byName(_ counters: RelayCounters) -> [String: UInt64] {
            Dictionary(uniqueKeysWithValues: RelayCounters.Event.allCases.map { ($0.rawValue, counters[$0]) })
        }
        let counters = await self.hub.counters
        return CountersReport(directed: byName(counters.directed), onion: byName(counters.onion))
    }

    // MARK: - Ping

    struct RouteArguments: Decodable, Sendable {
        let path: [String]
        let over: String?
        let timeoutSeconds: Double?
        let text: String?
        let transaction: String?

        var timeout: Duration { .seconds(min(60, max(0.1, self.timeoutSeconds ?? MessageOperations.defaultTimeout))) }

        func route() throws(OperationFailure) -> Route {
            guard let carrier = RouteCarrier(rawValue: self.over ?? RouteCarrier.directed.rawValue) else {
                throw OperationFailure("\(UntrustedText(self.over ?? "")) is neither directed nor onion")
            }
            guard self.path.count <= DirectedMessages.maximumNodes else {
                throw OperationFailure(
                    "the path has \(self.path.count) nodes, and \(DirectedMessages.maximumNodes) are the most")
            }
            var nodes: [NodeID] = []
            for (index, text) in self.path.enumerated() {
                guard let node = NodeID(hex: text) else {
                    throw OperationFailure(
                        "node \(index + 1) of the path is no public key of 66 hexadecimal digits")
                }
                nodes.append(node)
            }
            guard !nodes.isEmpty else { throw OperationFailure("the path names no node") }
            return Route(carrier: carrier, nodes: nodes)
        }
    }

    struct PingReport: Encodable {
        struct Hop: Encodable, Sendable {
            let node: String
            var milliseconds: Double?
            var failure: String?
        }

        let hops: [Hop]
    }

    /// The round trip to each node of a path. All are asked within one time-out, a little apart, because nodes on the way
    /// let only a few messages through at once.
    private func ping(_ arguments: RouteArguments) async throws(OperationFailure) -> PingReport {
        let route = try arguments.route()
        let gap: Duration = route.carrier == .onion ? .milliseconds(300) : .milliseconds(20)
        let hops = await withTaskGroup(of: (Int, PingReport.Hop).self) { group in
            for index in route.nodes.indices {
                group.addTask {
                    try? await Task.sleep(for: gap * index)
                    let part = Route(carrier: route.carrier, nodes: Array(route.nodes.prefix(index + 1)))
                    return (index, await self.pingLast(of: part, timeout: arguments.timeout))
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        return PingReport(hops: hops.sorted { $0.0 < $1.0 }.map(\.1))
    }

    private func pingLast(of route: Route, timeout: Duration) async -> PingReport.Hop {
        var hop = PingReport.Hop(node: route.nodes.last?.description ?? "")
        do throws(OperationFailure) {
            let (answer, time) = try await self.ask(route, .ping, timeout: timeout)
            guard case .pong = answer else { throw OperationFailure("what came back is no answer to a ping") }
            hop.milliseconds = time
        } catch {
            hop.failure = error.description
        }
        return hop
    }

    // MARK: - Send

    struct SendReport: Encodable {
        let milliseconds: Double
    }

    /// Sends a text or a transaction, and waits until the far node has it.
    private func send(_ arguments: RouteArguments) async throws(OperationFailure) -> SendReport {
        let route = try arguments.route()
        switch (arguments.text, arguments.transaction) {
        case (let text?, nil):
            guard text.utf8.count <= Reception.maximumText else {
                throw OperationFailure(
                    "the text has \(text.utf8.count) bytes, and a text may have \(Reception.maximumText)")
            }
            let (answer, time) = try await self.ask(route, .text(Array(text.utf8)), timeout: arguments.timeout)
            guard answer == .textTaken else { throw OperationFailure("what came back is no answer to a text") }
            return SendReport(milliseconds: time)
        case (nil, let transaction?):
            guard let bytes = Hex.decode(transaction), bytes.count <= RelayFrame.maximumTransaction, !bytes.isEmpty
            else {
                throw OperationFailure(
                    "the transaction is not 1 to \(RelayFrame.maximumTransaction) bytes in hexadecimal digits")
            }
            return try await self.send(transaction: bytes, over: route, timeout: arguments.timeout)
        default: throw OperationFailure("either a text or a transaction has to be named")
        }
    }

    /// Sends a transaction in as many parts as it needs, one after the other, until the far node has taken the whole.
    private func send(
        transaction: [UInt8], over route: Route, timeout: Duration
    ) async throws(OperationFailure) -> SendReport {
        let size = self.hub.limits(of: route).message - RelayFrame.transactionPartOverhead
        guard size > 0 else {
            throw OperationFailure("on a path of \(route.nodes.count) nodes there is no room for a transaction")
        }
        let transfer = (0..<RelayFrame.transferIDSize).map { _ in UInt8.random(in: 0...255) }
        var (start, time, restarts) = (0, 0.0, 0)
        let deadline = ContinuousClock.now + Self.transferDeadline
        while true {
            guard ContinuousClock.now < deadline else {
                throw OperationFailure("the transaction is too slow: the far node has \(start) bytes of it by now")
            }
            let part = Array(transaction[start..<min(start + size, transaction.count)])
            let (answer, took) = try await self.ask(
                route,
                .transactionPart(
                    transfer: transfer, total: UInt32(transaction.count), offset: UInt32(start), part: part),
                timeout: timeout)
            time += took
            switch answer {
            case .transactionAccepted: return SendReport(milliseconds: time)
            case .transactionHeld(let count) where count < transaction.count:
                // Less than was sent: the far node has forgotten some, as after a restart.
                if Int(count) < start + part.count { restarts += 1 }
                guard restarts <= Self.maximumRestarts else {
                    throw OperationFailure("the far node forgets the transaction again and again")
                }
                start = Int(count)
            case .transactionRefused(let reason):
                throw OperationFailure("the far node refuses the transaction: \(reason)")
            default: throw OperationFailure("what came back is no answer to a transaction")
            }
        }
    }

    /// Asks and waits; gives the answer and the round trip in milliseconds.
    private func ask(
        _ route: Route, _ content: RelayFrame.Content, timeout: Duration
    ) async throws(OperationFailure) -> (RelayFrame.Content, Double) {
        let frame = RelayFrame(.random(in: 0...UInt64.max), content)
        let started = ContinuousClock.now
        do {
            let bytes = try await self.hub.ask(route, frame.encoded, timeout: timeout)
            let milliseconds = Double((ContinuousClock.now - started).wholeNanoseconds) / 1e6
            let answer = try RelayFrame(decoding: bytes)
            guard answer.requestID == frame.requestID else {
                throw OperationFailure("what came back answers something else")
            }
            return (answer.content, milliseconds)
        } catch let error as OperationFailure {
            throw error
        } catch {
            throw OperationFailure("\(error)")
        }
    }

    // MARK: - Received

    struct ReceivedReport: Encodable {
        struct Message: Encodable, Sendable {
            let receivedAt: String
            let over: String
            let neighbour: String
            let text: String
        }

        let messages: [Message]
    }

    private func received() async -> ReceivedReport {
        ReceivedReport(
            messages: await self.reception.texts.map {
                ReceivedReport.Message(
                    receivedAt: $0.receivedAt.formatted(.iso8601), over: $0.carrier.rawValue,
                    neighbour: $0.neighbour.description, text: $0.text)
            })
    }
}

/// The JSON of operations.
enum OperationBody {
    static func decode<Value: Decodable>(_ bytes: [UInt8], as type: Value.Type = Value.self) throws(OperationFailure)
        -> Value
    {
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch {
            throw OperationFailure("the arguments of the operation are not what it takes: \(Self.words(error))")
        }
    }

    static func encode(_ value: some Encodable) throws(OperationFailure) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return Array(try encoder.encode(value))
        } catch {
            throw OperationFailure("the result cannot be written: \(error)")
        }
    }

    private static func words(_ error: any Error) -> String {
        switch error {
        case DecodingError.keyNotFound(let key, _): "\(key.stringValue) is missing"
        case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context):
            "\(context.codingPath.map(\.stringValue).joined(separator: ".")) is of another type"
        default: "no JSON object"
        }
    }
}
