// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetObjects
internal import AltNetPeerRecords
internal import FoundationEssentials
internal import SwiftProtobuf

// Between the messages of the `.proto` file and the values that the rest of AltNet works with. Everything that the
// description demands of a message is checked here, and only here.

package typealias ProtobufFromDriver = Altnet_Driver_V1_FromDriver
package typealias ProtobufToDriver = Altnet_Driver_V1_ToDriver
package typealias ProtobufOrchestrator = Altnet_Driver_V1_Orchestrator

extension DriverEvent {
    package init(_ message: ProtobufFromDriver) throws(DriverProtocolError) {
        switch message.message {
        case .hello(let hello):
            self = .hello(try DriverHello(hello))
        case .listening(let listening):
            guard listening.addresses.count <= DriverProtocol.maximumListeningAddresses else {
                throw DriverProtocolError("more than \(DriverProtocol.maximumListeningAddresses) listening addresses")
            }
            self = .listening(
                try listening.addresses.checkedMap { address throws(DriverProtocolError) in
                    try Text.checked(address, "an address", limit: DriverProtocol.maximumIdentityLength)
                })
        case .linkOpened(let opened):
            let agent = UntrustedText(opened.agent)
            let peer = LinkPeer(
                identity: try Text.checked(opened.identity, "an identity", limit: DriverProtocol.maximumIdentityLength),
                agent: agent,
                claimedHeight: opened.hasClaimedHeight ? opened.claimedHeight : nil,
                clock: opened.hasClock ? opened.clock : nil,
                serves: try Self.kinds(opened.requests),
                takesStreams: opened.streams)
            self = .linkOpened(
                try DriverLink(checked: opened.link),
                DriverLinkDescription(
                    target: try Text.checked(opened.target, "a target", limit: DriverProtocol.maximumTargetLength),
                    remote: try Text.checked(opened.remote, "a remote", limit: DriverProtocol.maximumPlaceLength),
                    peer: peer,
                    exposure: opened.hasExposure ? try DriverCapabilities.known(opened.exposure) : nil,
                    requested: try Text.checked(
                        opened.requested, "what was requested", limit: DriverProtocol.maximumTargetLength)))
        case .linkClosed(let closed):
            self = .linkClosed(try DriverLink(checked: closed.link), try DisconnectReason(closed.reason))
        case .targetFailed(let failed):
            self = .targetFailed(
                try Text.checked(failed.target, "a target", limit: DriverProtocol.maximumTargetLength),
                try DisconnectReason(failed.reason),
                retryIn: .milliseconds(Int64(clamping: min(failed.retryInMilliseconds, 86_400_000))))
        case .request(let request):
            self = .request(
                try DriverLink(checked: request.link), id: request.request, try ObjectRequest(request))
        case .answer(let answer):
            self = .answer(try DriverLink(checked: answer.link), id: answer.request, try ObjectAnswer(answer))
        case .announcement(let announcement):
            self = .announcement(
                try DriverLink(checked: announcement.link), try ObjectAnnouncement(announcement))
        case .pong(let pong):
            self = .pong(pong.number)
        case .stream(let stream):
            self = .stream(
                try DriverLink(checked: stream.link), try StreamID(stream), try StreamMessage(stream))
        case .operationResult(let result):
            self = .operationResult(id: result.id, try OperationOutcome(result))
        case .peerNews(let news): self = .peerNews(id: news.id, try PeerNews.checked(news))
        case .peerQuestion(let question): self = .peerQuestion(id: question.id, try PeerQuestion(question))
        case nil:
            throw DriverProtocolError("a message without content, or of a kind that this version does not know")
        }
    }

