// SPDX-License-Identifier: MIT

internal import AltNetBase

/// What each side says of itself before anything is tried.
public struct PunchHello: Hashable, Sendable {
    /// The version of the coordination protocol that is described in `docs/protocol/hole-punching.md`.
    public static let currentVersion: UInt8 = 1

    /// The highest version that the sender speaks; both go on with the lower one.
    public var version: UInt8
    public var mapping: NATMapping
    public var abilities: PunchAbilities

    public init(version: UInt8 = Self.currentVersion, mapping: NATMapping, abilities: PunchAbilities) {
        self.version = version
        self.mapping = mapping
        self.abilities = abilities
    }
}

/// An address for one path.
public struct PathEndpoint: Hashable, Sendable {
    public var path: PunchPath
    public var endpoint: ExternalEndpoint

    public init(path: PunchPath, endpoint: ExternalEndpoint) {
        self.path = path
        self.endpoint = endpoint
    }
}

/// The payload of one `hpunch` message on a coordination connection.
public enum PunchMessage: Hashable, Sendable {
    /// The first of each side, the initiator's first.
    case hello(PunchHello)
    /// "What time is it on your session's clock?" `sent`: the sender's clock, in microseconds.
    case ping(sent: UInt64)
    /// The answer: the asker's time again, and ours when the question came and when the answer left.
    case pong(sent: UInt64, received: UInt64, replied: UInt64)
    /// Where the sender can be reached, or comes from, in this attempt; and its fresh nonce of 32 bytes.
    case endpoints(attempt: UInt8, [PathEndpoint], nonce: [UInt8])
    /// The initiator: "at this moment of your session's clock".
    case go(attempt: UInt8, path: PunchPath, moment: UInt64)
    /// How the attempt ended for the sender; `nil` is success.
    case result(attempt: UInt8, PunchReason?)
    /// The initiator: "let this connection be the link".
    case relay
    /// The responder: "from the next byte on it is".
    case relayAccepted
    /// The sender goes no further, and closes.
    case refuse(PunchRefusal)

    /// The command of Bitcoin's P2P framing.
    public static let command = "hpunch"
    /// More is refused before it is read: all that is here fits several times, with room for what later versions add
    /// to ``hello(_:)``. In bytes.
    public static let maximumLength = 512
    /// An attempt has one path, and few hosts have more than an address or two for it.
    public static let maximumEndpoints = 6
    /// As much as the proof's hash. In bytes.
    public static let nonceLength = 32

    private enum Kind: UInt8 {
        case hello = 1, ping, pong, endpoints, go, result, relay, relayAccepted, refuse
    }

    // MARK: - Writing

    /// The payload, at most ``maximumLength`` bytes. The caller keeps to ``maximumEndpoints`` and ``nonceLength``.
    public func encoded() -> [UInt8] {
        var bytes = [self.kind.rawValue]
        switch self {
        case .hello(let hello):
            bytes.append(hello.version)
            bytes.append(hello.mapping.code)
            bytes.appendLittleEndian(hello.abilities.rawValue)
        case .ping(let sent): bytes.appendLittleEndian(sent)
        case .pong(let sent, let received, let replied):
            bytes.appendLittleEndian(sent)
            bytes.appendLittleEndian(received)
            bytes.appendLittleEndian(replied)
        case .endpoints(let attempt, let endpoints, let nonce):
            bytes.append(attempt)
            bytes += nonce
            bytes.append(UInt8(clamping: endpoints.count))
            for one in endpoints {
                bytes.append(one.path.rawValue)
                bytes.append(one.endpoint.isIPv4 ? AddressFamily.ipv4.rawValue : AddressFamily.ipv6.rawValue)
                bytes += one.endpoint.address
                bytes.appendBigEndian(one.endpoint.port)
            }
        case .go(let attempt, let path, let moment):
            bytes.append(attempt)
            bytes.append(path.rawValue)
            bytes.appendLittleEndian(moment)
        case .result(let attempt, let reason):
            bytes.append(attempt)
            bytes.append(reason?.code ?? 0)
        case .relay, .relayAccepted: break
        case .refuse(let refusal): bytes.append(refusal.code)
        }
        return bytes
    }

    private var kind: Kind {
        switch self {
        case .hello: .hello
        case .ping: .ping
        case .pong: .pong
        case .endpoints: .endpoints
        case .go: .go
        case .result: .result
        case .relay: .relay
        case .relayAccepted: .relayAccepted
        case .refuse: .refuse
        }
    }

    // MARK: - Reading

    /// Reads a payload strictly: nothing may be missing, and nothing may follow save in ``hello(_:)``.
    public init(payload: [UInt8]) throws(PunchMessageError) {
        guard payload.count <= Self.maximumLength else { throw .tooLong(payload.count) }
        var reader = ByteReader(payload)
        do {
            self = try Self.read(&reader)
        } catch let error as PunchMessageError {
            throw error
        } catch {
            throw .truncated
        }
    }

