// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetPeerRecords
internal import FoundationEssentials
internal import SwiftProtobuf

extension PeerNews {
    static func checked(_ message: Altnet_Driver_V1_PeerNews) throws(DriverProtocolError) -> [PeerNews] {
        guard message.items.count <= PeerMessageRules.maximumNews else {
            throw DriverProtocolError("more than \(PeerMessageRules.maximumNews) items of news about peers")
        }
        return try message.items.checkedMap { item throws(DriverProtocolError) in try PeerNews(item) }
    }

    init(_ message: Altnet_Driver_V1_PeerNewsItem) throws(DriverProtocolError) {
        switch message.what {
        case .record(let news):
            guard news.envelope.count <= SignedEnvelope.maximumSize else {
                throw DriverProtocolError("a peer record of \(news.envelope.count) bytes")
            }
            self = .record(
                envelope: [UInt8](news.envelope), source: try Self.source(news.source),
                about: news.about.isEmpty ? nil : try PeerID(checked: news.about),
                learnedOn: try LocalNetwork.checked(news.learnedOn), toldBy: try NewsOrigin.checked(news.toldBy))
        case .addresses(let news):
            guard news.addresses.count <= PeerBookLimits.maximumAddresses else {
                throw DriverProtocolError("\(news.addresses.count) addresses of one peer")
            }
            guard news.lifetimeSeconds <= PeerMessageRules.maximumLifetime else {
                throw DriverProtocolError("addresses that are said to hold for \(news.lifetimeSeconds) seconds")
            }
            self = .addresses(
                try PeerID(checked: news.peer),
                try news.addresses.checkedMap { bytes throws(DriverProtocolError) in try Multiaddress(checked: bytes) },
                source: try Self.source(news.source), lifetime: .seconds(Int64(news.lifetimeSeconds)),
                learnedOn: try LocalNetwork.checked(news.learnedOn), toldBy: try NewsOrigin.checked(news.toldBy),
                use: try AddressUse(checked: news.use))
        case .connected(let news):
            self = .connected(
                try PeerID(checked: news.peer), try Multiaddress(checked: news.address),
                latency: .microseconds(Int64(clamping: min(news.latencyMicroseconds, 3_600_000_000))),
                on: try LocalNetwork.checked(news.network), use: try AddressUse(checked: news.use))
        case .failed(let news):
            self = .failed(
                try PeerID(checked: news.peer), try Multiaddress(checked: news.address),
                on: try LocalNetwork.checked(news.network), use: try AddressUse(checked: news.use))
        case .withdrawn(let news):
            self = .withdrawn(
                try PeerID(checked: news.peer), source: try Self.source(news.source),
                except: news.except.isEmpty ? nil : try Multiaddress(checked: news.except),
                use: try AddressUse(checked: news.use))
        case nil: throw DriverProtocolError("news about peers of a kind that this version does not know")
        }
    }

    private static func source(_ number: UInt32) throws(DriverProtocolError) -> AddressSources {
        let source = AddressSources(rawValue: number)
        guard number.nonzeroBitCount == 1, PeerMessageRules.sources.contains(source) else {
            throw DriverProtocolError("a source of news about peers, \(number), that a driver does not have")
        }
        return source
    }

    var protobuf: Altnet_Driver_V1_PeerNewsItem {
        .with {
            switch self {
            case .record(let envelope, let source, let about, let learnedOn, let toldBy):
                $0.record = .with {
                    $0.envelope = Data(envelope)
                    $0.source = source.rawValue
                    $0.about = Data(about?.bytes ?? [])
                    $0.learnedOn = learnedOn?.name ?? ""
                    $0.toldBy = toldBy?.networkGroup ?? ""
                }
            case .addresses(let peer, let addresses, let source, let lifetime, let learnedOn, let toldBy, let use):
                $0.addresses = .with {
                    $0.peer = Data(peer.bytes)
                    $0.addresses = addresses.map { Data($0.bytes) }
                    $0.source = source.rawValue
                    $0.lifetimeSeconds = UInt64(
                        max(0, min(lifetime.components.seconds, Int64(PeerMessageRules.maximumLifetime))))
                    $0.learnedOn = learnedOn?.name ?? ""
                    $0.toldBy = toldBy?.networkGroup ?? ""
                    $0.use = use.rawValue
                }
            case .connected(let peer, let address, let latency, let network, let use):
                $0.connected = .with {
                    $0.peer = Data(peer.bytes)
                    $0.address = Data(address.bytes)
                    $0.latencyMicroseconds = UInt64(max(0, latency.wholeNanoseconds / 1_000))
                    $0.network = network?.name ?? ""
                    $0.use = use.rawValue
                }
            case .failed(let peer, let address, let network, let use):
                $0.failed = .with {
                    $0.peer = Data(peer.bytes)
                    $0.address = Data(address.bytes)
                    $0.network = network?.name ?? ""
                    $0.use = use.rawValue
                }
            case .withdrawn(let peer, let source, let exception, let use):
                $0.withdrawn = .with {
                    $0.peer = Data(peer.bytes)
                    $0.source = source.rawValue
                    $0.except = Data(exception?.bytes ?? [])
                    $0.use = use.rawValue
                }
            }
        }
    }
}

