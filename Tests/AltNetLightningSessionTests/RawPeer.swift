// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetKeys
import AltNetLightning
import AltNetLightningSession
import AltNetNoise
import AltNetObjects
import Testing

func makeKey(_ byte: UInt8) throws -> NodePrivateKey {
    try #require(NodePrivateKey(bytes: Array(repeating: byte, count: 32)))
}

func makeConfiguration(
    _ byte: UInt8,
    network: Network = .regtest,
    serves: Set<ObjectKind> = Set(ObjectKind.allCases)
) throws -> LightningSession.Configuration {
    LightningSession.Configuration(privateKey: try makeKey(byte), network: network, serves: serves)
}

/// The other side of a session under test: speaks BOLT 8 properly, and after that whatever a test wants.
struct RawPeer {
    /// The session under test, which was called by this peer.
    var session: LightningSession
    var now = MonotonicInstant.zero
    /// What the session sent and this peer decrypted.
    var received: [LightningMessage] = []
    /// When the session wants to be woken.
    var timer: MonotonicInstant?
    private var transport: NoiseTransport

    /// Calls a session and completes the handshake, but sends no `init` yet.
    init(_ configuration: LightningSession.Configuration) throws {
        var session = LightningSession(responderWith: try makeKey(0x41), configuration: configuration)
        var handshake = NoiseHandshake(
            initiator: try makeKey(0x42),
            remote: configuration.privateKey.publicKey,
            ephemeral: try makeKey(0x43)
        )
        let connected = session.onConnected(now: .zero)
        let actOne = handshake.onConnected().written
        let actTwo = session.onBytes(actOne, now: .zero).written
        let steps = handshake.onBytes(actTwo)
        guard case .established(let transport)? = steps.last else {
            Issue.record("the handshake failed")
            throw NoiseError.badMessageMAC
        }
        self.transport = transport
        self.session = session
        self.absorb(connected)
        self.absorb(self.session.onBytes(steps.written, now: .zero))
    }

    /// A peer that has introduced itself and may go on.
    static func open(
        _ configuration: LightningSession.Configuration? = nil,
        features: [UInt16] = [BitcoinOverLightning.featureBit],
        serves: Set<ObjectKind>? = nil
    ) throws -> RawPeer {
        var peer = try RawPeer(configuration ?? makeConfiguration(0x31))
        let message = InitMessage(features: LightningFeatures(features), servedObjects: serves)
        let directives = peer.send(.initialization(message))
        #expect(directives.established != nil)
        peer.received = []
        return peer
    }

    @discardableResult
    mutating func send(_ message: LightningMessage) -> [LinkDirective] {
        self.send(plain: message.encoded)
    }

    /// Encrypts any bytes as one message.
    @discardableResult
    mutating func send(plain: [UInt8]) -> [LinkDirective] {
        self.send(wire: self.sealed(plain))
    }

    /// Any bytes as one encrypted message, which MUST then be sent in its turn.
    mutating func sealed(_ plain: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        do {
            try self.transport.send.seal(plain, into: &bytes)
        } catch {
            Issue.record("\(error)")
        }
        return bytes
    }

    /// Sends bytes without encrypting them.
    @discardableResult
    mutating func send(wire bytes: [UInt8]) -> [LinkDirective] {
        let directives = self.session.onBytes(bytes, now: self.now)
        self.absorb(directives)
        return directives
    }

    /// Lets time pass, waking the session whenever it asked for it.
    mutating func advance(by duration: Duration) -> [LinkDirective] {
        let end = self.now + duration
        var directives: [LinkDirective] = []
        while let timer = self.timer, timer <= end {
            self.timer = nil
            self.now = max(self.now, timer)
            let woken = self.session.onTimer(now: self.now)
            self.absorb(woken)
            directives += woken
            if woken.disconnect != nil { break }
        }
        self.now = end
        return directives
    }

    mutating func request(_ id: UInt64, _ request: ObjectRequest) -> [LinkDirective] {
        let directives = self.session.onRequest(id: id, request, now: self.now)
        self.absorb(directives)
        return directives
    }

    mutating func answer(_ id: UInt64, _ answer: ObjectAnswer) -> [LinkDirective] {
        let directives = self.session.onAnswer(id: id, answer, now: self.now)
        self.absorb(directives)
        return directives
    }

    mutating func say(_ id: StreamID, _ message: StreamMessage) -> [LinkDirective] {
        let directives = self.session.onStream(id, message, now: self.now)
        self.absorb(directives)
        return directives
    }

    mutating func announce(_ announcement: ObjectAnnouncement) -> [LinkDirective] {
        let directives = self.session.onAnnouncement(announcement, now: self.now)
        self.absorb(directives)
        return directives
    }

    mutating func relay(_ message: [UInt8]) -> [LinkDirective] {
        let directives = self.session.onMessage(message, now: self.now)
        self.absorb(directives)
        return directives
    }

    private mutating func absorb(_ directives: [LinkDirective]) {
        for directive in directives {
            if case .setTimer(let moment) = directive { self.timer = moment }
        }
        do {
            self.transport.receive.append(directives.written)
            while let message = try self.transport.receive.next() {
                self.received.append(try LightningMessage(decoding: message))
            }
        } catch {
            // Before the handshake is complete, what the session writes are acts.
            if !self.received.isEmpty { Issue.record("what the session wrote cannot be read: \(error)") }
        }
    }
}

extension [NoiseHandshake.Directive] {
    var written: [UInt8] {
        self.flatMap { directive -> [UInt8] in
            if case .write(let bytes) = directive { bytes } else { [] }
        }
    }
}

extension [LinkDirective] {
    var written: [UInt8] {
        self.flatMap { directive -> [UInt8] in
            if case .write(let bytes) = directive { bytes } else { [] }
        }
    }

    var disconnect: DisconnectReason? {
        if case .disconnect(let reason)? = self.last { reason } else { nil }
    }

    var aborted: DisconnectReason? {
        if case .abort(let reason)? = self.last { reason } else { nil }
    }

    var messages: [[UInt8]] {
        self.compactMap { if case .message(let message) = $0 { message } else { nil } }
    }

    var established: LinkPeer? {
        self.lazy.compactMap { if case .established(let peer) = $0 { peer } else { nil } }.first
    }

    var answers: [UInt64: ObjectAnswer] {
        self.reduce(into: [:]) { if case .answer(let id, let answer) = $1 { $0[id] = answer } }
    }

    var requests: [UInt64: ObjectRequest] {
        self.reduce(into: [:]) { if case .request(let id, let request) = $1 { $0[id] = request } }
    }

    var announcements: [ObjectAnnouncement] {
        self.compactMap { if case .announcement(let announcement) = $0 { announcement } else { nil } }
    }
}
