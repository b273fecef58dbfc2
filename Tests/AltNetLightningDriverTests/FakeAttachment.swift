// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetKeys
import AltNetLightning
import AltNetLightningAttachment
import AltNetTestKit
import Synchronization

/// A Lightning node that does what a test tells it.
final class FakeAttachment: LightningAttachment {
    struct Sent: Equatable {
        let peer: NodeID
        let message: [UInt8]
    }

    struct Call: Equatable {
        let peer: NodeID
        let place: String
        let at: ContinuousClock.Instant
    }

    private struct State {
        var sent: [Sent] = []
        var onions: [AttachedOnionMessage] = []
        var calls: [Call] = []
        /// How the next calls end; from then on each reaches its peer.
        var outcomes: [AttachmentError?] = []
        var failure: AttachmentError?
        var isBlocked = false
        /// Whether attempts to connect never end, not even when they are cancelled.
        var hangs = false
        var onOnion: (@Sendable (AttachedOnionMessage) -> Void)?
        var announced: [NodeID: [LightningAddress]] = [:]
        var asked: [NodeID] = []
    }

    let key: NodePrivateKey
    let network = Network.regtest
    let abilities: Set<AttachmentAbility>
    private let state = Mutex(State())
    private let events = AsyncStream.makeStream(of: AttachmentEvent.self)

    var nodeID: NodeID { self.key.publicKey }

    init(_ abilities: Set<AttachmentAbility> = [.evenTypes, .connecting]) {
        self.key = Keys.random()
        self.abilities = abilities
    }

    // MARK: - What the test says

    func tell(_ event: AttachmentEvent) { self.events.continuation.yield(event) }

    func connected(_ peer: NodeID, features: [UInt16] = [445], channels: [[UInt8]] = []) {
        self.tell(
            .peerConnected(AttachedPeer(id: peer, features: LightningFeatures(features), channels: channels)))
    }

    /// The node goes away; with an error, not because it was asked to.
    func end(_ failure: AttachmentError? = nil) {
        self.state.withLock { $0.failure = failure }
        self.events.continuation.finish()
    }

    func block(_ isBlocked: Bool) { self.state.withLock { $0.isBlocked = isBlocked } }
    func hang() { self.state.withLock { $0.hangs = true } }
    func callsEnd(_ outcomes: [AttachmentError?]) { self.state.withLock { $0.outcomes = outcomes } }
    func onOnion(_ body: @escaping @Sendable (AttachedOnionMessage) -> Void) {
        self.state.withLock { $0.onOnion = body }
    }

    func announces(_ addresses: [LightningAddress], of node: NodeID) {
        self.state.withLock { $0.announced[node] = addresses }
    }

    /// The nodes of which somebody wanted to know the addresses.
    var asked: [NodeID] { self.state.withLock { $0.asked } }
    var sent: [Sent] { self.state.withLock { $0.sent } }
    var onions: [AttachedOnionMessage] { self.state.withLock { $0.onions } }
    func sent(to peer: NodeID) -> [[UInt8]] { self.sent.filter { $0.peer == peer }.map(\.message) }
    func calls(_ peer: NodeID) -> [Call] { self.state.withLock { $0.calls.filter { $0.peer == peer } } }

    // MARK: - LightningAttachment

    func run(_ onEvent: @escaping @Sendable (AttachmentEvent) async -> Void) async throws {
        for await event in self.events.stream { await onEvent(event) }
        if let failure = self.state.withLock({ $0.failure }), !Task.isCancelled { throw failure }
    }

    func send(_ message: [UInt8], to peer: NodeID) async throws(AttachmentError) {
        // A node takes the one sooner and the other later.
        for _ in 0..<Int.random(in: 0...20) { await Task.yield() }
        while self.state.withLock({ $0.isBlocked }), !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(1))
        }
        self.state.withLock { $0.sent.append(Sent(peer: peer, message: message)) }
    }

    func send(_ onionMessage: AttachedOnionMessage) async throws(AttachmentError) {
        let body = self.state.withLock { state in
            state.onions.append(onionMessage)
            return state.onOnion
        }
        body?(onionMessage)
    }

    func connect(to peer: NodeID, host: String, port: UInt16) async throws(AttachmentError) {
        let (outcome, hangs) = self.state.withLock { state -> (AttachmentError?, Bool) in
            state.calls.append(Call(peer: peer, place: "\(host):\(port)", at: .now))
            return (state.outcomes.isEmpty ? nil : state.outcomes.removeFirst(), state.hangs)
        }
        while hangs { await Self.uncancellablePause() }
        if let outcome { throw outcome }
    }

    func announcedAddresses(of node: NodeID) async throws(AttachmentError) -> [LightningAddress] {
        self.state.withLock { state in
            state.asked.append(node)
            return state.announced[node] ?? []
        }
    }

    private static func uncancellablePause() async {
        await Task.detached { try? await Task.sleep(for: .milliseconds(20)) }.value
    }
}

enum Keys {
    static func random() -> NodePrivateKey {
        while true {
            let bytes = (0..<32).map { _ in UInt8.random(in: .min ... .max) }
            if let key = NodePrivateKey(bytes: bytes) { return key }
        }
    }
}