extension NewsOutcome {
    init(_ message: Altnet_Driver_V1_PeerOutcome) throws(DriverProtocolError) {
        let refusal = PeerNewsRefusal(
            PeerNewsRefusal.Code(rawValue: message.code) ?? .overloaded, UntrustedText(message.detail).description)
        switch message.kind {
        case .stored: self = .stored
        case .storedInPart: self = .storedInPart(leftOut: [])
        case .unchanged: self = .unchanged
        case .refused: self = .refused(refusal)
        case .unspecified, .UNRECOGNIZED: throw DriverProtocolError("an outcome that this version does not know")
        }
    }

    var protobuf: Altnet_Driver_V1_PeerOutcome {
        .with {
            switch self {
            case .stored: $0.kind = .stored
            case .storedInPart: $0.kind = .storedInPart
            case .unchanged: $0.kind = .unchanged
            case .refused(let refusal):
                $0.kind = .refused
                $0.code = refusal.code.rawValue
                $0.detail = String(refusal.description.prefix(DriverProtocol.maximumReasonLength / 4))
            }
        }
    }
}

extension PeerQuestion {
    init(_ message: Altnet_Driver_V1_PeerQuestion) throws(DriverProtocolError) {
        guard message.peers.count <= PeerMessageRules.maximumPeers else {
            throw DriverProtocolError("a question about \(message.peers.count) peers")
        }
        let peers = try message.peers.checkedMap { bytes throws(DriverProtocolError) in try PeerID(checked: bytes) }
        switch (message.handout, message.nodes) {
        case (true, true): throw DriverProtocolError("a question about nodes that is a handout")
        case (true, false): self = .handout(peers, to: try LocalNetwork.checked(message.audience))
        case (false, true): self = .nodes(peers)
        case (false, false): self = .known(peers)
        }
    }

    func protobuf(_ id: UInt64) -> Altnet_Driver_V1_PeerQuestion {
        .with {
            $0.id = id
            $0.peers = self.peers.map { Data($0.bytes) }
            switch self {
            case .known: break
            case .handout(_, let audience):
                $0.handout = true
                $0.audience = audience?.name ?? ""
            case .nodes: $0.nodes = true
            }
        }
    }
}

extension PeerAnswer {
    init(_ message: Altnet_Driver_V1_PeerAnswer) throws(DriverProtocolError) {
        guard message.failure.isEmpty else {
            self = .failed(UntrustedText(message.failure).description)
            return
        }
        if message.handout {
            self = .handouts(
                try message.peers.checkedMap { peer throws(DriverProtocolError) in
                    PeerHandout(
                        id: try PeerID(checked: peer.id),
                        envelope: peer.envelope.isEmpty ? nil : [UInt8](peer.envelope),
                        addresses: try peer.addresses.checkedMap { address throws(DriverProtocolError) in
                            try Multiaddress(checked: address.address)
                        })
                })
        } else if message.nodes {
            self = .nodes(
                try message.peers.checkedMap { peer throws(DriverProtocolError) in try KnownPeer(nodeOf: peer) })
        } else {
            self = .known(
                try message.peers.checkedMap { peer throws(DriverProtocolError) in try KnownPeer(peer) })
        }
    }

    func protobuf(_ id: UInt64) -> Altnet_Driver_V1_PeerAnswer {
        .with {
            $0.id = id
            switch self {
            case .known(let peers): $0.peers = peers.map(\.protobuf)
            case .nodes(let peers):
                $0.nodes = true
                $0.peers = peers.map(\.nodeProtobuf)
            case .handouts(let handouts):
                $0.handout = true
                $0.peers = handouts.map { handout in
                    .with {
                        $0.id = Data(handout.id.bytes)
                        $0.envelope = Data(handout.envelope ?? [])
                        $0.addresses = handout.addresses.map { address in .with { $0.address = Data(address.bytes) } }
                    }
                }
            case .failed(let sentence): $0.failure = sentence.isEmpty ? "no reason given" : sentence
            }
        }
    }
}

extension KnownPeer {
    init(_ message: Altnet_Driver_V1_KnownPeer) throws(DriverProtocolError) {
        var record: CertifiedPeerRecord?
        if !message.envelope.isEmpty {
            // The orchestrator verified it before it stored it.
            record = try? CertifiedPeerRecord(verifiedBefore: [UInt8](message.envelope))
        }
        self.init(
            id: try PeerID(checked: message.id), record: record,
            addresses: try message.addresses.checkedMap { address throws(DriverProtocolError) in
                try KnownAddress(address)
            })
    }

