// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetHolePunch
internal import AltNetTransport

/// A connection that is nobody's link yet.
struct HeldConnection: Sendable {
    let connection: any LinkConnection
    let inbox: EventInbox
    /// Bytes that came and nobody has used.
    var rest: [UInt8] = []

    /// Gives everything from here on to `receiver`; see ``EventInbox/attach(first:_:)``.
    func attach(_ receiver: @escaping EventInbox.Receiver) {
        self.inbox.attach(first: self.rest, receiver)
    }

    // MARK: - Proof

    private enum Step: Sendable {
        case event(StreamConnection.Event)
        case tooLate
    }

    /// Shows the other side that we are who coordinated with it, and lets it show the same. No byte of ours follows a
    /// wrong proof, only a reset.
    ///
    /// - Returns: the connection with what came after the proof, and the initiator's round trip.
    func prove(
        _ proof: PunchProof, within limit: Duration = PunchPlan.proofTimeout
    ) async throws(PunchReason) -> (HeldConnection, roundTrip: Duration?) {
        do throws(PunchReason) {
            return try await self.exchange(proof, within: limit)
        } catch {
            self.connection.abort()
            throw error
        }
    }

    private func exchange(
        _ proof: PunchProof, within limit: Duration
    ) async throws(PunchReason) -> (HeldConnection, roundTrip: Duration?) {
        var proof = proof
        let (steps, continuation) = AsyncStream<Step>.makeStream()
        let began = MonotonicInstant.now
        let timer = self.connection.schedule(at: began + limit) { continuation.yield(.tooLate) }
        defer { timer.cancel() }
        self.attach { continuation.yield(.event($0)) }
        if !proof.opening.isEmpty { try await self.write(proof.opening) }
        self.connection.readMore()
        for await step in steps {
            switch step {
            case .tooLate: throw .proofLate
            case .event(.closed): throw .proofFailed
            case .event(.bytes(let bytes)):
                switch proof.onBytes(bytes) {
                case .incomplete: self.connection.readMore()
                case .wrong: throw .proofFailed
                case .proved(let answer, let rest):
                    let roundTrip = proof.opening.isEmpty ? nil : MonotonicInstant.now - began
                    if !answer.isEmpty { try await self.write(answer) }
                    self.inbox.detach()
                    continuation.finish()
                    return (await self.keeping(rest, steps), roundTrip)
                }
            }
        }
        // Nobody waits for the connection any more.
        throw .other(0xff)
    }

    /// One reading of a socket can bring several pieces: those after the last that was wanted are kept as well.
    private func keeping(_ rest: [UInt8], _ steps: AsyncStream<Step>) async -> HeldConnection {
        var held = HeldConnection(connection: self.connection, inbox: self.inbox, rest: rest)
        for await case .event(let event) in steps {
            switch event {
            case .bytes(let bytes): held.rest += bytes
            case .closed: self.inbox.receive(event)
            }
        }
        return held
    }

    private func write(_ bytes: [UInt8]) async throws(PunchReason) {
        do {
            try await self.connection.write(bytes)
        } catch {
            throw .proofFailed
        }
    }
}

/// A connection that keeps something for as long as it is used: the router's mapping that it came through, for
/// instance, whose end would be the connection's.
final class KeepingConnection: LinkConnection {
    private let connection: any LinkConnection
    private let kept: any Sendable

    init(_ connection: any LinkConnection, keeping kept: any Sendable) {
        self.connection = connection
        self.kept = kept
    }

    var remote: String { self.connection.remote }
    func readMore() { self.connection.readMore() }
    func write(_ bytes: [UInt8]) async throws { try await self.connection.write(bytes) }

    func schedule(at moment: MonotonicInstant, _ body: @escaping @Sendable () -> Void) -> LinkTimer {
        self.connection.schedule(at: moment, body)
    }

    func close() { self.connection.close() }
    func abort() { self.connection.abort() }
}