    private static func read(_ reader: inout ByteReader) throws -> Self {
        let number: UInt8 = try reader.littleEndian()
        guard let kind = Kind(rawValue: number) else { throw PunchMessageError.unknownKind(number) }
        let message: Self
        switch kind {
        case .hello: return .hello(try Self.hello(&reader))
        case .ping: message = .ping(sent: try reader.littleEndian())
        case .pong:
            message = .pong(
                sent: try reader.littleEndian(), received: try reader.littleEndian(),
                replied: try reader.littleEndian())
        case .endpoints: message = try Self.endpoints(&reader)
        case .go:
            message = .go(
                attempt: try reader.littleEndian(), path: try Self.path(&reader), moment: try reader.littleEndian())
        case .result:
            let attempt: UInt8 = try reader.littleEndian()
            let code: UInt8 = try reader.littleEndian()
            message = .result(attempt: attempt, code == 0 ? nil : PunchReason(code: code))
        case .relay: message = .relay
        case .relayAccepted: message = .relayAccepted
        case .refuse: message = .refuse(PunchRefusal(code: try reader.littleEndian()))
        }
        guard reader.isAtEnd else { throw PunchMessageError.trailingBytes(reader.count) }
        return message
    }

    /// What follows is a later version's.
    private static func hello(_ reader: inout ByteReader) throws -> PunchHello {
        let version: UInt8 = try reader.littleEndian()
        let code: UInt8 = try reader.littleEndian()
        let abilities: UInt16 = try reader.littleEndian()
        guard version > 0 else { throw PunchMessageError.badVersion }
        guard let mapping = NATMapping(code: code) else { throw PunchMessageError.unknownMapping(code) }
        return PunchHello(version: version, mapping: mapping, abilities: PunchAbilities(rawValue: abilities))
    }

    private static func endpoints(_ reader: inout ByteReader) throws -> Self {
        let attempt: UInt8 = try reader.littleEndian()
        let nonce = Array(try reader.bytes(Self.nonceLength))
        let count: UInt8 = try reader.littleEndian()
        guard count <= Self.maximumEndpoints else { throw PunchMessageError.tooManyEndpoints(Int(count)) }
        var endpoints: [PathEndpoint] = []
        for _ in 0..<count {
            let path = try Self.path(&reader)
            let code: UInt8 = try reader.littleEndian()
            guard let family = AddressFamily(rawValue: code) else { throw PunchMessageError.unknownFamily(code) }
            let address = Array(try reader.bytes(family.length))
            let port: UInt16 = try reader.bigEndian()
            // One address has one form: an IPv4 address in IPv6's clothes would be another one.
            guard let endpoint = ExternalEndpoint(address: address, port: port), endpoint.address.count == family.length
            else { throw PunchMessageError.mappedAddress }
            endpoints.append(PathEndpoint(path: path, endpoint: endpoint))
        }
        return .endpoints(attempt: attempt, endpoints, nonce: nonce)
    }

    private static func path(_ reader: inout ByteReader) throws -> PunchPath {
        let code: UInt8 = try reader.littleEndian()
        guard let path = PunchPath(rawValue: code) else { throw PunchMessageError.unknownPath(code) }
        return path
    }
}

/// BIP 155's numbers of the two kinds of addresses that can be punched to.
enum AddressFamily: UInt8 {
    case ipv4 = 1
    case ipv6 = 2

    /// Of an address, in bytes.
    var length: Int { self == .ipv4 ? 4 : 16 }
}

/// Why a payload is no message of the coordination protocol.
public enum PunchMessageError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Above ``PunchMessage/maximumLength``, in bytes.
    case tooLong(Int)
    case truncated
    case trailingBytes(Int)
    case unknownKind(UInt8)
    /// Version 0.
    case badVersion
    case unknownMapping(UInt8)
    case unknownPath(UInt8)
    /// A network other than IPv4 and IPv6.
    case unknownFamily(UInt8)
    /// Above ``PunchMessage/maximumEndpoints``.
    case tooManyEndpoints(Int)
    /// An IPv4 address written as IPv6.
    case mappedAddress

    public var description: String {
        switch self {
        case .tooLong(let length):
            "a message of \(length) bytes is longer than the \(PunchMessage.maximumLength) allowed"
        case .truncated: "a message is cut off"
        case .trailingBytes(let count): "\(count) bytes follow a message"
        case .unknownKind(let kind): "kind \(kind) of message is unknown"
        case .badVersion: "a hello names version 0"
        case .unknownMapping(let code): "kind \(code) of NAT is unknown"
        case .unknownPath(let code): "path \(code) is unknown"
        case .unknownFamily(let code): "network \(code) cannot be punched to"
        case .tooManyEndpoints(let count):
            "\(count) addresses are more than the \(PunchMessage.maximumEndpoints) allowed"
        case .mappedAddress: "an IPv4 address is written as IPv6"
        }
    }
}
