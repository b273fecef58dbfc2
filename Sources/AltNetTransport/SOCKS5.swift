// SPDX-License-Identifier: MIT

/// A user name and a password for a SOCKS5 proxy (RFC 1929). Tor never lets connections that differ in them share a
/// circuit (`IsolateSOCKSAuth`), so a fresh pair keeps a connection apart from everything else.
public struct ProxyCredentials: Hashable, Sendable, CustomStringConvertible {
    let user: [UInt8]
    let password: [UInt8]

    /// - Returns: `nil` unless both have 1 to 255 bytes, as RFC 1929 wants it.
    public init?(user: String, password: String) {
        self.user = Array(user.utf8)
        self.password = Array(password.utf8)
        guard (1...255).contains(self.user.count), (1...255).contains(self.password.count) else { return nil }
    }

    /// A pair that nobody has used before: 128 random bits each.
    public static func fresh() -> ProxyCredentials {
        ProxyCredentials(randomUser: Self.random(), randomPassword: Self.random())
    }

    private init(randomUser: [UInt8], randomPassword: [UInt8]) {
        self.user = randomUser
        self.password = randomPassword
    }

    private static func random() -> [UInt8] {
        let digits = Array("0123456789abcdef".utf8)
        return (0..<32).map { _ in digits[Int.random(in: 0..<digits.count)] }
    }

    /// Never what they are.
    public var description: String { "ProxyCredentials(redacted)" }
}

/// Why a SOCKS5 proxy does not connect us. Names no address.
public enum SOCKS5Failure: Error, Hashable, Sendable, CustomStringConvertible {
    /// It speaks something else.
    case malformed
    /// It wants an authentication that we do not offer.
    case noMethod
    /// It does not take the user name and password.
    case notAuthenticated
    /// It tells why it cannot connect, in the numbers of RFC 1928, section 6.
    case refused(UInt8)
    /// The host is no name that a request can hold.
    case badName

    public var description: String {
        switch self {
        case .malformed: "the proxy does not speak SOCKS5"
        case .noMethod: "the proxy wants another authentication"
        case .notAuthenticated: "the proxy refuses the user name and the password"
        case .badName: "the name is longer than 255 bytes"
        case .refused(let code):
            switch code {
            case 1: "the proxy failed"
            case 2: "the proxy's rules do not allow the connection"
            case 3: "the proxy cannot reach the network"
            case 4: "the proxy cannot reach the host"
            case 5: "the host refused the proxy's connection"
            case 6: "the proxy's connection took too long"
            case 7: "the proxy does not know the command"
            case 8: "the proxy does not know such addresses"
            // Tor's own numbers for onion services (its socks-extensions), where it was told to use them.
            case 0xf0: "the onion service's descriptor cannot be found"
            case 0xf1: "the onion service's descriptor is invalid"
            case 0xf2: "the introduction to the onion service failed"
            case 0xf3: "the rendezvous with the onion service failed"
            case 0xf4, 0xf5: "the onion service wants to know who calls"
            case 0xf6: "the name of the onion service is invalid"
            case 0xf7: "the introduction to the onion service took too long"
            default: "the proxy refuses with number \(code)"
            }
        }
    }
}

/// The client's side of SOCKS5 (RFC 1928) with `CONNECT`, until the proxy has connected us. The proxy resolves the name.
///
///     greeting ──method──▶ (credentials ──status──▶) request ──reply──▶ connected
///
/// Holds at most one reply, 262 bytes.
struct SOCKS5Handshake: Sendable {
    private enum Stage: Hashable {
        case method, status, reply, connected
    }

    private static let version: UInt8 = 5

    private let credentials: ProxyCredentials?
    private let request: [UInt8]
    private var stage = Stage.method
    private var received: [UInt8] = []

    init(to remote: HostAndPort, credentials: ProxyCredentials?) throws(SOCKS5Failure) {
        let name = Array(remote.host.utf8)
        guard let length = UInt8(exactly: name.count), length > 0 else { throw .badName }
        self.credentials = credentials
        self.request =
            [Self.version, 1, 0, 3, length] + name + [UInt8(remote.port >> 8), UInt8(truncatingIfNeeded: remote.port)]
    }

    /// What is sent first. With credentials nothing else is offered: a proxy that ignored them would mix circuits.
    var greeting: [UInt8] { [Self.version, 1, self.credentials == nil ? 0 : 2] }

    var isConnected: Bool { self.stage == .connected }

    /// Takes bytes, cut anywhere, and gives what to send.
    mutating func receive(_ bytes: [UInt8]) throws(SOCKS5Failure) -> [UInt8] {
        self.received += bytes
        var output: [UInt8] = []
        while let more = try self.step() { output += more }
        return output
    }

    /// What came after the proxy's last word: the other side's first bytes.
    mutating func takeRest() -> [UInt8] {
        defer { self.received = [] }
        return self.received
    }

    /// Takes one message of the proxy; `nil` when it is not complete.
    private mutating func step() throws(SOCKS5Failure) -> [UInt8]? {
        switch self.stage {
        case .method:
            guard let message = self.take(2) else { return nil }
            guard message[0] == Self.version else { throw .malformed }
            guard message[1] == (self.credentials == nil ? 0 : 2) else { throw .noMethod }
            guard let credentials = self.credentials else {
                self.stage = .reply
                return self.request
            }
            self.stage = .status
            return [1, UInt8(truncatingIfNeeded: credentials.user.count)] + credentials.user
                + [UInt8(truncatingIfNeeded: credentials.password.count)] + credentials.password
        case .status:
            guard let message = self.take(2) else { return nil }
            guard message[0] == 1 else { throw .malformed }
            guard message[1] == 0 else { throw .notAuthenticated }
            self.stage = .reply
            return self.request
        case .reply:
            guard let length = try self.replyLength(), self.take(length) != nil else { return nil }
            self.stage = .connected
            return []
        case .connected: return nil
        }
    }

    private mutating func take(_ count: Int) -> [UInt8]? {
        guard self.received.count >= count else { return nil }
        defer { self.received.removeFirst(count) }
        return Array(self.received.prefix(count))
    }

    /// How long the reply is; `nil` when that has not come yet. A refusal is told as soon as it is seen.
    private func replyLength() throws(SOCKS5Failure) -> Int? {
        guard self.received.count >= 2 else { return nil }
        guard self.received[0] == Self.version else { throw .malformed }
        guard self.received[1] == 0 else { throw .refused(self.received[1]) }
        guard self.received.count >= 5 else { return nil }
        switch self.received[3] {
        case 1: return 4 + 4 + 2
        case 3: return 4 + 1 + Int(self.received[4]) + 2
        case 4: return 4 + 16 + 2
        default: throw .malformed
        }
    }
}
