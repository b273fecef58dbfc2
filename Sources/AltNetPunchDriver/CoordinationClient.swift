// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetHolePunch
internal import AltNetSAM
internal import AltNetTransport

/// Connects to the coordination endpoints of others.
///
/// Nothing ties two calls to each other or to anything else of the node: over Tor each has credentials that nobody has
/// used before, and so circuits of its own; over I2P each has a destination and tunnels of its own.
struct CoordinationClient: Sendable {
    /// Why an endpoint is not called, or cannot be.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    let socks: HostAndPort?
    let sam: HostAndPort?
    private let network = StreamNetwork()

    init(_ settings: PunchSettings) {
        self.socks = settings.socks
        self.sam = settings.sam
    }

    func connect(to endpoint: CoordinationEndpoint) async throws -> HeldConnection {
        let inbox = EventInbox()
        let end = MonotonicInstant.now + Self.deadline
        switch endpoint {
        case .onion:
            guard let socks = self.socks else {
                throw Failure(description: "the endpoint is in Tor, and socks is not set")
            }
            guard let host = HostAndPort(endpoint.description) else {
                throw Failure(description: "\(endpoint) is no address")
            }
            let connection = try await self.network.connect(
                to: host, proxy: socks, credentials: .fresh(), onEvent: { inbox.receive($0) })
            return HeldConnection(connection: connection, inbox: inbox)
        case .i2p(let hash):
            guard let sam = self.sam else { throw Failure(description: "the endpoint is in I2P, and sam is not set") }
            guard let address = I2PAddress(hash: hash) else {
                throw Failure(description: "\(endpoint) is no address")
            }
            let session = try await SAMSession.open(at: SAMBridge(at: sam), key: nil, within: Self.sessionDeadline)
            do {
                let stream = try await session.connect(to: address, within: end - .now) {
                    inbox.receive($0)
                }
                return HeldConnection(connection: OwnSessionStream(stream, of: session), inbox: inbox)
            } catch {
                session.close()
                throw error
            }
        case .direct(let host, let port):
            let connection = try await self.network.connect(
                to: HostAndPort(host: host, port: port), proxy: nil, onEvent: { inbox.receive($0) })
            return HeldConnection(connection: connection, inbox: inbox)
        }
    }

    /// Whether we could call such an endpoint at all.
    func canReach(_ endpoint: CoordinationEndpoint) -> Bool {
        switch endpoint {
        case .onion: self.socks != nil
        case .i2p: self.sam != nil
        case .direct: true
        }
    }

    /// All of it: with the coordination's 30 s less than the two minutes that the operator and the orchestrator wait.
    /// Who takes longer would bring a connection that nobody knows of.
    static let deadline: Duration = .seconds(80)
    /// How much of it a router may take for new tunnels.
    private static let sessionDeadline: Duration = .seconds(45)
}

/// A stream whose I2P session is for it alone, and ends with it.
private final class OwnSessionStream: LinkConnection {
    private let stream: SAMStream
    private let session: SAMSession

    init(_ stream: SAMStream, of session: SAMSession) {
        self.stream = stream
        self.session = session
    }

    var remote: String { self.stream.remote }
    func readMore() { self.stream.readMore() }
    func write(_ bytes: [UInt8]) async throws { try await self.stream.write(bytes) }

    func schedule(at moment: MonotonicInstant, _ body: @escaping @Sendable () -> Void) -> LinkTimer {
        self.stream.schedule(at: moment, body)
    }

    func close() {
        self.stream.close()
        self.session.close()
    }

    func abort() {
        self.stream.abort()
        self.session.close()
    }
}
