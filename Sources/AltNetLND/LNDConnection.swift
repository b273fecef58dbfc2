// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetKeys
internal import AltNetLightning
internal import AltNetLightningAttachment
internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import GRPCProtobuf
internal import SwiftProtobuf
internal import Synchronization

/// One connection to LND, from the reading of the files to its end. LND makes new certificates and people bake new
/// macaroons, so each connection reads both anew.
final class LNDConnection: Sendable {
    typealias Transport = HTTP2ClientTransport.Posix

    /// The largest listing that is read, in bytes. 4,096 peers with all that LND tells of each are some 8 MB.
    static let maximumListing = 32 << 20
    /// The largest other answer: a whole Lightning message and what names it.
    static let maximumAnswer = 128 << 10

    private let settings: LNDSettings
    private let timing: LNDTiming
    private let client: GRPCClient<Transport>
    private let running: Task<Void, Never>
    private let macaroon: Mutex<String>

    /// Reads the files; connects in the background, and calls wait for that.
    init(_ settings: LNDSettings, timing: LNDTiming) throws(LNDSetupError) {
        self.settings = settings
        self.timing = timing
        let certificate = try LNDFiles.certificate(settings.certificate)
        self.macaroon = Mutex(try LNDFiles.macaroon(settings.macaroon))
        let client: GRPCClient<Transport>
        do {
            // The system's own certification authorities are not trusted for this: LND's certificate is its own.
            let security = Transport.TransportSecurity.tls {
                $0.trustRoots = .certificates([.bytes(certificate, format: .pem)])
                $0.serverCertificateVerification = .fullVerification
            }
            let transport =
                switch settings.address.host {
                case .ipv4(let host):
                    try Transport(
                        target: .ipv4(address: host, port: settings.address.port), transportSecurity: security)
                case .ipv6(let host):
                    try Transport(
                        target: .ipv6(address: host, port: settings.address.port), transportSecurity: security)
                case .name(let host):
                    try Transport(target: .dns(host: host, port: settings.address.port), transportSecurity: security)
                }
            client = GRPCClient(transport: transport)
        } catch {
            throw LNDSetupError("\(settings.certificate) cannot be used as a certificate: \(UntrustedText("\(error)"))")
        }
        self.client = client
        // A failure of the connection reaches the calls that wait for it.
        self.running = Task { try? await client.runConnections() }
    }

    deinit { self.close() }

    /// Ends all calls and the connection.
    func close() {
        self.client.beginGracefulShutdown()
        self.running.cancel()
    }

    // MARK: - Calls with one answer

    func info() async throws(LNDFailure) -> Lnrpc_GetInfoResponse {
        try await self.call { metadata, options in
            try await self.lightning.getInfo(.init(), metadata: metadata, options: options)
        }
    }

    /// The peers that are connected, with the open channels.
    func peers() async throws(LNDFailure) -> [AttachedPeer] {
        let peers = try await self.call(largest: Self.maximumListing) { metadata, options in
            try await self.lightning.listPeers(.with { $0.latestError = true }, metadata: metadata, options: options)
        }
        let channels = try await self.call(largest: Self.maximumListing) { metadata, options in
            try await self.lightning.listChannels(.init(), metadata: metadata, options: options)
        }
        return try LNDReading.peers(peers, channels)
    }

    /// What a node announced of itself; none when LND has heard nothing of it.
    func addresses(of node: NodeID) async throws(LNDFailure) -> [LightningAddress] {
        let request = Lnrpc_NodeInfoRequest.with { $0.pubKey = node.description }
        do {
            let answer = try await self.call { metadata, options in
                try await self.lightning.getNodeInfo(request, metadata: metadata, options: options)
            }
            return Array(
                answer.node.addresses.lazy.filter { $0.network == "tcp" }
                    .compactMap { try? LightningAddress(text: $0.addr) }.prefix(AnnouncedAddresses.maximum))
        } catch .peerNotConnected {
            // NOT_FOUND, which means that of other calls.
            return []
        }
    }

    func send(type: UInt16, _ body: ArraySlice<UInt8>, to peer: NodeID) async throws(LNDFailure) {
        let request = Lnrpc_SendCustomMessageRequest.with {
            $0.peer = .init(peer.bytes)
            $0.type = UInt32(type)
            $0.data = .init(body)
        }
        _ = try await self.call { metadata, options in
            try await self.lightning.sendCustomMessage(request, metadata: metadata, options: options)
        }
    }

