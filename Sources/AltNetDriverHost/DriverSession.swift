// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDriverProtocol
internal import AltNetObjects
internal import AltNetPeerRecords

/// One attachment of a driver, as a value: which links are open, what is unanswered, what it may carry.
///
/// Says of every message whether it keeps the driver protocol, and what of it may pass.
struct DriverSession: Sendable {
    /// What happens to a message.
    enum Verdict: Hashable, Sendable {
        case pass
        /// Dropped silently: it names what is gone already, or is of a kind that this driver may not carry.
        case drop
        /// A request of a kind that this driver may not carry: answer it so.
        case refuse(DriverLink, id: UInt64, ObjectRefusal)
        /// A stream too many: answer so.
        case refuseStream(DriverLink, StreamID, StreamRefusal)
        /// An operation that the driver is not asked for.
        case refuseOperation(OperationRefusal)
    }

    /// Why an operation is not asked of the driver.
    enum OperationRefusal: Hashable, Sendable {
        /// Its capabilities do not name it.
        case notOffered
        /// As many as there may be have no result.
        case tooMany
    }

    private struct Link: Sendable {
        /// Requests that the driver has not answered.
        var asked: Set<UInt64> = []
        /// Requests of the remote that we have not answered.
        var asking: Set<UInt64> = []
        /// Whether the remote takes streams.
        var takesStreams = false
        var streams = StreamLedger()
    }

    private let capabilities: DriverCapabilities
    private let traffic: Set<ObjectKind>
    private var links: [DriverLink: Link] = [:]
    /// Operations without a result.
    private var operations: Set<UInt64> = []
    /// News and questions about peers without an answer.
    private var openNews: Set<UInt64> = []
    private var openQuestions: Set<UInt64> = []

    /// - Parameter traffic: the kinds of object that the operator lets this driver carry.
    init(capabilities: DriverCapabilities, traffic: Set<ObjectKind>) {
        self.capabilities = capabilities
        self.traffic = traffic
    }

    var openLinks: [DriverLink] { Array(self.links.keys) }

    /// Judges what the driver says.
    mutating func onEvent(_ event: DriverEvent) throws(DriverProtocolError) -> Verdict {
        switch event {
        case .hello: throw DriverProtocolError("a second Hello")
        case .listening, .targetFailed, .pong: return .pass
        case .linkOpened(let link, let description):
            guard self.links[link] == nil else { throw DriverProtocolError("link \(link.number) is open already") }
            guard self.links.count < DriverProtocol.maximumLinks else {
                throw DriverProtocolError("more than \(DriverProtocol.maximumLinks) links")
            }
            guard description.peer.serves.isSubset(of: self.capabilities.requests) else {
                throw DriverProtocolError("a link that serves what the driver's capabilities do not name")
            }
            guard self.capabilities.streams || !description.peer.takesStreams else {
                throw DriverProtocolError("a link that takes streams, which the driver's capabilities do not name")
            }
            self.links[link] = Link(takesStreams: description.peer.takesStreams)
            return .pass
        case .linkClosed(let link, _):
            return self.links.removeValue(forKey: link) == nil ? .drop : .pass
        case .request(let link, let id, let request):
            guard let state = self.links[link] else { return .drop }
            guard self.capabilities.serves.contains(request.kind) else {
                throw DriverProtocolError("a request for \(request.kind), which the capabilities do not name")
            }
            guard self.traffic.contains(request.kind) else { return .refuse(link, id: id, .unsupported) }
            guard !state.asking.contains(id) else { throw DriverProtocolError("request number \(id) is open already") }
            guard state.asking.count < DriverProtocol.maximumOpenRequests else {
                return .refuse(link, id: id, .busy)
            }
            self.links[link]?.asking.insert(id)
            return .pass
        case .answer(let link, let id, _):
            return self.links[link]?.asked.remove(id) == nil ? .drop : .pass
        case .announcement(let link, let announcement):
            guard self.links[link] != nil, self.traffic.contains(announcement.kind) else { return .drop }
            guard self.capabilities.announces.contains(announcement.kind) else {
                throw DriverProtocolError("an announcement of \(announcement.kind), which the capabilities do not name")
            }
            return .pass
        case .stream(let link, let id, let message):
            guard self.capabilities.streams else {
                throw DriverProtocolError("a stream, which the capabilities do not name")
            }
            do throws(StreamViolation) {
                return try self.judge(message, of: id, over: link, from: .remote)
            } catch {
                throw DriverProtocolError(error.description)
            }
        case .operationResult(let id, _):
            return self.operations.remove(id) == nil ? .drop : .pass
        case .peerNews(let id, _): return try self.open(id, in: \.openNews)
        case .peerQuestion(let id, _): return try self.open(id, in: \.openQuestions)
        }
    }

    /// Takes note of news or of a question about peers.
    private mutating func open(
        _ id: UInt64, in numbers: WritableKeyPath<DriverSession, Set<UInt64>>
    ) throws(DriverProtocolError) -> Verdict {
        guard self.capabilities.peers else {
            throw DriverProtocolError("news or a question about peers, which the capabilities do not name")
        }
        guard self[keyPath: numbers].count < PeerMessageRules.maximumOpen else {
            throw DriverProtocolError(
                "more than \(PeerMessageRules.maximumOpen) messages about peers without an answer")
        }
        guard self[keyPath: numbers].insert(id).inserted else {
            throw DriverProtocolError("message \(id) about peers is open already")
        }
        return .pass
    }

