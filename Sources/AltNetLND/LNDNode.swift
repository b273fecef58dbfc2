// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetBitcoin
public import AltNetKeys
public import AltNetLightning
public import AltNetLightningAttachment
internal import Synchronization

/// The operator's LND, attached to through its gRPC interface.
///
/// LND needs version 0.18.0 or later. For messages of types below 32768 it must be told so in its configuration, as it
/// must for each feature bit that it shall announce; ``advice(features:)`` and the errors of ``send(_:to:)`` say what
/// is missing.
public final class LNDNode: LightningAttachment {
    /// The largest message, type included: BOLT 8 has two bytes for its length.
    static let maximumMessageSize = 65_535
    /// Calls of ours that may be under way at once. LND queues what it sends per peer; more than this means that it
    /// does not answer.
    static let maximumCalls = 256

    public let nodeID: NodeID
    public let network: Network
    public let abilities: Set<AttachmentAbility>
    /// LND's version, as it says it.
    let version: UntrustedText

    /// `option_onion_messages` (BOLT 9).
    private static let onionMessageBit: UInt16 = 39

    let settings: LNDSettings
    let timing: LNDTiming
    let announced: LightningFeatures
    let onTrouble: @Sendable (String) -> Void
    let state: Mutex<State>

    /// What changes while it runs.
    struct State {
        /// `nil` while LND is away.
        var connection: LNDConnection?
        /// Why there is no connection.
        var absence = LNDFailure.ended
        var calls = 0
        var counters = LNDCounters()
    }

    /// Connects to LND and asks who it is; one attempt, which takes ``LNDTiming/call`` for each of two calls at most.
    ///
    /// - Parameters:
    ///   - settings: where it is.
    ///   - timing: how long things may take.
    ///   - onTrouble: is told, while ``run(_:)`` goes on, one sentence for the log about each new trouble and its end.
    /// - Throws: ``LNDSetupError`` when a restart does not help, `AttachmentError` when it may.
    public static func attach(
        _ settings: LNDSettings, timing: LNDTiming = .standard, onTrouble: @escaping @Sendable (String) -> Void
    ) async throws -> LNDNode {
        let connection = try LNDConnection(settings, timing: timing)
        do {
            let info = try await connection.info()
            let abilities = try await Self.abilities(of: connection, info)
            return try LNDNode(
                settings, timing: timing, info: info, abilities: abilities, connection: connection,
                onTrouble: onTrouble)
        } catch let failure as LNDFailure {
            connection.close()
            throw failure.attachmentError(settings: settings, timeout: timing.call)
        }
    }

    /// Even types pass LND as odd ones do. What else it and the macaroon allow is found out by calls that do nothing:
    /// messages to the node itself, which is never its own peer, and its shared secret with itself.
    private static func abilities(
        of connection: LNDConnection, _ info: Lnrpc_GetInfoResponse
    ) async throws(LNDFailure) -> Set<AttachmentAbility> {
        let node = try LNDReading.node(info.identityPubkey)
        do {
            try await connection.send(type: .max, [], to: node)
        } catch .peerNotConnected {
            // As it must be.
        }
        var abilities: Set<AttachmentAbility> = [.evenTypes, .connecting]
        do {
            _ = try await connection.sharedSecret(with: node)
            abilities.insert(.sharedSecret)
        } catch .credentials, .unknownCall {
            // Then it is not among the abilities, and nothing else needs it.
        }
        guard LNDReading.features(info.features).offers(Self.onionMessageBit) else { return abilities }
        do {
            try await connection.send(onion: [], pathKey: node, to: node)
        } catch .peerNotConnected {
            abilities.insert(.onionMessages)
        } catch .credentials, .unknownCall {
            // The same.
        }
        return abilities
    }

    private init(
        _ settings: LNDSettings, timing: LNDTiming, info: Lnrpc_GetInfoResponse, abilities: Set<AttachmentAbility>,
        connection: LNDConnection, onTrouble: @escaping @Sendable (String) -> Void
    ) throws(LNDFailure) {
        self.settings = settings
        self.timing = timing
        self.nodeID = try LNDReading.node(info.identityPubkey)
        self.network = try LNDReading.network(info)
        self.announced = LNDReading.features(info.features)
        self.version = UntrustedText(info.version)
        self.abilities = abilities
        self.onTrouble = onTrouble
        self.state = Mutex(State(connection: connection))
    }

    /// What LND lacks for these feature bits to be announced, and for messages of types below 32768: sentences for the
    /// log. Which types it passes, LND tells only when one is sent: see ``send(_:to:)``.
    public func advice(features bits: [UInt16]) -> [String] {
        var advice = bits.filter { !self.announced.offers($0) }.map {
            """
            LND does not announce the feature bit \($0), so peers will not use what it stands for; add \
            protocol.custom-init=\($0) to lnd.conf and start LND anew
            """
        }
        if Self.isOlder(self.version.description, than: (0, 18)) {
            advice.append(
                "LND \(self.version) cannot be told to pass messages of types below 32768; 0.18.0 and later can")
        }
        return advice
    }