    func connect(to peer: NodeID, at address: String) async throws(LNDFailure) {
        let seconds = max(1, self.timing.call.components.seconds)
        let request = Lnrpc_ConnectPeerRequest.with {
            $0.addr = .with {
                $0.pubkey = peer.description
                $0.host = address
            }
            $0.timeout = UInt64(seconds)
        }
        _ = try await self.call { metadata, options in
            try await self.lightning.connectPeer(request, metadata: metadata, options: options)
        }
    }

    /// BOLT 4's and BOLT 8's `ECDH` of the node's key and a point: SHA-256 of the compressed product, 32 bytes.
    func sharedSecret(with point: NodeID) async throws(LNDFailure) -> [UInt8] {
        let answer = try await self.call { metadata, options in
            try await self.signer.deriveSharedKey(
                .with { $0.ephemeralPubkey = .init(point.bytes) }, metadata: metadata, options: options)
        }
        guard answer.sharedKey.count == 32 else {
            throw .nonsense("a shared secret of \(answer.sharedKey.count) bytes")
        }
        return Array(answer.sharedKey)
    }

    func send(onion: [UInt8], pathKey: NodeID, to peer: NodeID) async throws(LNDFailure) {
        let request = Lnrpc_SendOnionMessageRequest.with {
            $0.peer = .init(peer.bytes)
            $0.pathKey = .init(pathKey.bytes)
            $0.onion = .init(onion)
        }
        _ = try await self.call { metadata, options in
            try await self.lightning.sendOnionMessage(request, metadata: metadata, options: options)
        }
    }

    // MARK: - Subscriptions

    /// Hands out each message until the stream ends; throws how it ended.
    func messages(_ onMessage: @escaping @Sendable (Lnrpc_CustomMessage) throws -> Void) async throws(LNDFailure) {
        try await self.stream { metadata, options in
            try await self.lightning.subscribeCustomMessages(.init(), metadata: metadata, options: options) {
                for try await message in $0.messages { try onMessage(message) }
            }
        }
    }

    /// Hands out who comes and goes until the stream ends; throws how it ended.
    func peerEvents(_ onEvent: @escaping @Sendable (Lnrpc_PeerEvent) throws -> Void) async throws(LNDFailure) {
        try await self.stream { metadata, options in
            try await self.lightning.subscribePeerEvents(.init(), metadata: metadata, options: options) {
                for try await event in $0.messages { try onEvent(event) }
            }
        }
    }

    /// Hands out each onion message that arrived until the stream ends; throws how it ended.
    func onionMessages(
        _ onMessage: @escaping @Sendable (Lnrpc_OnionMessageUpdate) throws -> Void
    ) async throws(LNDFailure) {
        try await self.stream { metadata, options in
            try await self.lightning.subscribeOnionMessages(.init(), metadata: metadata, options: options) {
                for try await message in $0.messages { try onMessage(message) }
            }
        }
    }

    // MARK: - What all calls have in common

    private var lightning: Lnrpc_Lightning.Client<Transport> { .init(wrapping: self.client) }
    private var signer: Signrpc_Signer.Client<Transport> { .init(wrapping: self.client) }

    private static func metadata(_ macaroon: String) -> Metadata { ["macaroon": .string(macaroon)] }

    private func options(largest: Int, timeout: Duration?) -> CallOptions {
        var options = CallOptions.defaults
        options.timeout = timeout
        options.waitForReady = false
        options.maxResponseMessageBytes = largest
        return options
    }

    private func call<Answer: Sendable>(
        largest: Int = LNDConnection.maximumAnswer, _ body: (Metadata, CallOptions) async throws -> Answer
    ) async throws(LNDFailure) -> Answer {
        let options = self.options(largest: largest, timeout: self.timing.call)
        let macaroon = self.macaroon.withLock { $0 }
        do {
            return try await body(Self.metadata(macaroon), options)
        } catch {
            let failure = LNDFailure(error, settings: self.settings)
            guard case .credentials = failure, let renewed = self.renewedMacaroon(after: macaroon) else {
                throw failure
            }
            do {
                return try await body(Self.metadata(renewed), options)
            } catch {
                throw LNDFailure(error, settings: self.settings)
            }
        }
    }

    private func stream(_ body: (Metadata, CallOptions) async throws -> Void) async throws(LNDFailure) {
        do {
            let options = self.options(largest: Self.maximumAnswer, timeout: nil)
            try await body(Self.metadata(self.macaroon.withLock { $0 }), options)
        } catch {
            throw LNDFailure(error, settings: self.settings)
        }
        throw .unreachable("it ended the subscription")
    }

    /// The macaroon in the file, when it is another one than the one that was refused.
    private func renewedMacaroon(after refused: String) -> String? {
        guard let found = try? LNDFiles.macaroon(self.settings.macaroon), found != refused else { return nil }
        self.macaroon.withLock { $0 = found }
        return found
    }
}