    /// Judges what is to be said to the driver.
    mutating func onCommand(_ command: DriverCommand) -> Verdict {
        switch command {
        case .welcome, .openTarget, .closeTarget, .closeLink, .ping, .stop: return .pass
        case .request(let link, let id, let request):
            guard let state = self.links[link] else { return .drop }
            guard self.traffic.contains(request.kind), self.capabilities.requests.contains(request.kind) else {
                return .refuse(link, id: id, .unsupported)
            }
            guard state.asked.count < DriverProtocol.maximumOpenRequests else { return .refuse(link, id: id, .busy) }
            self.links[link]?.asked.insert(id)
            return .pass
        case .answer(let link, let id, _):
            return self.links[link]?.asking.remove(id) == nil ? .drop : .pass
        case .announcement(let link, let announcement):
            let kind = announcement.kind
            guard self.traffic.contains(kind), self.capabilities.announces.contains(kind) else { return .drop }
            return link == .all || self.links[link] != nil ? .pass : .drop
        case .stream(let link, let id, let message):
            if case .open = message {
                guard let state = self.links[link] else { return .refuseStream(link, id, .unavailable) }
                guard state.takesStreams else { return .refuseStream(link, id, .unsupported) }
            }
            // The driver must not be told what breaks the protocol, whatever went wrong on our side.
            return (try? self.judge(message, of: id, over: link, from: .us)) ?? .drop
        case .operation(let id, let name, _):
            guard self.capabilities.operations.contains(name) else { return .refuseOperation(.notOffered) }
            guard self.operations.count < OperationRules.maximumOpen else { return .refuseOperation(.tooMany) }
            self.operations.insert(id)
            return .pass
        case .peerOutcomes(let id, _): return self.openNews.remove(id) == nil ? .drop : .pass
        case .peerAnswer(let id, _): return self.openQuestions.remove(id) == nil ? .drop : .pass
        case .peersChanged: return self.capabilities.peers ? .pass : .drop
        }
    }

    /// The caller of an operation waits no longer; its result, if it comes, names nothing.
    mutating func forget(operation id: UInt64) {
        self.operations.remove(id)
    }

    private mutating func judge(
        _ message: StreamMessage, of id: StreamID, over link: DriverLink, from side: StreamSide
    ) throws(StreamViolation) -> Verdict {
        guard self.links[link] != nil else { return .drop }
        var hasRoom = true
        if case .open = message {
            hasRoom = self.links.values.reduce(0) { $0 + $1.streams.count } < DriverProtocol.maximumStreams
        }
        switch try self.links[link]?.streams.onMessage(message, of: id, from: side, hasRoom: hasRoom) {
        case .pass: return .pass
        case .ignore, nil: return .drop
        case .refuse(let refusal): return .refuseStream(link, id, refusal)
        }
    }
}

extension DriverEvent {
    /// How many messages it counts for. A new link or stream costs the orchestrator more than a word over one that
    /// stands.
    var cost: Int {
        switch self {
        case .linkOpened, .stream(_, _, .open): 50
        default: 1
        }
    }

    /// About how many bytes it takes, for budgets.
    var weight: Int {
        switch self {
        case .answer(_, _, .headers(let headers)): headers.count
        case .answer(_, _, .objects(_, let objects)): objects.reduce(64) { $0 + $1.count }
        case .answer(_, _, .addresses(let addresses)): addresses.count * 48
        case .announcement(_, .transaction(let bytes)): bytes.count
        case .announcement(_, .addresses(let addresses)): addresses.count * 48
        case .stream(_, _, .data(let bytes)): 128 + bytes.count
        case .operationResult(_, .success(let bytes)): 128 + bytes.count
        case .announcement(_, .peerRecord(let record)): 128 + record.count
        case .peerNews(_, let news): news.reduce(128) { $0 + $1.weight }
        case .peerQuestion(_, let question): 128 + 48 * question.peers.count
        default: 128
        }
    }
}

extension DriverCommand {
    /// About how many bytes it takes, for the bound on what waits.
    var weight: Int {
        switch self {
        case .answer(_, _, .headers(let headers)): headers.count
        case .answer(_, _, .objects(_, let objects)): objects.reduce(64) { $0 + $1.count }
        case .announcement(_, .transaction(let bytes)): bytes.count
        case .stream(_, _, .data(let bytes)): 128 + bytes.count
        case .operation(_, _, let body): 128 + body.count
        case .announcement(_, .peerRecord(let record)): 128 + record.count
        case .peersChanged(let peers): 128 + 48 * peers.count
        case .peerAnswer(_, .known(let peers)):
            peers.reduce(128) { sum, peer in
                peer.addresses.reduce(sum + (peer.record?.envelope.count ?? 0)) { $0 + 96 + $1.address.bytes.count }
            }
        case .peerAnswer(_, .nodes(let peers)):
            peers.compactMap(\.node).reduce(128) { sum, node in
                node.addresses.reduce(sum + (node.record?.envelope.count ?? 0)) { $0 + 96 + $1.address.bytes.count }
            }
        case .peerAnswer(_, .handouts(let handouts)):
            handouts.reduce(128) { sum, handout in
                handout.addresses.reduce(sum + (handout.envelope?.count ?? 0)) { $0 + 8 + $1.bytes.count }
            }
        default: 128
        }
    }
}

extension PeerNews {
    /// About how many bytes it takes.
    fileprivate var weight: Int {
        switch self {
        case .record(let envelope, _, _, _, _): 128 + envelope.count
        case .addresses(_, let addresses, _, _, _, _, _): addresses.reduce(128) { $0 + 16 + $1.bytes.count }
        case .connected, .failed, .withdrawn: 128
        }
    }
}
