// SPDX-License-Identifier: MIT

import AltNetKeys
import AltNetLightningAttachment
import AltNetTestKit
import Synchronization
import Testing

@testable import AltNetLND

extension FakeLND {
    static let isMissing = Comment(rawValue: FakeLND.missing)
}

extension FakeLND.Node {
    func settings(address: String? = nil) throws -> LNDSettings {
        try LNDSettings(address: address ?? self.address, certificate: self.certificate, macaroon: self.macaroon)
    }

    var port: String { String(self.address.split(separator: ":").last ?? "") }
    var nodeID: NodeID? { NodeID(hex: self.id) }
}

/// Runs an attachment and remembers what it tells.
final class Attached: Sendable {
    static let timing = LNDTiming(
        call: .seconds(10), listing: .seconds(120), shortestListing: .milliseconds(20),
        firstPause: .milliseconds(50), longestPause: .milliseconds(200))

    let node: LNDNode
    /// Holds the handling of events back.
    let gate = Gate()
    private let log: Log
    private let task = Mutex<Task<Void, Never>?>(nil)

    private final class Log: Sendable {
        let events = Mutex<[AttachmentEvent]>([])
        let sentences = Mutex<[String]>([])
        let ended = Mutex<Result<Void, any Error>?>(nil)
    }

    /// Holds events back while it is closed.
    final class Gate: Sendable {
        private let isClosed = Mutex(false)
        func set(closed: Bool) { self.isClosed.withLock { $0 = closed } }
        func pass() async {
            while self.isClosed.withLock({ $0 }), !Task.isCancelled { try? await Task.sleep(for: .milliseconds(5)) }
        }
    }

    init(_ settings: LNDSettings, timing: LNDTiming = Attached.timing) async throws {
        let log = Log()
        self.log = log
        self.node = try await LNDNode.attach(settings, timing: timing) { sentence in
            log.sentences.withLock { $0.append(sentence) }
        }
    }

    deinit { self.stop() }

    func run() {
        let task = Task { [node, gate, log] in
            do {
                try await node.run { event in
                    await gate.pass()
                    log.events.withLock { $0.append(event) }
                }
                log.ended.withLock { $0 = .success(()) }
            } catch {
                log.ended.withLock { $0 = .failure(error) }
            }
        }
        self.task.withLock { $0 = task }
    }

    func stop() { self.task.withLock { $0?.cancel() } }

    var events: [AttachmentEvent] { self.log.events.withLock { $0 } }
    var sentences: [String] { self.log.sentences.withLock { $0 } }
    /// How the run ended.
    var ended: Result<Void, any Error>? { self.log.ended.withLock { $0 } }

    /// The messages in the order in which they came.
    var messages: [[UInt8]] {
        self.events.compactMap { if case .message(_, let bytes) = $0 { bytes } else { nil } }
    }

    /// Waits for an event.
    func tells(_ what: String, count: Int = 1, _ matches: @Sendable (AttachmentEvent) -> Bool) async throws {
        do {
            try await Condition.wait(what) { self.events.count(where: matches) >= count }
        } catch {
            throw Condition.Failure("\(error); told: \(self.events.suffix(20)); \(self.sentences)")
        }
    }

    func tells(_ event: AttachmentEvent, count: Int = 1) async throws {
        try await self.tells("\(event)", count: count) { $0 == event }
    }
}
