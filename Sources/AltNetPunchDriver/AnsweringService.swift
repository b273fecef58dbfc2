// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetBitcoin
internal import AltNetHolePunch
public import AltNetTransport
internal import Glibc
internal import Synchronization

/// Answers the NAT checks of others: tells whoever connects where it is seen, connects back once if asked, and closes.
public final class AnsweringService: Sendable {
    /// How long the connection back may take: one SYN, which is cut off before the kernel sends a second.
    private static let backTimeout: Duration = .seconds(1)

    private let network: Network
    private let userAgent: String
    private let allowPrivate: Bool
    private let limits = Mutex(NATAnswerLimits())
    /// How many were answered, and how many were not for want of room.
    private let counts = Mutex((answered: UInt64(0), refused: UInt64(0), back: UInt64(0)))

    /// - Parameters:
    ///   - userAgent: what we call ourselves; nothing in it may lead to a coordination endpoint.
    ///   - allowPrivate: whether private addresses are told, and connected back to: in a lab, in tests.
    public init(network: Network, userAgent: String, allowPrivate: Bool = false) {
        self.network = network
        self.userAgent = userAgent
        self.allowPrivate = allowPrivate
    }

    /// Checks that were answered, those that were refused, and connections back that stood.
    public var statistics: (answered: UInt64, refused: UInt64, back: UInt64) { self.counts.withLock { $0 } }

    /// Answers until the returned listener is closed.
    public func listen(on address: HostAndPort) async throws -> StreamListener {
        try await StreamNetwork().listen(on: address) {
            let (events, continuation) = AsyncStream.makeStream(
                of: StreamConnection.Event.self, bufferingPolicy: .bufferingOldest(Self.maximumEvents))
            return (
                onEvent: { continuation.yield($0) },
                onConnection: { connection in
                    Task { await self.serve(connection, events, continuation) }
                }
            )
        }
    }

    /// One read at a time is under way, so that hardly more than one event ever waits.
    private static let maximumEvents = 16

    private func serve(
        _ connection: StreamConnection, _ events: AsyncStream<StreamConnection.Event>,
        _ continuation: AsyncStream<StreamConnection.Event>.Continuation
    ) async {
        // An address that is no use to the asker tells that there is a proxy in front of us, and nothing else.
        guard let remote = connection.socket.flatMap({ ExternalEndpoint($0.description) }),
            remote.refusedHost(allowPrivate: self.allowPrivate) == nil
        else { return connection.abort() }
        let group = NATWitness(name: "", endpoint: remote).group(allowPrivate: self.allowPrivate)
        guard self.limits.withLock({ $0.begin(group: group, now: .now) }) else {
            self.counts.withLock { $0.refused += 1 }
            return connection.abort()
        }
        let timer = connection.schedule(at: .now + NATAnswer.maximumDuration) { continuation.finish() }
        defer {
            timer.cancel()
            connection.close()
            self.limits.withLock { $0.ended() }
        }
        var answer = NATAnswer(
            network: self.network, remote: remote, nonce: UInt64.random(in: 1...UInt64.max),
            time: WallClockTime(seconds: Int64(time(nil))), userAgent: self.userAgent)
        // The place in the limits is kept until the connection back is over, too.
        var back: Task<Void, Never>?
        connection.readMore()
        conversation: for await event in events {
            guard case .bytes(let bytes) = event else { break }
            for directive in answer.onBytes(bytes) {
                switch directive {
                case .write(let bytes):
                    try? await connection.write(bytes)
                    self.counts.withLock { $0.answered += 1 }
                case .reachBack(let bytes): back = Task { await self.reach(remote, with: bytes) }
                case .disconnect: break conversation
                }
            }
            connection.readMore()
        }
        await back?.value
    }

    /// One SYN to an address that has just shown that it is there.
    private func reach(_ remote: ExternalEndpoint, with bytes: [UInt8]) async {
        guard self.limits.withLock({ $0.beginBack() }) else { return }
        defer { self.limits.withLock { $0.endedBack() } }
        guard let port = try? ReusedPort(HostAndPort(host: remote.isIPv4 ? "0.0.0.0" : "::", port: 0)),
            let opened = try? await SimultaneousOpen.run(
                SimultaneousOpen.Plan(
                    remote: HostAndPort(host: remote.host, port: remote.port), at: .now,
                    deadline: .now + Self.backTimeout, listens: false, synBudget: 1),
                from: port, onEvent: { _ in })
        else { return }
        self.counts.withLock { $0.back += 1 }
        try? await opened.connection.write(bytes)
        opened.connection.close()
    }
}
