// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin

/// Bounds of the handshake between who checks a NAT and a witness. Both are strangers to each other.
enum NATHandshake {
    /// The longest payload, in bytes: a `version` has less than 400.
    static let maximumPayload = 1024
    /// Messages before the one that is waited for: Bitcoin Core sends none before its `version`, and a few after it.
    static let maximumMessages = 8
}

/// The side that asks a witness "where do you see me": a `version` message each way, and nothing else.
///
/// Any Bitcoin node answers. One that answers checks (``NATAnswer``) can be asked for a connection back: the service
/// bit of hole punching in the empty address of ourselves, which no other node looks at.
public struct NATQuestion: Sendable {
    public enum Directive: Hashable, Sendable {
        case write([UInt8])
        /// The answer. `reachesBack`: the witness will open a connection to what it sees, and begin it with a `version`
        /// that ``NATQuestion/isBack(_:)`` knows.
        case told(ExternalEndpoint, reachesBack: Bool)
        /// There is no answer: one sentence.
        case failed(String)
    }

    private let network: Network
    private let nonce: UInt64
    private let version: P2PVersion
    private var decoder: P2PMessageDecoder
    private var messages = 0
    private var isOver = false

    /// - Parameters:
    ///   - nonce: a random number other than 0.
    ///   - asksBack: whether the witness should connect back.
    public init(network: Network, nonce: UInt64, time: WallClockTime, userAgent: String, asksBack: Bool) {
        self.network = network
        self.nonce = nonce
        var sender = P2PAddressField.empty
        if asksBack,
            let asking = P2PAddressField(
                services: PunchOffer.serviceFlag, address: [UInt8](repeating: 0, count: 16), port: 0)
        {
            sender = asking
        }
        self.version = P2PVersion(
            protocolVersion: P2PMessage.protocolVersion, services: 0, time: time.seconds, nonce: nonce,
            userAgent: Array(userAgent.utf8), startHeight: 0, relay: false, sender: sender)
        self.decoder = P2PMessageDecoder(network: network, maximumPayloadLength: NATHandshake.maximumPayload)
    }

    public mutating func onConnected() -> [Directive] {
        [.write(P2PMessage.version(self.version).encoded(for: self.network))]
    }

    public mutating func onBytes(_ bytes: [UInt8]) -> [Directive] {
        guard !self.isOver else { return [] }
        self.decoder.append(bytes)
        do {
            while let received = try self.decoder.next() {
                self.messages += 1
                guard self.messages <= NATHandshake.maximumMessages else { return self.fail("no version message") }
                if case .version(let version) = received.message { return self.onVersion(version) }
            }
            return []
        } catch .wrongMagic {
            return self.fail("it does not speak Bitcoin's protocol, or is of another network")
        } catch {
            return self.fail("it does not keep to Bitcoin's protocol")
        }
    }

    /// Whether the first bytes of a connection that came in are those of the witness that was asked for it; `nil` while
    /// there are too few to tell.
    public func isBack(_ bytes: [UInt8]) -> Bool? {
        var decoder = P2PMessageDecoder(network: self.network, maximumPayloadLength: NATHandshake.maximumPayload)
        decoder.append(bytes)
        do {
            guard let received = try decoder.next() else { return nil }
            guard case .version(let version) = received.message else { return false }
            return version.nonce == self.nonce
        } catch {
            return false
        }
    }

    private mutating func onVersion(_ version: P2PVersion) -> [Directive] {
        guard version.nonce != self.nonce else { return self.fail("it is this node itself") }
        guard let address = version.receiver.address,
            let seen = ExternalEndpoint(address: address, port: version.receiver.port), seen.port != 0
        else { return self.fail("it does not tell where it sees us") }
        self.isOver = true
        return [
            .write(P2PMessage.verack.encoded(for: self.network)),
            .told(
                seen,
                reachesBack: self.version.sender != .empty && version.services & PunchOffer.serviceFlag != 0),
        ]
    }

    private mutating func fail(_ reason: String) -> [Directive] {
        self.isOver = true
        return [.failed(reason)]
    }
}

/// The side that answers: tells whoever connects where it sees them, and closes. The text of the proposal calls it
/// check connections that are closed right after the version handshake.
public struct NATAnswer: Sendable {
    /// How long one check may take, from the connection to its end.
    public static let maximumDuration: Duration = .seconds(10)

    public enum Directive: Hashable, Sendable {
        case write([UInt8])
        /// Open one connection to where the asker was seen, with one SYN at the most, write these bytes, and close.
        case reachBack([UInt8])
        /// Close.
        case disconnect
    }

