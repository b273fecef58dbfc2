// SPDX-License-Identifier: MIT

internal import AltNetBase

/// What is said on one socket of a SAM bridge: the greeting, one command, its answer. After that the socket is a stream,
/// or what keeps a session alive.
///
/// No I/O: bytes come in, steps go out.
struct SAMDialogue: Sendable {
    /// The longest line: a private key of the largest size that is read, and the words around it.
    static let maximumLine = (I2PPrivateKey.maximumSize + 2) / 3 * 4 + 1_024

    enum Command: Sendable {
        case generateKey
        case createSession(id: String, key: I2PPrivateKey, tunnels: SAMTunnels)
        case lookUp(I2PAddress)
        /// - Parameter peer: a destination in base 64, or an address.
        case connect(id: String, peer: String)
        case accept(id: String)

        /// The words that start the command, for people.
        var name: String {
            switch self {
            case .generateKey: "DEST GENERATE"
            case .createSession: "SESSION CREATE"
            case .lookUp: "NAMING LOOKUP"
            case .connect: "STREAM CONNECT"
            case .accept: "STREAM ACCEPT"
            }
        }
    }

    enum Step: Hashable, Sendable {
        case send([UInt8])
        case key(I2PPrivateKey)
        case session
        case destination(I2PDestination)
        /// The bridge waits for a peer from now on.
        case accepting
        /// The socket is a stream from now on. What came of it already is in ``SAMDialogue/rest``.
        case stream(from: I2PDestination?)
    }

    private enum State: Hashable {
        case greeting
        case asked
        case accepting
        /// A session's socket, on which the bridge may ask whether we are there.
        case session
        case stream
        case over
    }

    private let command: Command
    private let credentials: SAMCredentials?
    private var state = State.greeting
    private var line: [UInt8] = []
    /// What came after the last line: the first bytes of a stream.
    private(set) var rest: [UInt8] = []

    init(_ command: Command, credentials: SAMCredentials? = nil) {
        self.command = command
        self.credentials = credentials
    }

    /// Whether what comes now is the stream's.
    var isStream: Bool { self.state == .stream }

    /// What is held of a line that is not complete.
    var held: Int { self.line.count }

    /// The first bytes of the stream, once.
    mutating func takeRest() -> [UInt8] {
        defer { self.rest = [] }
        return self.rest
    }

    /// What to send first.
    func start() -> [UInt8] {
        guard let credentials else { return Array("HELLO VERSION MIN=3.1 MAX=3.1\n".utf8) }
        // A name and a password came with version 3.2.
        return Array(
            "HELLO VERSION MIN=3.1 MAX=3.2 USER=\(credentials.quotedUser) PASSWORD=\(credentials.quotedPassword)\n".utf8
        )
    }

    /// Takes bytes, cut anywhere.
    mutating func receive(_ bytes: some Collection<UInt8>) throws(SAMError) -> [Step] {
        var steps: [Step] = []
        var index = bytes.startIndex
        while index < bytes.endIndex {
            guard self.state != .stream else {
                self.rest += Array(bytes[index...])
                break
            }
            let byte = bytes[index]
            bytes.formIndex(after: &index)
            guard byte == UInt8(ascii: "\n") else {
                guard self.line.count < Self.maximumLine else { throw .malformed("a line is too long") }
                self.line.append(byte)
                continue
            }
            let line = self.line
            self.line = []
            if let step = try self.end(line) { steps.append(step) }
        }
        return steps
    }

    private mutating func end(_ line: [UInt8]) throws(SAMError) -> Step? {
        switch self.state {
        case .greeting:
            let reply = try SAMReply(line: line)
            try reply.expect("HELLO", "REPLY", to: "HELLO")
            let version = try reply.value("VERSION", of: "HELLO")
            guard version == "3.1" || (self.credentials != nil && version == "3.2") else {
                throw .malformed("it chose a version that was not offered")
            }
            self.state = .asked
            return .send(Array((self.text + "\n").utf8))
        case .asked: return try self.answer(try SAMReply(line: line))
        case .accepting:
            // A peer's destination, and with version 3.2 its ports; or word of a failure.
            let words = line.split(separator: UInt8(ascii: " "), maxSplits: 1)
            guard let first = words.first, !first.elementsEqual("STREAM".utf8) else {
                try SAMReply(line: line).expect("STREAM", "STATUS", to: self.command.name)
                throw .malformed("it accepts twice")
            }
            let peer = try I2PDestination(base64: String(decoding: first, as: UTF8.self))
            self.state = .stream
            return .stream(from: peer)
        case .session:
            let reply = try SAMReply(line: line)
            if reply.topic == "PING" {
                return .send(Array("PONG".utf8) + line.dropFirst(4) + [UInt8(ascii: "\n")])
            }
            try reply.expect("SESSION", "STATUS", to: "SESSION")
            return nil
        case .stream, .over: throw .malformed("it says more than was asked")
        }
    }

