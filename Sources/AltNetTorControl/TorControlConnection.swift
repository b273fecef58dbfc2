// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// Where Tor's control port is.
public enum TorControlPort: Hashable, Sendable {
    case tcp(host: String, port: UInt16)
    case unix(path: String)
}

/// Where an onion service's connections go on this machine.
public enum TorServiceTarget: Hashable, Sendable {
    /// A port on 127.0.0.1.
    case loopback(port: UInt16)
    case unix(path: String)
}

/// What Tor does for an onion service against floods.
public struct OnionProtection: Hashable, Sendable {
    /// How many streams one client's circuit may carry; more end the circuit. So each connection of a flood costs a
    /// circuit.
    public var streamsPerCircuit: UInt16
    /// Whether clients solve puzzles when there are too many of them. Tor knows that since 0.4.9, where it was built
    /// with it; others make the service without.
    public var hasPuzzles: Bool

    public init(streamsPerCircuit: UInt16, hasPuzzles: Bool) {
        self.streamsPerCircuit = streamsPerCircuit
        self.hasPuzzles = hasPuzzles
    }
}

/// One connection to Tor's control port. Commands run one after the other; one that is not answered in time ends the
/// connection, because a later answer could be taken for another one's.
public final class TorControlConnection: Sendable {
    /// How long connecting and each command may take: the port is on this machine, and Tor answers at once.
    static let timeout: TimeAmount = .seconds(20)
    /// Commands that may wait at once: more than anybody here sends.
    static let maximumWaiting = 8
    /// The status of a reply to an argument that Tor does not know.
    private static let badArguments = 512...513

    private let channel: any Channel
    private let replies: Replies

    private init(channel: any Channel, replies: Replies) {
        self.channel = channel
        self.replies = replies
    }

