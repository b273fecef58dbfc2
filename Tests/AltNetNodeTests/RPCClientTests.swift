// SPDX-License-Identifier: MIT

internal import AltNetBitcoin
internal import AltNetTestKit
internal import Foundation
internal import Glibc
internal import Testing

@testable internal import AltNetNode

@Suite("A call to Bitcoin Core")
struct RPCClientTests {
    private static func client(_ fake: FakeNode) throws -> RPCClient {
        RPCClient(
            endpoint: try CoreEndpoint(url: "http://127.0.0.1:\(fake.port)", network: .regtest, allowRemote: false),
            credentials: fake.cookieFile)
    }

    @Test("ends at its deadline when the node hangs or sends a byte now and then", arguments: ["hang", "drip"])
    func deadline(behaviour: String) async throws {
        var scenario = Scenario()
        scenario.answers["getblockcount"] = #"{"\#(behaviour)": true}"#
        let fake = try await FakeNode(scenario)
        let client = try Self.client(fake)
        let start = ContinuousClock.now
        let bounds = RPCClient.Bounds(bytes: 1_000_000, time: .milliseconds(1_500))
        let error = await #expect(throws: NodeError.self) {
            try await client.call(RPCCall("getblockcount"), bounds, as: Int.self)
        }
        #expect(
            error?.description.contains("did not answer getblockcount within 1 s") == true,
            "\(String(describing: error))")
        #expect(ContinuousClock.now - start < .seconds(30))
        #expect(fake.calls.count == 1)
    }

    @Test("stops reading at its bound", arguments: [true, false])
    func bytes(declared: Bool) async throws {
        var scenario = Scenario()
        scenario.answers["getblockcount"] = #"{"flood": 100000000, "declared": \#(declared)}"#
        let fake = try await FakeNode(scenario)
        let client = try Self.client(fake)
        let bounds = RPCClient.Bounds(bytes: 1_000, time: .seconds(30))
        await #expect(throws: NodeError.tooLarge(limit: 1_000)) {
            try await client.call(RPCCall("getblockcount"), bounds, as: Int.self)
        }
        #expect(try await Condition.value("the node notices") { fake.sentOfFlood } < 20_000_000)
    }
}

@Suite("Waiting for a turn")
struct CallGateTests {
    @Test("keeps the order, and turns away who is too many")
    func order() async throws {
        let gate = CallGate(inside: 1, waiting: 2)
        let (release, inside) = (Wakeup(), Wakeup())
        let first = Task {
            try await gate.pass {
                inside.wake()
                await release.wait()
            }
        }
        await inside.wait()
        let waiting = (0..<3).map { _ in Task { try await gate.pass {} } }
        // One of three finds the queue full.
        var outcomes: [Bool] = []
        await withTaskGroup(of: Bool.self) { group in
            for task in waiting { group.addTask { (try? await task.value) != nil } }
            if let outcome = await group.next() { outcomes.append(outcome) }
            release.wake()
            for await outcome in group { outcomes.append(outcome) }
        }
        #expect(outcomes == [false, true, true])
        try await first.value
        // All have left: there is room again.
        try await gate.pass {}
    }

    @Test("can be given up")
    func cancelled() async throws {
        let gate = CallGate(inside: 1, waiting: 2)
        let (release, inside) = (Wakeup(), Wakeup())
        let first = Task {
            try await gate.pass {
                inside.wake()
                await release.wait()
            }
        }
        await inside.wait()
        let second = Task { try await gate.pass {} }
        second.cancel()
        await #expect(throws: CancellationError.self) { try await second.value }
        release.wake()
        try await first.value
        try await gate.pass {}
    }
}

@Suite("Where Bitcoin Core is")
struct CoreEndpointTests {
    @Test(
        "is read",
        arguments: [
            ("http://127.0.0.1:1234", "http://127.0.0.1:1234"), ("http://localhost", "http://localhost:18443"),
            ("http://127.5.6.7/", "http://127.5.6.7:18443"), ("http://[::1]:8332", "http://[::1]:8332"),
            ("https://node.example:443", "https://node.example:443"),
        ])
    func reads(text: String, url: String) throws {
        #expect(try CoreEndpoint(url: text, network: .regtest, allowRemote: false).url == url)
    }

