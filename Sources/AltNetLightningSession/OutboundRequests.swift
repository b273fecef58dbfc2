// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetLightning
internal import AltNetObjects

/// What we asked the other side for and have not got yet.
///
/// Requests carry numbers of their own on the wire, counted from zero on each connection: the caller's numbers would
/// tell two peers that they talk with the same node.
struct OutboundRequests: Sendable {
    enum Opening: Hashable {
        case opened(wireID: UInt64)
        case refused(ObjectRefusal)
    }

    enum PartOutcome: Hashable {
        /// More parts follow, or the answer came too late to matter.
        case nothing
        case complete(id: UInt64, ObjectAnswer)
        case violation(String)
    }

    private struct Open {
        let id: UInt64
        let request: ObjectRequest
        let opened: MonotonicInstant
        var progressed: MonotonicInstant
        var assembler: PartAssembler
    }

    /// A slow answer may take this many times the time-out, as long as each part comes within one.
    static let slowAnswerFactor = 10
    /// How many requests without an answer are remembered, so that a late one is not mistaken for an invention: eight
    /// minutes' worth at the default time-out.
    static let maximumLapsed = 64

    private let timeout: Duration
    private var open: [UInt64: Open] = [:]
    /// Requests that timed out, oldest first.
    private var lapsed: [UInt64] = []
    private var nextWireID: UInt64
    private var pendingAnswers = 0
    /// Whether an answer to a request that is not known is left aside, as it may be for an earlier session.
    private let ignoresUnknown: Bool

    init(timeout: Duration, firstWireID: UInt64 = 0, ignoresUnknown: Bool = false) {
        self.timeout = timeout
        self.nextWireID = firstWireID
        self.ignoresUnknown = ignoresUnknown
    }

    /// The number of bytes held for incomplete answers.
    var assemblingBytes: Int { self.open.values.reduce(0) { $0 + $1.assembler.count } }

    /// When the next request times out.
    var deadline: MonotonicInstant? { self.open.values.map(self.deadline).min() }

    /// Notes a request, unless as many or as large ones are open as the limits allow.
    mutating func open(id: UInt64, _ request: ObjectRequest, now: MonotonicInstant) -> Opening {
        let answer = request.maximumLightningAnswer
        guard self.open.count < BitcoinOverLightning.maximumOpenRequests,
            self.pendingAnswers + answer <= BitcoinOverLightning.maximumPendingAnswers
        else { return .refused(.busy) }
        let wireID = self.nextWireID
        self.nextWireID += 1
        self.pendingAnswers += answer
        self.open[wireID] = Open(
            id: id,
            request: request,
            opened: now,
            progressed: now,
            assembler: PartAssembler(limit: answer)
        )
        return .opened(wireID: wireID)
    }

    /// A part of an answer came.
    mutating func onPart(
        wireID: UInt64,
        remaining: UInt32,
        _ part: ArraySlice<UInt8>,
        now: MonotonicInstant
    ) -> PartOutcome {
        // Not the whole entry: a second reference to what the assembler holds would make each part copy it.
        guard let (id, request) = self.open[wireID].map({ ($0.id, $0.request) }) else {
            guard let index = self.lapsed.firstIndex(of: wireID) else {
                if self.ignoresUnknown { return .nothing }
                return .violation("an answer to request \(wireID), which is not open")
            }
            if remaining == 0 { self.lapsed.remove(at: index) }
            return .nothing
        }
        do throws(PartError) {
            self.open[wireID]?.progressed = now
            guard let body = try self.open[wireID]?.assembler.add(part, remaining: remaining) else { return .nothing }
            let outcome = Self.read(body, answering: request, id: id)
            // After a violation the request stays open, so that the end of the connection answers it.
            if case .complete = outcome { self.close(wireID) }
            return outcome
        } catch {
            return .violation("a part of answer \(wireID) does not fit: \(error)")
        }
    }

    /// Closes the requests whose time has come; gives the caller's numbers.
    mutating func expire(now: MonotonicInstant) -> [UInt64] {
        let expired = self.open.filter { self.deadline($0.value) <= now }.keys.sorted()
        return expired.compactMap { wireID in
            self.lapsed.append(wireID)
            if self.lapsed.count > Self.maximumLapsed { self.lapsed.removeFirst() }
            return self.close(wireID)
        }
    }

    /// Closes all requests, because the connection ends; gives the caller's numbers.
    mutating func closeAll() -> [UInt64] {
        self.open.keys.sorted().compactMap { self.close($0) }
    }

    @discardableResult
    private mutating func close(_ wireID: UInt64) -> UInt64? {
        guard let closed = self.open.removeValue(forKey: wireID) else { return nil }
        self.pendingAnswers -= closed.request.maximumLightningAnswer
        return closed.id
    }

    private func deadline(_ open: Open) -> MonotonicInstant {
        min(open.progressed + self.timeout, open.opened + self.timeout * Self.slowAnswerFactor)
    }

    private static func read(_ body: [UInt8], answering request: ObjectRequest, id: UInt64) -> PartOutcome {
        do throws(BitcoinBodyError) {
            return .complete(id: id, try ObjectAnswer(lightningBody: body, answering: request))
        } catch {
            return .violation("an answer to a request for \(request.kind.rawValue) is wrong: \(error)")
        }
    }
}