    private mutating func answer(_ reply: SAMReply) throws(SAMError) -> Step {
        let name = self.command.name
        switch self.command {
        case .generateKey:
            guard reply.topic == "DEST", reply.kind == "REPLY" else {
                throw .malformed("\(name) is answered by another message")
            }
            // Only a failure has a result.
            if reply.values["RESULT"] != nil { try reply.expect("DEST", "REPLY", to: name) }
            let key = try I2PPrivateKey(try reply.value("PRIV", of: name))
            let destination = try I2PDestination(base64: try reply.value("PUB", of: name))
            guard key.destination == destination else { throw .wrongKey }
            self.state = .over
            return .key(key)
        case .createSession(_, let key, _):
            try reply.expect("SESSION", "STATUS", to: name)
            // The form of the private part is the router's; the destination must be ours.
            guard let made = try? I2PPrivateKey(try reply.value("DESTINATION", of: name)),
                made.destination == key.destination
            else { throw .wrongKey }
            self.state = .session
            return .session
        case .lookUp(let address):
            try reply.expect("NAMING", "REPLY", to: name)
            let destination = try I2PDestination(base64: try reply.value("VALUE", of: name))
            guard destination.address == address else { throw .wrongDestination }
            self.state = .over
            return .destination(destination)
        case .connect:
            try reply.expect("STREAM", "STATUS", to: name)
            self.state = .stream
            return .stream(from: nil)
        case .accept:
            try reply.expect("STREAM", "STATUS", to: name)
            self.state = .accepting
            return .accepting
        }
    }

    private var text: String {
        switch self.command {
        // 7 is EdDSA with SHA-512 on Ed25519.
        case .generateKey: "DEST GENERATE SIGNATURE_TYPE=7"
        case .createSession(let id, let key, let tunnels):
            "SESSION CREATE STYLE=STREAM ID=\(id) DESTINATION=\(key.text) \(tunnels.options)"
        case .lookUp(let address): "NAMING LOOKUP NAME=\(address)"
        case .connect(let id, let peer): "STREAM CONNECT ID=\(id) DESTINATION=\(peer) SILENT=false"
        case .accept(let id): "STREAM ACCEPT ID=\(id) SILENT=false"
        }
    }
}

/// The name and password that some bridges want.
public struct SAMCredentials: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    /// The longest name or password, in bytes.
    static let maximumLength = 255

    private let user: String
    private let password: String

    /// - Throws: ``SAMError/badSetting(_:)`` for what would not be one word of a line.
    public init(user: String, password: String) throws(SAMError) {
        for text in [user, password] {
            guard (1...Self.maximumLength).contains(text.utf8.count),
                text.utf8.allSatisfy({ (0x20...0x7e).contains($0) })
            else {
                throw .badSetting("the user name and the password of the SAM bridge are 1 to 255 printable characters")
            }
        }
        self.user = user
        self.password = password
    }

    var quotedUser: String { Self.quoted(self.user) }
    var quotedPassword: String { Self.quoted(self.password) }

    private static func quoted(_ text: String) -> String {
        "\"" + text.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : "\($0)" }.joined() + "\""
    }

    /// Never the password.
    public var description: String { "SAMCredentials(redacted)" }

    /// Shows no children, so that `dump` cannot print the password either.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// The tunnels of a session.
public struct SAMTunnels: Hashable, Sendable {
    /// Routers in a tunnel, in each direction: 3 hides us as I2P means it, 0 not at all.
    public let length: Int
    /// Tunnels in each direction.
    public let quantity: Int

    /// Three hops, as I2P means it. Three tunnels each way: i2pd builds two at once, and publishes the destination for
    /// certain only when a third one follows (seen with 2.45.1).
    public static let standard = SAMTunnels(length: 3, quantity: 3)

    /// Values beyond I2P's own limits are brought within: 0 to 7 hops, 1 to 16 tunnels.
    public init(length: Int, quantity: Int) {
        self.length = min(max(length, 0), 7)
        self.quantity = min(max(quantity, 1), 16)
    }

    /// Both kinds of encryption, the newer one first, so that every router's peers can answer.
    var options: String {
        "inbound.length=\(self.length) outbound.length=\(self.length) inbound.quantity=\(self.quantity) "
            + "outbound.quantity=\(self.quantity) i2cp.leaseSetEncType=4,0"
    }
}