    @Test(
        "is refused with a reason",
        arguments: [
            ("127.0.0.1:8332", "http://HOST:PORT"), ("ftp://127.0.0.1", "http://HOST:PORT"), ("http://", "no address"),
            ("http://127.0.0.1:8332/wallet/savings", "wallets are never used"),
            ("http://u:p@127.0.0.1", "user or password"),
            ("http://127.0.0.1:0", "no address"), ("http://127.0.0.1:65536", "no address"),
            ("http://::1", "no address"),
            ("http://a b", "no address"), ("http://192.168.1.5:8332", "allow_remote"),
            ("http://node.example", "allow_remote"), ("http://127.0.0.1.example", "allow_remote"),
            ("http://[2001:db8::1]:8332", "allow_remote"), ("http://0x7f.1", "allow_remote"),
            ("http://[::1", "no address"), ("http://[x]", "no address"),
        ])
    func refuses(text: String, reason: String) {
        let error = #expect(throws: NodeError.self) {
            try CoreEndpoint(url: text, network: .regtest, allowRemote: false)
        }
        #expect(error?.description.contains(reason) == true, "\(String(describing: error))")
    }

    @Test("is another machine when the operator says so")
    func remote() throws {
        let endpoint = try CoreEndpoint(url: "http://192.168.1.5", network: .main, allowRemote: true)
        #expect(endpoint.url == "http://192.168.1.5:8332")
    }

    @Test("is on loopback unless told otherwise, with the cookie where Core puts it")
    func defaults() {
        let ports = Network.allCases.map { CoreEndpoint(network: $0).url.split(separator: ":").last }
        #expect(ports == ["8332", "18332", "48332", "38332", "18443"])
        let cookies = Network.allCases.map(\.coreCookieFile)
        #expect(
            cookies == [
                ".cookie", "testnet3/.cookie", "testnet4/.cookie", "signet/.cookie", "regtest/.cookie",
            ])
    }

    @Test(
        "publishes at the address of its RPC when it publishes at all of them",
        arguments: [
            ("tcp://0.0.0.0:5", "127.0.0.1", "tcp://127.0.0.1:5"), ("tcp://*:5", "::1", "tcp://[::1]:5"),
            ("tcp://[::]:5", "10.0.0.1", "tcp://10.0.0.1:5"), ("tcp://127.0.0.1:5", "10.0.0.1", "tcp://127.0.0.1:5"),
            ("ipc:///run/x", "127.0.0.1", "ipc:///run/x"),
        ])
    func publisher(address: String, host: String, expected: String) {
        #expect(CoreFollower.reachable(address, from: host) == expected)
    }
}

@Suite("The cookie of Bitcoin Core")
struct CoreCredentialsTests {
    @Test("is the first line of its file")
    func reads() throws {
        let path = TemporaryDirectory.make() + "/.cookie"
        try "__cookie__:abc\n".write(toFile: path, atomically: false, encoding: .utf8)
        #expect(try CoreCredentials.cookieFile(path).read() == "__cookie__:abc")
        #expect(try CoreCredentials.password(user: "a", password: "b:c").read() == "a:b:c")
    }

    @Test("is missing while Core does not run, and that is said")
    func missing() {
        let error = #expect(throws: NodeError.self) { try CoreCredentials.cookieFile("/nonexistent/.cookie").read() }
        guard case .unreachable(let text) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(text.contains("Bitcoin Core is not running"))
    }

    @Test(
        "is refused when it is something else",
        arguments: [
            "", "nocolon", "a:\u{1}", String(repeating: "a:", count: 600), "é:a",
        ])
    func nonsense(content: String) throws {
        let path = TemporaryDirectory.make() + "/.cookie"
        try content.write(toFile: path, atomically: false, encoding: .utf8)
        let error = #expect(throws: NodeError.self) { try CoreCredentials.cookieFile(path).read() }
        #expect(error?.description.contains("is no cookie file of Bitcoin Core") == true)
    }

    @Test("is no directory and no pipe that never ends")
    func noFile() throws {
        let directory = TemporaryDirectory.make()
        let pipe = "\(directory)/pipe"
        #expect(mkfifo(pipe, 0o600) == 0)
        for path in [directory, pipe, "/dev/zero"] {
            let error = #expect(throws: NodeError.self) { try CoreCredentials.cookieFile(path).read() }
            #expect(error?.description.contains("is no plain file") == true)
        }
    }

    @Test("that this user may not read is explained", .enabled(if: geteuid() != 0, "root may read everything"))
    func unreadable() throws {
        let path = TemporaryDirectory.make() + "/.cookie"
        try "a:b".write(toFile: path, atomically: false, encoding: .utf8)
        #expect(chmod(path, 0) == 0)
        let error = #expect(throws: NodeError.self) { try CoreCredentials.cookieFile(path).read() }
        #expect(error?.description.contains("rpccookieperms=group") == true)
    }
}

@Suite("What tells of changes")
struct SourceTests {
    @Test("is the best that works")
    func choice() {
        typealias Source = CoreFollower.Source
        for follow in BitcoinCoreNode.Follow.allCases {
            #expect(Source.choose(follow, isZMQConnected: true, isWaitRefused: false) == .zmq)
        }
        #expect(Source.choose(.auto, isZMQConnected: false, isWaitRefused: false) == .wait)
        #expect(Source.choose(.auto, isZMQConnected: false, isWaitRefused: true) == .poll)
        #expect(Source.choose(.wait, isZMQConnected: false, isWaitRefused: true) == .poll)
        #expect(Source.choose(.zmq, isZMQConnected: false, isWaitRefused: false) == .poll)
        #expect(Source.choose(.poll, isZMQConnected: false, isWaitRefused: false) == .poll)
    }
}