    /// Whether a version such as `0.17.5-beta commit=…` is below major and minor numbers. What cannot be read is not.
    static func isOlder(_ version: String, than least: (Int, Int)) -> Bool {
        let parts = version.split(separator: ".", maxSplits: 2).prefix(2).compactMap { Int($0) }
        return parts.count == 2 && (parts[0], parts[1]) < least
    }

    /// What was counted since the start.
    var counters: LNDCounters { self.state.withLock { $0.counters } }

    // MARK: - Calls

    public func send(_ message: [UInt8], to peer: NodeID) async throws(AttachmentError) {
        guard message.count >= 2 else { throw .unsendable("it has no type") }
        guard message.count <= Self.maximumMessageSize else {
            throw .unsendable("it has \(message.count) bytes, more than \(Self.maximumMessageSize)")
        }
        let type = UInt16(message[0]) << 8 | UInt16(message[1])
        do {
            try await self.call { (connection) async throws(LNDFailure) in
                try await connection.send(type: type, message[2...], to: peer)
            }
        } catch .typeNotAllowed {
            throw .unsupported(
                """
                LND is not configured to send messages of type \(type); add protocol.custom-message=\(type) to \
                lnd.conf and start LND 0.18.0 or later anew
                """)
        } catch {
            throw error.attachmentError(settings: self.settings, timeout: self.timing.call, about: peer)
        }
        self.state.withLock { $0.counters.sent += 1 }
    }

    public func send(_ onionMessage: AttachedOnionMessage) async throws(AttachmentError) {
        guard self.abilities.contains(.onionMessages) else {
            throw .unsupported("onion messages need LND 0.21 or later, and a macaroon that allows them")
        }
        let peer = onionMessage.firstNode
        // The message has its type, the path key and a length beside the onion.
        guard onionMessage.onion.count <= Self.maximumMessageSize - 2 - NodeID.size - 2 else {
            throw .unsendable("the onion has \(onionMessage.onion.count) bytes, more than a message holds")
        }
        do {
            try await self.call { (connection) async throws(LNDFailure) in
                try await connection.send(onion: onionMessage.onion, pathKey: onionMessage.pathKey, to: peer)
            }
        } catch {
            throw error.attachmentError(settings: self.settings, timeout: self.timing.call, about: peer)
        }
        self.state.withLock { $0.counters.sent += 1 }
    }

    public func connect(to peer: NodeID, host: String, port: UInt16) async throws(AttachmentError) {
        let isName = (1...253).contains(host.utf8.count) && host.utf8.allSatisfy { (0x21...0x7e).contains($0) }
        guard isName, port > 0 else { throw .unsendable("the address to connect to is none") }
        let address = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        do {
            try await self.call { (connection) async throws(LNDFailure) in
                try await connection.connect(to: peer, at: address)
            }
        } catch .refused(_, let text) {
            // LND has no status of its own for this, and its other texts have addresses in them.
            if text.description.contains("already connected to peer") { return }
            throw .peerUnreachable(peer)
        } catch {
            throw error.attachmentError(settings: self.settings, timeout: self.timing.call, about: peer)
        }
    }

    public func announcedAddresses(of node: NodeID) async throws(AttachmentError) -> [LightningAddress] {
        do {
            return try await self.call { (connection) async throws(LNDFailure) in
                try await connection.addresses(of: node)
            }
        } catch .credentials {
            // The macaroon need not allow it: nothing else depends on it.
            return []
        } catch {
            throw error.attachmentError(settings: self.settings, timeout: self.timing.call, about: node)
        }
    }

    private func call<Answer: Sendable>(
        _ body: (LNDConnection) async throws(LNDFailure) -> Answer
    ) async throws(LNDFailure) -> Answer {
        let connection = try self.state.withLock { (state) throws(LNDFailure) in
            guard let connection = state.connection else { throw state.absence }
            guard state.calls < Self.maximumCalls else { throw .busy }
            state.calls += 1
            return connection
        }
        defer { self.state.withLock { $0.calls -= 1 } }
        return try await body(connection)
    }
}

/// What was counted since the start.
struct LNDCounters: Hashable, Sendable {
    /// Messages that LND took from us.
    var sent: UInt64 = 0
    /// Messages of peers that were handed on.
    var received: UInt64 = 0
    /// Messages of peers that were dropped because too many waited.
    var dropped: UInt64 = 0
    /// Messages that were dropped because their sender was connected no more.
    var fromAbsent: UInt64 = 0
    /// Onion messages that were dropped because their sender made them against BOLT 4.
    var refused: UInt64 = 0
    /// How often the connection to LND broke.
    var breaks: UInt64 = 0
}
