// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetPeerRecords
import Testing

@testable import AltNetLibp2p

/// Two connections with a wire between them, in virtual time.
struct ConnectionPair {
    static let echo = "/echo/1.0.0"

    enum Side: Int {
        case dialer = 0
        case listener = 1

        var other: Side { self == .dialer ? .listener : .dialer }
    }

    var ends: [Libp2pConnection]
    /// What each end has sent and the other has not received.
    var wires: [[UInt8]] = [[], []]
    /// Every directive of each end, bytes left out.
    var log: [[Libp2pConnection.Directive]] = [[], []]
    var timers: [MonotonicInstant?] = [nil, nil]
    var now = MonotonicInstant.zero

    static func key(_ seed: UInt8) throws -> PeerPrivateKey {
        try #require(PeerPrivateKey.ed25519(seed: [UInt8](repeating: seed, count: 32)))
    }

    static func entropy(_ seed: UInt64) throws -> NoiseEntropy {
        var random = SeededRandom(seed: seed)
        return try #require(NoiseEntropy(random.bytes(NoiseEntropy.size)))
    }

    init(
        expecting: PeerID? = nil, change: (Side, inout Libp2pConnection.Configuration) -> Void = { _, _ in }
    ) throws {
        var dialer = Libp2pConnection.Configuration(
            role: .dialer(expecting: expecting), key: try Self.key(1), served: [Self.echo])
        var listener = Libp2pConnection.Configuration(role: .listener, key: try Self.key(2), served: [Self.echo])
        change(.dialer, &dialer)
        change(.listener, &listener)
        self.ends = [
            Libp2pConnection(dialer, entropy: try Self.entropy(1), now: .zero),
            Libp2pConnection(listener, entropy: try Self.entropy(2), now: .zero),
        ]
        for side in [Side.dialer, .listener] { self.carryOut(self.ends[side.rawValue].start(now: .zero), side) }
    }

    mutating func carryOut(_ directives: [Libp2pConnection.Directive], _ side: Side) {
        for directive in directives {
            switch directive {
            case .write(let bytes): self.wires[side.rawValue] += bytes
            case .setTimer(let moment): self.timers[side.rawValue] = moment
            default: self.log[side.rawValue].append(directive)
            }
        }
    }

    /// Moves up to `limit` bytes from one end to the other.
    mutating func deliver(from side: Side, limit: Int = .max) {
        let piece = Array(self.wires[side.rawValue].prefix(limit))
        guard !piece.isEmpty else { return }
        self.wires[side.rawValue].removeFirst(piece.count)
        self.carryOut(self.ends[side.other.rawValue].onBytes(piece, now: self.now), side.other)
    }

    /// Moves everything, in pieces of that size.
    mutating func settle(pieces: Int = .max) {
        while !self.wires[0].isEmpty || !self.wires[1].isEmpty {
            self.deliver(from: .dialer, limit: pieces)
            self.deliver(from: .listener, limit: pieces)
        }
    }

    mutating func open(_ protocols: [String], _ side: Side = .dialer) throws -> Libp2pStreamID {
        let (id, directives) = try self.ends[side.rawValue].open(protocols: protocols, now: self.now)
        self.carryOut(directives, side)
        return id
    }

    mutating func send(_ bytes: [UInt8], on id: Libp2pStreamID, _ side: Side) {
        self.carryOut(self.ends[side.rawValue].send(bytes, on: id, now: self.now), side)
    }

    /// Lets time pass up to a moment, with every timer on the way.
    mutating func wait(_ duration: Duration, delivering: Bool = true) {
        let end = self.now + duration
        while true {
            if delivering { self.settle() }
            let next = (0..<2).compactMap { side in self.timers[side].map { (side, $0) } }.min { $0.1 < $1.1 }
            guard let (side, moment) = next, moment <= end else { break }
            self.now = max(self.now, moment)
            self.timers[side] = nil
            let directives = self.ends[side].onTimer(now: self.now)
            if let which = Side(rawValue: side) { self.carryOut(directives, which) }
        }
        self.now = end
    }

    func failure(_ side: Side) -> Libp2pFailure? {
        if case .closed(let reason)? = self.log[side.rawValue].last { reason } else { nil }
    }

    func secured(_ side: Side) -> PeerID? {
        for case .secured(let peer, _) in self.log[side.rawValue] { return peer }
        return nil
    }

    func accepted(_ side: Side) -> [(Libp2pStreamID, String)] {
        self.log[side.rawValue].compactMap { if case .accepted(let id, let name) = $0 { (id, name) } else { nil } }
    }

    func data(_ side: Side) -> [UInt8] {
        var all: [UInt8] = []
        for case .data(_, let bytes) in self.log[side.rawValue] { all += bytes }
        return all
    }
}
