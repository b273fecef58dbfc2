// SPDX-License-Identifier: MIT

import Testing

@testable import AltNetTransport

/// The bytes are those of RFC 1928 and RFC 1929.
@Suite("SOCKS5")
struct SOCKS5Tests {
    private static let remote = HostAndPort(host: "abc.onion", port: 8333)
    private static let request: [UInt8] = [5, 1, 0, 3, 9] + Array("abc.onion".utf8) + [0x20, 0x8d]
    private static let reply: [UInt8] = [5, 0, 0, 1, 127, 0, 0, 1, 0, 80]

    private static func credentials() throws -> ProxyCredentials {
        try #require(ProxyCredentials(user: "me", password: "word"))
    }

    @Test("without credentials, the request follows the greeting")
    func plain() throws {
        var handshake = try SOCKS5Handshake(to: Self.remote, credentials: nil)
        #expect(handshake.greeting == [5, 1, 0])
        #expect(try handshake.receive([5, 0]) == Self.request)
        #expect(try handshake.receive(Self.reply) == [])
        #expect(handshake.isConnected)
    }

    @Test("with credentials, nothing else is offered, and they come before the request")
    func credentials() throws {
        var handshake = try SOCKS5Handshake(to: Self.remote, credentials: try Self.credentials())
        #expect(handshake.greeting == [5, 1, 2])
        #expect(try handshake.receive([5, 2]) == [1, 2] + Array("me".utf8) + [4] + Array("word".utf8))
        #expect(try handshake.receive([1, 0]) == Self.request)
        #expect(try handshake.receive(Self.reply) == [])
        #expect(handshake.isConnected)
    }

    @Test(
        "whatever address the proxy names, cut anywhere, the rest is the other side's",
        arguments: [
            [1, 127, 0, 0, 1, 0, 80], [3, 3, 97, 98, 99, 0, 80], [4] + [UInt8](repeating: 7, count: 18),
        ] as [[UInt8]])
    func cut(address: [UInt8]) throws {
        let all = [5, 0] + [5, 0, 0] + address + Array("hello".utf8)
        for first in 0...all.count {
            var handshake = try SOCKS5Handshake(to: Self.remote, credentials: nil)
            let sent = try handshake.receive(Array(all[..<first])) + handshake.receive(Array(all[first...]))
            #expect(sent == Self.request)
            #expect(handshake.isConnected)
            #expect(handshake.takeRest() == Array("hello".utf8))
        }
    }

    @Test("a refusal is told in words as soon as it is seen")
    func refused() throws {
        var handshake = try SOCKS5Handshake(to: Self.remote, credentials: nil)
        _ = try handshake.receive([5, 0])
        let failure = #expect(throws: SOCKS5Failure.self) { try handshake.receive([5, 4]) }
        #expect(failure == .refused(4))
        #expect(failure?.description == "the proxy cannot reach the host")
    }

    @Test("a proxy that ignores credentials is not used: it would mix circuits")
    func ignored() throws {
        var handshake = try SOCKS5Handshake(to: Self.remote, credentials: try Self.credentials())
        #expect(throws: SOCKS5Failure.noMethod) { try handshake.receive([5, 0]) }
        var refused = try SOCKS5Handshake(to: Self.remote, credentials: try Self.credentials())
        _ = try refused.receive([5, 2])
        #expect(throws: SOCKS5Failure.notAuthenticated) { try refused.receive([1, 1]) }
    }

    @Test(
        "what is no SOCKS5 is refused",
        arguments: [[4, 0], [5, 0, 4, 0], [5, 0, 5, 0, 0, 2, 0, 0, 0, 0]] as [[UInt8]])
    func malformed(bytes: [UInt8]) throws {
        var handshake = try SOCKS5Handshake(to: Self.remote, credentials: nil)
        #expect(throws: SOCKS5Failure.malformed) { try handshake.receive(bytes) }
    }

    @Test("a name that does not fit a request is refused, as are credentials that do not")
    func lengths() {
        let long = String(repeating: "a", count: 256)
        #expect(throws: SOCKS5Failure.badName) {
            try SOCKS5Handshake(to: HostAndPort(host: long, port: 1), credentials: nil)
        }
        #expect(ProxyCredentials(user: long, password: "x") == nil)
        #expect(ProxyCredentials(user: "x", password: "") == nil)
    }

    @Test("fresh credentials are never the same, and are not printed")
    func fresh() {
        let pairs = Set((0..<100).map { _ in ProxyCredentials.fresh() })
        #expect(pairs.count == 100)
        #expect(pairs.allSatisfy { $0.user.count == 32 && $0.password.count == 32 && $0.user != $0.password })
        #expect("\(ProxyCredentials.fresh())" == "ProxyCredentials(redacted)")
    }
}