    package var protobuf: ProtobufFromDriver {
        .with {
            switch self {
            case .hello(let hello): $0.hello = hello.protobuf
            case .listening(let addresses): $0.listening = .with { $0.addresses = addresses }
            case .linkOpened(let link, let description):
                $0.linkOpened = .with {
                    $0.link = link.number
                    $0.target = description.target
                    $0.remote = description.remote
                    $0.identity = description.peer.identity
                    $0.agent = Data(description.peer.agent.description.utf8)
                    if let height = description.peer.claimedHeight { $0.claimedHeight = height }
                    if let clock = description.peer.clock { $0.clock = clock }
                    $0.requests = description.peer.serves.protobuf
                    $0.streams = description.peer.takesStreams
                    if let exposure = description.exposure { $0.exposure = exposure.protobuf }
                    $0.requested = description.requested
                }
            case .linkClosed(let link, let reason):
                $0.linkClosed = .with {
                    $0.link = link.number
                    $0.reason = reason.protobuf
                }
            case .targetFailed(let target, let reason, let retryIn):
                $0.targetFailed = .with {
                    $0.target = target
                    $0.reason = reason.protobuf
                    $0.retryInMilliseconds = UInt64(max(0, retryIn.wholeNanoseconds / 1_000_000))
                }
            case .request(let link, let id, let request): $0.request = request.protobuf(link, id)
            case .answer(let link, let id, let answer): $0.answer = answer.protobuf(link, id)
            case .announcement(let link, let announcement): $0.announcement = announcement.protobuf(link)
            case .pong(let number): $0.pong = .with { $0.number = number }
            case .stream(let link, let id, let message): $0.stream = message.protobuf(link, id)
            case .operationResult(let id, let outcome): $0.operationResult = outcome.protobuf(id)
            case .peerNews(let id, let news):
                $0.peerNews = .with {
                    $0.id = id
                    $0.items = news.map(\.protobuf)
                }
            case .peerQuestion(let id, let question): $0.peerQuestion = question.protobuf(id)
            }
        }
    }

    private static func kinds(_ kinds: [Altnet_Driver_V1_ObjectKind]) throws(DriverProtocolError) -> Set<ObjectKind> {
        try Set(protobuf: kinds)
    }
}

extension DriverCommand {
    package init(_ message: ProtobufToDriver) throws(DriverProtocolError) {
        switch message.message {
        case .welcome(let welcome): self = .welcome(software: UntrustedText(welcome.software).description)
        case .openTarget(let open): self = .openTarget(open.target)
        case .closeTarget(let close): self = .closeTarget(close.target)
        case .closeLink(let close):
            self = .closeLink(try DriverLink(checked: close.link), try DisconnectReason(close.reason))
        case .request(let request):
            self = .request(try DriverLink(checked: request.link), id: request.request, try ObjectRequest(request))
        case .answer(let answer):
            self = .answer(try DriverLink(checked: answer.link), id: answer.request, try ObjectAnswer(answer))
        case .announcement(let announcement):
            self = .announcement(DriverLink(announcement.link), try ObjectAnnouncement(announcement))
        case .ping(let ping): self = .ping(ping.number)
        case .stop: self = .stop
        case .stream(let stream):
            self = .stream(
                try DriverLink(checked: stream.link), try StreamID(stream), try StreamMessage(stream))
        case .operation(let operation):
            self = .operation(id: operation.id, name: operation.name, body: [UInt8](operation.body))
        case .peerOutcomes(let outcomes):
            self = .peerOutcomes(
                id: outcomes.id,
                try outcomes.outcomes.checkedMap { outcome throws(DriverProtocolError) in try NewsOutcome(outcome) })
        case .peerAnswer(let answer): self = .peerAnswer(id: answer.id, try PeerAnswer(answer))
        case .peersChanged(let changed):
            guard changed.peers.count <= PeerMessageRules.maximumPeers else {
                throw DriverProtocolError("news of \(changed.peers.count) peers at once")
            }
            self = .peersChanged(
                try changed.peers.checkedMap { bytes throws(DriverProtocolError) in try PeerID(checked: bytes) })
        case nil: throw DriverProtocolError("a message without content, or of a kind that this version does not know")
        }
    }