    /// Connects, without authenticating.
    public static func connect(to port: TorControlPort) async throws(TorControlError) -> TorControlConnection {
        let replies = Replies()
        let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connectTimeout(Self.timeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(replies) }
            }
        do {
            let channel =
                switch port {
                case .tcp(let host, let port): try await bootstrap.connect(host: host, port: Int(port)).get()
                case .unix(let path): try await bootstrap.connect(unixDomainSocketPath: path).get()
                }
            return TorControlConnection(channel: channel, replies: replies)
        } catch {
            throw .unreachable(Self.reason(error))
        }
    }

    private static func reason(_ error: any Error) -> String {
        switch error {
        case let error as IOError: String(cString: strerror(error.errnoCode))
        case let error as NIOConnectionError:
            error.connectionErrors.first.map { Self.reason($0.error) } ?? "\(error.host) cannot be reached"
        case ChannelError.connectTimeout: "no answer in time"
        default: "\(error)"
        }
    }

    public func close() {
        self.channel.close(promise: nil)
    }

    /// Returns when the connection is over.
    public func waitForEnd() async {
        try? await self.channel.closeFuture.get()
    }

    // MARK: - Commands

    /// Proves that we may control Tor: with the password where there is one, or else by the cookie, without sending it
    /// where Tor knows how (`SAFECOOKIE`).
    public func authenticate(password: String?) async throws(TorControlError) {
        let offer = try TorAuthentication(try await self.command("PROTOCOLINFO", "1"))
        if let password, offer.methods.contains("HASHEDPASSWORD") {
            // In hexadecimal, nothing in it can end the line.
            _ = try await self.command("AUTHENTICATE", Hex.encode(password.utf8))
        } else if let file = offer.cookieFile, offer.methods.contains("SAFECOOKIE") {
            try await self.authenticate(cookie: try TorAuthentication.cookie(file))
        } else if let file = offer.cookieFile, offer.methods.contains("COOKIE") {
            _ = try await self.command("AUTHENTICATE", Hex.encode(try TorAuthentication.cookie(file)))
        } else if offer.methods.contains("NULL") {
            _ = try await self.command("AUTHENTICATE")
        } else {
            throw .noAuthentication(offered: UntrustedText(offer.methods.joined(separator: ", ")).description)
        }
    }

    private func authenticate(cookie: [UInt8]) async throws(TorControlError) {
        let nonce = (0..<TorAuthentication.size).map { _ in UInt8.random(in: 0...255) }
        let reply = try await self.command("AUTHCHALLENGE", "SAFECOOKIE \(Hex.encode(nonce))")
        var fields: [Substring: [UInt8]] = [:]
        for word in reply.lines.joined(separator: " ").split(separator: " ") {
            let parts = word.split(separator: "=", maxSplits: 1)
            if parts.count == 2 { fields[parts[0]] = Hex.decode(parts[1]) }
        }
        guard let proof = fields["SERVERHASH"], let serverNonce = fields["SERVERNONCE"],
            serverNonce.count == TorAuthentication.size
        else { throw .malformed("AUTHCHALLENGE has no proof") }
        let proofs = TorAuthentication.proofs(cookie: cookie, clientNonce: nonce, serverNonce: serverNonce)
        guard proofs.server == proof else { throw .wrongServer }
        _ = try await self.command("AUTHENTICATE", Hex.encode(proofs.client))
    }

    /// Makes an onion service that lives as long as this connection.
    ///
    /// - Parameters:
    ///   - key: as an earlier call returned it; `nil` for a new one.
    ///   - protection: `nil` for what Tor does by itself.
    /// - Returns: its name without `.onion`, and its key when it is new.
    public func addOnion(
        key: String?, virtualPort: UInt16, target: TorServiceTarget, protection: OnionProtection? = nil
    ) async throws(TorControlError) -> (serviceID: String, newKey: String?) {
        let targetText =
            switch target {
            case .loopback(let port): "127.0.0.1:\(port)"
            case .unix(let path): "unix:\(path)"
            }
        let (keyText, portText) = (key ?? "NEW:ED25519-V3", "Port=\(virtualPort),\(targetText)")
        guard (keyText + portText).utf8.allSatisfy({ (0x21...0x7e).contains($0) }),
            key?.hasPrefix("ED25519-V3:") != false
        else { throw .badSetting("the key or the target of an onion service has characters that Tor cannot take") }
        let streams = protection.map { ["Flags=MaxStreamsCloseCircuit", "MaxStreams=\($0.streamsPerCircuit)"] } ?? []
        let plain = ([keyText] + streams + [portText]).joined(separator: " ")
        let reply: TorReply
        if protection?.hasPuzzles == true {
            let puzzles = ([keyText] + streams + ["PoWDefensesEnabled=1", portText]).joined(separator: " ")
            do throws(TorControlError) {
                reply = try await self.command("ADD_ONION", puzzles)
            } catch .refused(_, Self.badArguments, _) {
                reply = try await self.command("ADD_ONION", plain)
            }
        } else {
            reply = try await self.command("ADD_ONION", plain)
        }
        guard let name = reply.value("ServiceID"), name.utf8.count == 56,
            name.utf8.allSatisfy({ (0x61...0x7a).contains($0) || (0x32...0x37).contains($0) })
        else { throw .malformed("ADD_ONION names no service") }
        let newKey = reply.value("PrivateKey")
        guard key != nil || newKey?.hasPrefix("ED25519-V3:") == true else {
            throw .malformed("ADD_ONION gives no key")
        }
        return (name, key == nil ? newKey : nil)
    }

    /// Ends an onion service of this connection.
    public func deleteOnion(_ serviceID: String) async throws(TorControlError) {
        guard serviceID.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else { throw .badSetting("no such service") }
        _ = try await self.command("DEL_ONION", serviceID)
    }

    /// Sends a command and waits for its reply. Only the keyword appears in errors.
    private func command(_ keyword: String, _ arguments: String = "") async throws(TorControlError) -> TorReply {
        let line = arguments.isEmpty ? "\(keyword)\r\n" : "\(keyword) \(arguments)\r\n"
        let channel = self.channel
        let replies = self.replies
        let timer = channel.eventLoop.scheduleTask(in: Self.timeout) {
            replies.end(.timedOut)
            channel.close(promise: nil)
        }
        defer { timer.cancel() }
        let result = await withCheckedContinuation { continuation in
            guard replies.expect(continuation) else { return }
            channel.writeAndFlush(channel.allocator.buffer(string: line), promise: nil)
        }
        let reply = try result.get()
        guard reply.isSuccess else {
            throw .refused(command: keyword, status: reply.status, UntrustedText(reply.lines.last ?? ""))
        }
        return reply
    }

    /// Gives each reply to whoever waits for it.
    private final class Replies: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer
        typealias Waiter = CheckedContinuation<Result<TorReply, TorControlError>, Never>

        private struct State {
            var parser = TorReplyParser()
            var waiting: [Waiter] = []
            var end: TorControlError?
        }

        private let state = Mutex(State())

        /// Adds a waiter; one that cannot be added is told so, and `false` is the result.
        func expect(_ waiter: Waiter) -> Bool {
            let refusal: TorControlError? = self.state.withLock { state in
                if let end = state.end { return end }
                guard state.waiting.count < TorControlConnection.maximumWaiting else { return .timedOut }
                state.waiting.append(waiter)
                return nil
            }
            guard let refusal else { return true }
            waiter.resume(returning: .failure(refusal))
            return false
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = self.unwrapInboundIn(data).readableBytesView
            do throws(TorControlError) {
                try self.receive(bytes)
            } catch {
                self.end(error)
                context.close(promise: nil)
            }
        }

        private func receive(_ bytes: ByteBufferView) throws(TorControlError) {
            let (pairs, failure): ([(Waiter, TorReply)], TorControlError?) = self.state.withLock { state in
                var pairs: [(Waiter, TorReply)] = []
                do throws(TorControlError) {
                    // Events, which nobody asked for, have status 650.
                    for reply in try state.parser.append(bytes) where reply.status < 600 {
                        guard !state.waiting.isEmpty else { throw .malformed("a reply that nobody asked for") }
                        pairs.append((state.waiting.removeFirst(), reply))
                    }
                    return (pairs, nil)
                } catch {
                    return (pairs, error)
                }
            }
            // Also when one reply too many came with theirs: nobody else would ever tell them.
            for (waiter, reply) in pairs { waiter.resume(returning: .success(reply)) }
            if let failure { throw failure }
        }

        func channelInactive(context: ChannelHandlerContext) {
            self.end(.closed)
            context.fireChannelInactive()
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            self.end(.unreachable(TorControlConnection.reason(error)))
            context.close(promise: nil)
        }

        /// Ends all that waits.
        func end(_ reason: TorControlError) {
            let waiters = self.state.withLock { state in
                state.end = state.end ?? reason
                defer { state.waiting = [] }
                return state.waiting
            }
            for waiter in waiters { waiter.resume(returning: .failure(reason)) }
        }
    }
}