    private let network: Network
    private let remote: ExternalEndpoint
    private let version: P2PVersion
    private var decoder: P2PMessageDecoder
    private var messages = 0
    private var hasVersion = false
    private var isOver = false

    /// - Parameters:
    ///   - remote: where the asker is seen.
    ///   - nonce: a random number other than 0.
    public init(
        network: Network, remote: ExternalEndpoint, nonce: UInt64, time: WallClockTime, userAgent: String
    ) {
        self.network = network
        self.remote = remote
        self.version = P2PVersion(
            protocolVersion: P2PMessage.protocolVersion, services: PunchOffer.serviceFlag, time: time.seconds,
            nonce: nonce,
            userAgent: Array(userAgent.utf8), startHeight: 0, relay: false,
            receiver: P2PAddressField(address: remote.address, port: remote.port) ?? .empty)
        self.decoder = P2PMessageDecoder(network: network, maximumPayloadLength: NATHandshake.maximumPayload)
    }

    public mutating func onBytes(_ bytes: [UInt8]) -> [Directive] {
        guard !self.isOver else { return [] }
        self.decoder.append(bytes)
        var directives: [Directive] = []
        do {
            while let received = try self.decoder.next() {
                self.messages += 1
                guard self.messages <= NATHandshake.maximumMessages else { return directives + self.end() }
                switch received.message {
                case .version(let version) where !self.hasVersion:
                    self.hasVersion = true
                    directives += self.onVersion(version)
                case .verack where self.hasVersion: return directives + self.end()
                default: break
                }
            }
            return directives
        } catch {
            return directives + self.end()
        }
    }

    private func onVersion(_ asker: P2PVersion) -> [Directive] {
        var directives: [Directive] = [
            .write(
                P2PMessage.version(self.version).encoded(for: self.network)
                    + P2PMessage.verack.encoded(for: self.network))
        ]
        // Only the port that the asker's own connection came from: it has shown that it is there.
        if asker.sender.services & PunchOffer.serviceFlag != 0, self.remote.port >= ExternalEndpoint.lowestPort {
            var back = self.version
            back.nonce = asker.nonce
            directives.append(.reachBack(P2PMessage.version(back).encoded(for: self.network)))
        }
        return directives
    }

    private mutating func end() -> [Directive] {
        self.isOver = true
        return [.disconnect]
    }
}

/// How many checks a node answers: nobody may keep it busy, or make it connect to others more often than they have
/// connected to it.
public struct NATAnswerLimits: Sendable {
    /// Checks at a time.
    public static let maximumAtOnce = 32
    /// Connections back at a time. They share the places for openings with our own punches, which must not
    /// wait because somebody lets ours run into nothing.
    public static let maximumBackAtOnce = 8
    /// Checks that one network group may have within ``window``: some nodes of one provider, or one that tries again.
    public static let maximumPerGroup = 8
    /// Checks in all within ``window``.
    public static let maximumInAll = 512
    /// What the numbers count over.
    public static let window: Duration = .seconds(600)

    private var atOnce = 0
    private var backAtOnce = 0
    /// When each group's checks began; holds at most ``maximumInAll`` moments, because none is taken on beyond that.
    private var begun: [String: [MonotonicInstant]] = [:]

    public init() {}

    /// Whether one more check is answered. ``ended()`` MUST follow each one that is.
    public mutating func begin(group: String, now: MonotonicInstant) -> Bool {
        for (group, moments) in self.begun {
            let recent = moments.filter { now - $0 < Self.window }
            self.begun[group] = recent.isEmpty ? nil : recent
        }
        guard self.atOnce < Self.maximumAtOnce, self.begun[group, default: []].count < Self.maximumPerGroup,
            self.begun.values.reduce(0, { $0 + $1.count }) < Self.maximumInAll
        else { return false }
        self.begun[group, default: []].append(now)
        self.atOnce += 1
        return true
    }

    public mutating func ended() {
        self.atOnce = max(0, self.atOnce - 1)
    }

    /// Whether a connection back is made; where not, the check is answered without one. ``endedBack()`` MUST follow each
    /// one that is.
    public mutating func beginBack() -> Bool {
        guard self.backAtOnce < Self.maximumBackAtOnce else { return false }
        self.backAtOnce += 1
        return true
    }

    public mutating func endedBack() {
        self.backAtOnce = max(0, self.backAtOnce - 1)
    }
}