    package var protobuf: ProtobufToDriver {
        .with {
            switch self {
            case .welcome(let software): $0.welcome = .with { $0.software = software }
            case .openTarget(let target): $0.openTarget = .with { $0.target = target }
            case .closeTarget(let target): $0.closeTarget = .with { $0.target = target }
            case .closeLink(let link, let reason):
                $0.closeLink = .with {
                    $0.link = link.number
                    $0.reason = reason.protobuf
                }
            case .request(let link, let id, let request): $0.request = request.protobuf(link, id)
            case .answer(let link, let id, let answer): $0.answer = answer.protobuf(link, id)
            case .announcement(let link, let announcement): $0.announcement = announcement.protobuf(link)
            case .ping(let number): $0.ping = .with { $0.number = number }
            case .stop: $0.stop = .init()
            case .stream(let link, let id, let message): $0.stream = message.protobuf(link, id)
            case .operation(let id, let name, let body):
                $0.operation = .with {
                    $0.id = id
                    $0.name = name
                    $0.body = Data(body)
                }
            case .peerOutcomes(let id, let outcomes):
                $0.peerOutcomes = .with {
                    $0.id = id
                    $0.outcomes = outcomes.map(\.protobuf)
                }
            case .peerAnswer(let id, let answer): $0.peerAnswer = answer.protobuf(id)
            case .peersChanged(let peers):
                $0.peersChanged = .with { $0.peers = peers.map { Data($0.bytes) } }
            }
        }
    }
}

extension DriverHello {
    init(_ hello: Altnet_Driver_V1_Hello) throws(DriverProtocolError) {
        guard hello.hasCapabilities else { throw DriverProtocolError("Hello without capabilities") }
        self.init(
            name: hello.name, secret: hello.secret, protocolVersion: hello.protocolVersion,
            software: try Text.checked(
                hello.software, "the software's name", limit: DriverProtocol.maximumSoftwareLength),
            capabilities: try DriverCapabilities(hello.capabilities),
            identity: try Text.checked(hello.identity, "the identity", limit: DriverProtocol.maximumIdentityLength))
    }

    var protobuf: Altnet_Driver_V1_Hello {
        .with {
            $0.name = self.name
            $0.secret = self.secret
            $0.protocolVersion = self.protocolVersion
            $0.software = self.software
            $0.capabilities = self.capabilities.protobuf
            $0.identity = self.identity
        }
    }
}

extension DisconnectReason {
    init(_ reason: Altnet_Driver_V1_Reason) throws(DriverProtocolError) {
        guard let code = Code(rawValue: reason.code) else {
            throw DriverProtocolError("an unknown reason code \(UntrustedText(reason.code))")
        }
        guard reason.detail.utf8.count <= DriverProtocol.maximumReasonLength else {
            throw DriverProtocolError("a reason of more than \(DriverProtocol.maximumReasonLength) bytes")
        }
        self.init(code, UntrustedText(reason.detail).description)
    }

    var protobuf: Altnet_Driver_V1_Reason {
        .with {
            $0.code = self.code.rawValue
            // A character has at most four bytes, so this many always fit.
            $0.detail = String(self.detail.prefix(DriverProtocol.maximumReasonLength / 4))
        }
    }
}

extension DriverLink {
    init(checked number: UInt64) throws(DriverProtocolError) {
        guard number != 0 else { throw DriverProtocolError("link number 0") }
        self.init(number)
    }
}

/// Text that a driver sends for people.
enum Text {
    static func checked(_ text: String, _ what: String, limit: Int) throws(DriverProtocolError) -> String {
        guard text.utf8.count <= limit else { throw DriverProtocolError("\(what) of more than \(limit) bytes") }
        guard text.utf8.allSatisfy({ (0x20...0x7e).contains($0) }) else {
            throw DriverProtocolError("\(what) with characters that are not printable ASCII")
        }
        return text
    }
}

extension Array {
    /// `map` with a typed error.
    func checkedMap<Result>(
        _ transform: (Element) throws(DriverProtocolError) -> Result
    ) throws(DriverProtocolError) -> [Result] {
        var results: [Result] = []
        results.reserveCapacity(self.count)
        for element in self { results.append(try transform(element)) }
        return results
    }
}
