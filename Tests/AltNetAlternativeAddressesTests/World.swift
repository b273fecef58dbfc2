// SPDX-License-Identifier: MIT

import AltNetAlternativeAddresses
import AltNetBase
import AltNetKeys
import AltNetLightning

/// The node of a number: the same in every run.
func node(_ number: UInt8) -> NodeID {
    guard let key = NodePrivateKey(bytes: [UInt8](repeating: 0, count: 31) + [number + 1]) else {
        preconditionFailure("\(number) is no key")
    }
    return key.publicKey
}

func channel(_ number: UInt8) -> [UInt8] { [UInt8](repeating: number + 1, count: 32) }

/// A public address of a number.
func somewhere(_ number: Int) -> LightningAddress {
    guard let address = try? LightningAddress(text: "8.8.\(number >> 8 & 255).\(number & 255):9735") else {
        preconditionFailure("\(number) is no address")
    }
    return address
}

func body(_ channelID: [UInt8], _ address: LightningAddress?) -> [UInt8] {
    guard let message = try? PeerAltAddr(channelID: channelID, address: address) else {
        preconditionFailure("no message")
    }
    return Array(message.encoded.dropFirst(2))
}

/// What a disk holds after directives were carried out.
struct Disk: Equatable {
    var given: [Int64: GivenAddress] = [:]
    var received: [NodeID: ReceivedAddress] = [:]
    var peers: [NodeID: PeerRecord] = [:]

    mutating func apply(_ change: StoredChange) {
        switch change {
        case .given(let record): self.given[record.id] = record
        case .forgetGiven(let id): self.given[id] = nil
        case .received(let record): self.received[record.peer] = record
        case .forgetReceived(let peer): self.received[peer] = nil
        case .peer(let record): self.peers[record.peer] = record
        case .forgetPeer(let peer): self.peers[peer] = nil
        }
    }

    var stored: StoredAddresses {
        StoredAddresses(
            given: Array(self.given.values), received: Array(self.received.values), peers: Array(self.peers.values))
    }
}

/// A machine with a disk and a clock, and what was sent.
struct World {
    let settings: AlternativeAddresses.Settings
    var machine: AlternativeAddresses
    var disk = Disk()
    var seconds: Int64 = 0
    var sent: [(peer: NodeID, address: LightningAddress?)] = []

    init(
        allowed: Set<NodeID> = [], channels: [NodeID: [UInt8]] = [:], configured: Set<NodeID> = [],
        own: Set<LightningAddress> = [],
        takesPrivate: Bool = false
    ) {
        self.settings = AlternativeAddresses.Settings(
            ourselves: node(99), allowed: allowed, channels: channels, configured: configured, ownAddresses: own,
            takesPrivate: takesPrivate)
        self.machine = AlternativeAddresses(self.settings)
    }

    var now: Moment {
        Moment(
            wall: WallClockTime(seconds: 1_800_000_000 + self.seconds),
            monotonic: .zero + .seconds(self.seconds))
    }

    /// Carries out directives, in order.
    mutating func carryOut(_ directives: [AlternativeAddresses.Directive]) {
        for directive in directives {
            switch directive {
            case .store(let changes): for change in changes { self.disk.apply(change) }
            case .send(let message, let peer): self.sent.append((peer, try? message.reading()))
            }
        }
    }

    mutating func endpoints(_ endpoints: AlternativeEndpoint...) {
        self.carryOut(self.machine.onEndpoints(endpoints, now: self.now))
    }
    mutating func connect(_ peer: NodeID) { self.carryOut(self.machine.onConnected(peer, now: self.now)) }
    mutating func disconnect(_ peer: NodeID) { self.carryOut(self.machine.onDisconnected(peer, now: self.now)) }
    mutating func receive(_ body: [UInt8], from peer: NodeID) -> AddressReception {
        let (reception, directives) = self.machine.onMessage(body: body, from: peer, now: self.now)
        self.carryOut(directives)
        return reception
    }
    mutating func dialled(
        _ peer: NodeID, _ address: LightningAddress, _ result: AlternativeAddresses.DialResult
    ) {
        self.carryOut(self.machine.onDialled(peer, at: address, result, now: self.now))
    }
    func routes(_ peer: NodeID) -> [AlternativeAddresses.Route] {
        var copy = self.machine
        return copy.routes(to: peer)
    }
    mutating func send(_ peer: NodeID? = nil) throws -> AlternativeAddresses.Delivery {
        let (delivery, directives) = try self.machine.send(to: peer, now: self.now)
        self.carryOut(directives)
        return delivery
    }
    mutating func clear(_ peer: NodeID) throws -> AlternativeAddresses.Delivery {
        let (delivery, directives) = try self.machine.clear(peer, now: self.now)
        self.carryOut(directives)
        return delivery
    }
    /// A crash and a new start: only the disk is left.
    mutating func restart(_ settings: AlternativeAddresses.Settings? = nil) {
        self.machine = AlternativeAddresses(settings ?? self.settings, stored: self.disk.stored)
    }
    mutating func takeSent() -> [String] {
        defer { self.sent = [] }
        return self.sent.map { "\($0.address?.text ?? "clear")" }
    }
}

extension AlternativeEndpoint {
    static func shared(_ name: String, _ number: Int, isUp: Bool = true) -> AlternativeEndpoint {
        AlternativeEndpoint(id: EndpointID(name), address: somewhere(number), isUp: isUp)
    }
    static func of(_ peer: NodeID, _ name: String, _ number: Int, isUp: Bool = true) -> AlternativeEndpoint {
        AlternativeEndpoint(id: EndpointID(name), address: somewhere(number), peer: peer, isUp: isUp)
    }
}
