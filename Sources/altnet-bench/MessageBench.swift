// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetControl
internal import AltNetKeys
internal import AltNetLightning
internal import AltNetLightningRelay
internal import AltNetTestKit
internal import Foundation

/// Directed messages: what a node on the way does for each, on one core, and how long they take over real daemons.
enum MessageBench {
    static func run() async throws {
        try Self.forwards()
        try await Self.roundTrips()
    }

    // MARK: - Forwards

    private static let forwardCount = 4000

    /// A neighbour's message peeled, remembered and passed on, and its reply encrypted on the way back.
    private static func forwards() throws {
        var random = SeededRandom(seed: 1)
        func key() -> NodePrivateKey {
            while true { if let key = NodePrivateKey(bytes: random.bytes(32)) { return key } }
        }
        let (origin, middle, last) = (key(), key(), key())
        var limits = RelayLimits()
        limits.originated = Self.forwardCount
        limits.burst = Self.forwardCount
        limits.forwards = Self.forwardCount
        limits.deliveries = Self.forwardCount
        let path = [middle.publicKey, last.publicKey]
        let message = random.bytes(500)

        var (forward, bare) = (Double.infinity, Double.infinity)
        for _ in 0..<5 {
            var (asks, relays, answers) = (
                DirectedMessages(key: origin, limits: limits), DirectedMessages(key: middle, limits: limits),
                DirectedMessages(key: last, limits: limits)
            )
            var sent: [[UInt8]] = []
            for id in 0..<Self.forwardCount {
                let directives = try asks.originate(
                    id: UInt64(id), path: path, payload: message, timeout: .seconds(60), now: .zero,
                    canSend: { _ in .ready }, using: &random)
                sent += directives.messages
            }
            var passedOn: [[UInt8]] = []
            var time = try Stopwatch.once {
                for message in sent {
                    passedOn +=
                        relays.onMessage(
                            try DirectedMessage(body: message.dropFirst(2)), from: origin.publicKey, now: .zero,
                            canSend: { _ in .ready }, using: &random
                        ).messages
                }
            }
            var replies: [[UInt8]] = []
            for message in passedOn {
                for directive in answers.onMessage(
                    try DirectedMessage(body: message.dropFirst(2)), from: middle.publicKey, now: .zero,
                    canSend: { _ in .ready }, using: &random)
                {
                    guard case .deliver(let handle, let payload, _) = directive else { continue }
                    replies += answers.answer(handle, payload, now: .zero).messages
                }
            }
            var back = 0
            time += try Stopwatch.once {
                for reply in replies {
                    back +=
                        relays.onReply(
                            try DirectedReply(body: reply.dropFirst(2)), from: last.publicKey, now: .zero
                        ).messages.count
                }
            }
            guard back == Self.forwardCount else { throw Condition.Failure("only \(back) replies came back") }
            forward = min(forward, time)
            bare = min(bare, OnionBench.barePeels(Self.forwardCount))
        }
        let count = Double(Self.forwardCount)
        Figure.print(
            "directed messages forwarded and their replies passed back, one core", count / forward, "messages/s")
        Figure.print(
            "that is, of the bare curve operations of as many", forward / bare, "times", atMost: 1.5,
            of: "of the library's time")
    }

    // MARK: - Round trips

    private static let hops = 5
    private static let rounds = 100

    /// Pings over real daemons in a row on loopback.
    private static func roundTrips() async throws {
        var settings = ["drivers.lightning.listen": "127.0.0.1:0", "drivers.lightning.message_rate": "1000"]
        var row: [DaemonProcess] = []
        var path: [String] = []
        for _ in 0...Self.hops {
            let daemon = try await DaemonProcess.start(settings: settings)
            let address = try await daemon.listening("lightning")
            settings["drivers.lightning.connect"] = address
            row.insert(daemon, at: 0)
            path.insert(String(address.prefix(66)), at: 0)
        }
        let origin = row[0]
        let question = PathPing(path: Array(path.dropFirst()), over: .directed, timeoutSeconds: 10)
        var times: [[Double]] = Array(repeating: [], count: Self.hops)
        try await Condition.wait("all are connected") {
            try await origin.control.perform(.ping, question, by: "lightning").hops.allSatisfy { $0.failure == nil }
        }
        for _ in 0..<Self.rounds {
            let report = try await origin.control.perform(.ping, question, by: "lightning")
            for (hop, result) in report.hops.enumerated() { times[hop] += [result.milliseconds].compactMap(\.self) }
        }
        for hop in [1, 3, 5] {
            let sorted = times[hop - 1].sorted()
            guard sorted.count == Self.rounds else { throw Condition.Failure("pings were lost") }
            Figure.print(
                "directed message and reply over \(hop) hops on loopback, median", sorted[sorted.count / 2], "ms")
        }
        for daemon in row { try await daemon.stop() }
    }
}

extension [RelayDirective] {
    fileprivate var messages: [[UInt8]] {
        self.compactMap { if case .send(let message, _) = $0 { message } else { nil } }
    }
}
