// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetTransport
internal import Synchronization

/// Where an I2P router's SAM bridge is (SAM V3, at least version 3.1).
public struct SAMBridge: Sendable {
    /// The router is on this machine or nearby, and answers at once.
    static let answerDeadline: Duration = .seconds(20)

    let address: HostAndPort
    let credentials: SAMCredentials?
    let network: StreamNetwork

    /// - Parameter credentials: for bridges that want a name and a password.
    public init(at address: HostAndPort, credentials: SAMCredentials? = nil, network: StreamNetwork = StreamNetwork()) {
        self.address = address
        self.credentials = credentials
        self.network = network
    }

    /// Lets the router make a new destination with an Ed25519 key. It is in use only when a session is opened with it.
    public func generateKey() async throws(SAMError) -> I2PPrivateKey {
        let socket = try await SAMSocket.open(.generateKey, at: self)
        defer { socket.connection.close() }
        guard case .key(let key) = try await socket.next(within: Self.answerDeadline) else {
            throw .malformed("DEST GENERATE makes no key")
        }
        return key
    }

    /// Asks the router for the destination behind an address, which it may have to look up in the network.
    func lookUp(_ address: I2PAddress, within deadline: Duration) async throws(SAMError) -> I2PDestination {
        let socket = try await SAMSocket.open(.lookUp(address), at: self)
        defer { socket.connection.close() }
        guard case .destination(let destination) = try await socket.next(within: deadline) else {
            throw .malformed("NAMING LOOKUP finds no destination")
        }
        return destination
    }
}

/// One destination that is online: streams go out from it and come in to it.
///
/// Each session has tunnels of its own. Two endpoints that are not to be linked need two sessions with two keys.
public final class SAMSession: Sendable {
    /// Building tunnels takes a router that has just started some minutes.
    public static let openDeadline: Duration = .seconds(300)
    /// How long reaching a peer may take: routers give up after one minute.
    public static let connectDeadline: Duration = .seconds(75)

    public let key: I2PPrivateKey
    /// What others connect to.
    public let address: I2PAddress

    private let bridge: SAMBridge
    private let id: String
    private let control: SAMSocket

    private init(bridge: SAMBridge, key: I2PPrivateKey, id: String, control: SAMSocket) {
        self.bridge = bridge
        self.key = key
        self.address = key.destination.address
        self.id = id
        self.control = control
    }

    /// Brings a destination online; returns when its tunnels stand.
    ///
    /// - Parameter key: a stored one; `nil` for a new one, which is then ``key``.
    public static func open(
        at bridge: SAMBridge, key: I2PPrivateKey?, tunnels: SAMTunnels = .standard,
        within deadline: Duration = openDeadline
    ) async throws(SAMError) -> SAMSession {
        let known: I2PPrivateKey
        if let key { known = key } else { known = try await bridge.generateKey() }
        // Says nothing of us, and is the bridge's only.
        let id = Hex.encode((0..<8).map { _ in UInt8.random(in: 0...255) })
        let control = try await SAMSocket.open(.createSession(id: id, key: known, tunnels: tunnels), at: bridge)
        do throws(SAMError) {
            guard case .session = try await control.next(within: deadline) else {
                throw .malformed("SESSION CREATE makes no session")
            }
        } catch {
            control.connection.close()
            throw error
        }
        return SAMSession(bridge: bridge, key: known, id: id, control: control)
    }

    /// Connects to a peer.
    ///
    /// - Parameters:
    ///   - deadline: for finding the destination and connecting together.
    ///   - onEvent: gets the stream's bytes after ``SAMStream/readMore()``, as with ``StreamConnection``. Called on an
    ///     event loop; MUST NOT block.
    public func connect(
        to address: I2PAddress, within deadline: Duration = connectDeadline,
        onEvent: @escaping @Sendable (StreamConnection.Event) -> Void
    ) async throws(SAMError) -> SAMStream {
        let end = MonotonicInstant.now + deadline
        do throws(SAMError) {
            return try await self.connect(to: address, as: address.description, until: end, onEvent)
        } catch .refused(_, .invalidKey, _) {
            // The specification knows destinations here and no addresses; i2pd and I2P's own router take both. Asking
            // for the destination comes second because i2pd then uses tunnels that are not this session's.
            let destination = try await self.bridge.lookUp(address, within: end - .now)
            return try await self.connect(to: address, as: destination.base64, until: end, onEvent)
        }
    }

    private func connect(
        to address: I2PAddress, as name: String, until end: MonotonicInstant,
        _ onEvent: @escaping @Sendable (StreamConnection.Event) -> Void
    ) async throws(SAMError) -> SAMStream {
        let socket = try await SAMSocket.open(.connect(id: self.id, peer: name), at: self.bridge)
        do throws(SAMError) {
            guard case .stream = try await socket.next(within: end - .now) else {
                throw .malformed("STREAM CONNECT makes no stream")
            }
        } catch {
            socket.connection.close()
            throw error
        }
        socket.handOver(to: onEvent)
        return SAMStream(socket: socket, peer: address)
    }

    /// Waits for one peer to connect, for as long as it takes or until the task is cancelled.
    ///
    /// Between two calls nobody can connect: call it again as soon as it has returned.
    ///
    /// - Parameters:
    ///   - onAccepting: called when the router has taken the request: from now on peers get through.
    ///   - onEvent: as with ``connect(to:within:onEvent:)``.
    public func accept(
        onAccepting: @Sendable () -> Void = {}, onEvent: @escaping @Sendable (StreamConnection.Event) -> Void
    ) async throws(SAMError) -> SAMStream {
        let socket = try await SAMSocket.open(.accept(id: self.id), at: self.bridge)
        do throws(SAMError) {
            guard case .accepting = try await socket.next(within: SAMBridge.answerDeadline) else {
                throw .malformed("STREAM ACCEPT is not taken")
            }
            onAccepting()
            guard case .stream(let peer?) = try await socket.next(within: nil) else {
                throw .malformed("STREAM ACCEPT names no peer")
            }
            socket.handOver(to: onEvent)
            return SAMStream(socket: socket, peer: peer.address)
        } catch {
            socket.connection.close()
            throw error
        }
    }

    /// Returns when the session is over, with the reason. The destination is offline then, and must be opened anew.
    public func waitForEnd() async -> SAMError {
        do throws(SAMError) {
            // The bridge says nothing more that is a step.
            _ = try await self.control.next(within: nil)
            return .malformed("a session says more than was asked")
        } catch {
            return error
        }
    }

    /// Takes the destination offline. Streams may stay, as the router likes.
    public func close() { self.control.connection.close() }
}
