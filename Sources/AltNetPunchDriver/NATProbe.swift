// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin
public import AltNetHolePunch
public import AltNetTransport
internal import Glibc
internal import Synchronization

/// One connection to a witness, which says where it sees us.
public struct NATProbe: Sendable {
    /// What a witness said.
    public struct Told: Sendable {
        /// Where it sees our end.
        public let seen: ExternalEndpoint
        /// Our end, before any NAT.
        public let local: ExternalEndpoint
        /// From the first SYN to the witness's `version`.
        public let latency: Duration
        /// Still open: while it is, no NAT forgets the mapping. Whoever has it closes it.
        public let connection: StreamConnection
        /// Whether the witness will connect to us; see ``NATQuestion``.
        let reachesBack: Bool
    }

    /// Why a witness told nothing: one sentence.
    public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        public let description: String
    }

    /// SYNs to one witness, which nobody but the operator or the node's own peers named.
    static let synBudget = 2

    let network: Network
    let userAgent: String

    /// - Parameter userAgent: what we call ourselves; nothing in it may lead to a coordination endpoint.
    public init(network: Network, userAgent: String) {
        self.network = network
        self.userAgent = userAgent
    }

    /// Asks a witness, and leaves the connection open.
    ///
    /// - Parameters:
    ///   - port: where the connection comes from.
    ///   - timeout: for all of it.
    public func ask(
        _ witness: ExternalEndpoint, from port: ReusedPort, within timeout: Duration = NATCheck.probeDuration
    ) async throws(Failure) -> Told {
        var question = self.question(asksBack: false)
        return try await self.ask(witness, from: port, within: timeout, &question)
    }

    func question(asksBack: Bool) -> NATQuestion {
        NATQuestion(
            network: self.network, nonce: UInt64.random(in: 1...UInt64.max),
            time: WallClockTime(seconds: Int64(time(nil))), userAgent: self.userAgent, asksBack: asksBack)
    }

    func ask(
        _ witness: ExternalEndpoint, from port: ReusedPort, within timeout: Duration, _ question: inout NATQuestion
    ) async throws(Failure) -> Told {
        let started = MonotonicInstant.now
        let deadline = started + timeout
        let (events, continuation) = AsyncStream.makeStream(
            of: StreamConnection.Event.self, bufferingPolicy: .bufferingOldest(NATProbe.maximumEvents))
        let opened: SimultaneousOpen.Opened
        do throws(SimultaneousOpen.Failure) {
            opened = try await SimultaneousOpen.run(
                SimultaneousOpen.Plan(
                    remote: HostAndPort(host: witness.host, port: witness.port), at: started, deadline: deadline,
                    listens: false, synBudget: Self.synBudget),
                from: port, onEvent: { continuation.yield($0) })
        } catch {
            throw Failure(description: error.description)
        }
        let timer = opened.connection.schedule(at: deadline) { continuation.finish() }
        defer { timer.cancel() }
        do throws(Failure) {
            let (seen, reachesBack) = try await self.converse(opened.connection, events, &question)
            guard let local = ExternalEndpoint(opened.local.description) else {
                throw Failure(description: "the connection has no address of ours")
            }
            return Told(
                seen: seen, local: local, latency: MonotonicInstant.now - started, connection: opened.connection,
                reachesBack: reachesBack)
        } catch {
            opened.connection.close()
            throw error
        }
    }

    /// One read at a time is under way, so that hardly more than one event ever waits.
    private static let maximumEvents = 16

    private func converse(
        _ connection: StreamConnection, _ events: AsyncStream<StreamConnection.Event>, _ question: inout NATQuestion
    ) async throws(Failure) -> (ExternalEndpoint, reachesBack: Bool) {
        var directives = question.onConnected()
        var iterator = events.makeAsyncIterator()
        while true {
            var answer: (ExternalEndpoint, reachesBack: Bool)?
            for directive in directives {
                switch directive {
                case .write(let bytes):
                    // A few hundred bytes on a new connection always find room; what fails shows in the events.
                    try? await connection.write(bytes)
                case .told(let seen, let reachesBack): answer = (seen, reachesBack)
                case .failed(let reason): throw Failure(description: reason)
                }
            }
            if let answer { return answer }
            connection.readMore()
            switch await iterator.next() {
            case .bytes(let bytes)?: directives = question.onBytes(bytes)
            case .closed(let how)?: throw Failure(description: "\(UntrustedText(how))")
            case nil: throw Failure(description: Task.isCancelled ? "called off" : "no version message in time")
            }
        }
    }
}