    /// Of its nodes alone.
    init(nodeOf message: Altnet_Driver_V1_KnownPeer) throws(DriverProtocolError) {
        var record: CertifiedNodeAddressRecord?
        if !message.envelope.isEmpty {
            record = try? CertifiedNodeAddressRecord(verifiedBefore: [UInt8](message.envelope))
        }
        let addresses = try message.addresses.checkedMap { address throws(DriverProtocolError) in
            try KnownAddress(address)
        }
        self.init(
            id: try PeerID(checked: message.id), record: nil, addresses: [],
            node: KnownNode(record: record, addresses: addresses))
    }

    var protobuf: Altnet_Driver_V1_KnownPeer {
        .with {
            $0.id = Data(self.id.bytes)
            $0.envelope = Data(self.record?.envelope ?? [])
            $0.addresses = self.addresses.map(\.protobuf)
        }
    }

    var nodeProtobuf: Altnet_Driver_V1_KnownPeer {
        .with {
            $0.id = Data(self.id.bytes)
            $0.envelope = Data(self.node?.record?.envelope ?? [])
            $0.addresses = self.node?.addresses.map(\.protobuf) ?? []
        }
    }
}

extension KnownAddress {
    init(_ message: Altnet_Driver_V1_KnownAddress) throws(DriverProtocolError) {
        self.init(
            address: try Multiaddress(checked: message.address), sources: AddressSources(rawValue: message.sources),
            firstSeen: WallClockTime(milliseconds: message.firstSeen),
            lastSeen: WallClockTime(milliseconds: message.lastSeen),
            expiry: message.hasExpiry ? WallClockTime(milliseconds: message.expiry) : nil,
            lastSuccess: message.hasLastSuccess ? WallClockTime(milliseconds: message.lastSuccess) : nil,
            lastFailure: message.hasLastFailure ? WallClockTime(milliseconds: message.lastFailure) : nil,
            latency: message.hasLatencyMicroseconds
                ? .microseconds(Int64(clamping: message.latencyMicroseconds)) : nil,
            failures: Int(message.failures), network: try LocalNetwork.checked(message.network),
            use: try AddressUse(checked: message.use))
    }

    var protobuf: Altnet_Driver_V1_KnownAddress {
        .with {
            $0.address = Data(self.address.bytes)
            $0.sources = self.sources.rawValue
            $0.firstSeen = self.firstSeen.milliseconds
            $0.lastSeen = self.lastSeen.milliseconds
            if let expiry = self.expiry { $0.expiry = expiry.milliseconds }
            if let lastSuccess = self.lastSuccess { $0.lastSuccess = lastSuccess.milliseconds }
            if let lastFailure = self.lastFailure { $0.lastFailure = lastFailure.milliseconds }
            if let latency = self.latency {
                $0.latencyMicroseconds = UInt64(max(0, latency.wholeNanoseconds / 1_000))
            }
            $0.failures = UInt32(clamping: self.failures)
            $0.network = self.network?.name ?? ""
            $0.use = self.use.rawValue
        }
    }
}

extension PeerID {
    init(checked bytes: Data) throws(DriverProtocolError) {
        do throws(PeerIDError) {
            try self.init(bytes: [UInt8](bytes))
        } catch {
            throw DriverProtocolError(error.description)
        }
    }
}

extension Multiaddress {
    init(checked bytes: Data) throws(DriverProtocolError) {
        do throws(MultiaddressError) {
            try self.init(bytes: [UInt8](bytes))
        } catch {
            throw DriverProtocolError(error.description)
        }
    }
}

extension AddressUse {
    init(checked number: UInt32) throws(DriverProtocolError) {
        guard let use = AddressUse(rawValue: number) else {
            throw DriverProtocolError("an address for a use that this version does not know, \(number)")
        }
        self = use
    }
}

extension LocalNetwork {
    /// The network of that name; `nil` when the name is empty.
    static func checked(_ name: String) throws(DriverProtocolError) -> LocalNetwork? {
        guard !name.isEmpty else { return nil }
        guard let network = LocalNetwork(try Text.checked(name, "a network", limit: LocalNetwork.maximumSize)) else {
            throw DriverProtocolError("a network without a name")
        }
        return network
    }
}

extension NewsOrigin {
    /// The origin of that network group; `nil` when it is empty.
    static func checked(_ group: String) throws(DriverProtocolError) -> NewsOrigin? {
        guard !group.isEmpty else { return nil }
        return NewsOrigin(networkGroup: try Text.checked(group, "an origin", limit: NewsOrigin.maximumSize))
    }
}
