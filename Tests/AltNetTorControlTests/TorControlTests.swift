// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetTestKit
import Foundation
import Synchronization
import Testing

@testable import AltNetTorControl

@Suite("TorControlConnection")
struct TorControlTests {
    static let tools = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Tools")

    /// A control port that keeps to a script.
    struct FakeTor {
        let process: BackgroundProcess
        let port: TorControlPort

        var commands: [Substring] { self.process.output.split(separator: "\n").dropFirst().map { $0 } }

        static func start(
            _ methods: String, _ behaviour: String = "", cookie: [UInt8] = Array(repeating: 7, count: 32)
        ) async throws -> FakeTor {
            let file = TemporaryDirectory.make() + "/cookie"
            #expect(FileManager.default.createFile(atPath: file, contents: Data(cookie)))
            let process = try BackgroundProcess(
                "/usr/bin/python3",
                [TorControlTests.tools.appending(path: "fake_tor.py").path, file, methods, behaviour])
            let port = try await Condition.value("the port") {
                process.output.split(separator: "\n").first.flatMap { UInt16($0) }
            }
            return FakeTor(process: process, port: .tcp(host: "127.0.0.1", port: port))
        }
    }

    @Test(
        "proves itself by whatever Tor offers, the cookie unsent where that is possible",
        arguments: [
            ("COOKIE,SAFECOOKIE", nil), ("COOKIE", nil), ("HASHEDPASSWORD", "pass word\""), ("NULL", nil),
            ("COOKIE,SAFECOOKIE,HASHEDPASSWORD", "pass word\""),
        ] as [(String, String?)])
    func authenticates(_ methods: String, _ password: String?) async throws {
        let tor = try await FakeTor.start(methods)
        let connection = try await TorControlConnection.connect(to: tor.port)
        try await connection.authenticate(password: password)
        let (name, key) = try await connection.addOnion(key: nil, virtualPort: 9735, target: .loopback(port: 19735))
        #expect(name.utf8.count == 56 && key == "ED25519-V3:key-of-\(name)")
        let again = try await connection.addOnion(key: key, virtualPort: 9735, target: .unix(path: "/tmp/a"))
        #expect(again.serviceID == name && again.newKey == nil)
        try await connection.deleteOnion(name)
        await #expect(
            throws: TorControlError.refused(
                command: "DEL_ONION", status: 552, UntrustedText("Unknown Onion Service id"))
        ) { try await connection.deleteOnion("x") }
        let commands = tor.commands
        #expect(commands.contains("ADD_ONION NEW:ED25519-V3 Port=9735,127.0.0.1:19735"))
        #expect(commands.contains("ADD_ONION ED25519-V3:key-of-\(name) Port=9735,unix:/tmp/a"))
        let cookie = Hex.encode([UInt8](repeating: 7, count: 32))
        #expect(commands.contains { $0.contains(cookie) } == (methods == "COOKIE"))
        connection.close()
        await connection.waitForEnd()
        await #expect(throws: TorControlError.closed) { try await connection.deleteOnion("x") }
    }

    @Test(
        "refuses by name what is not Tor, or does not know the cookie, or wants what we do not have",
        arguments: [
            ("COOKIE,SAFECOOKIE", "wrong-hash", "does not know the cookie"), ("NULL", "garbage", "does not speak Tor"),
            ("NULL", "endless-line", "a line is too long"), ("NULL", "endless-reply", "too many lines"),
            ("NULL", "lf-only", "without CR"), ("NULL", "unasked", "does not speak Tor"),
            ("NULL", "twice", "does not speak Tor"),
            ("HASHEDPASSWORD", "", "HASHEDPASSWORD; set CookieAuthentication"),
            ("SAFECOOKIE,COOKIE", "short-cookie", "has not 32 bytes"),
        ])
    func refuses(_ methods: String, _ behaviour: String, _ part: String) async throws {
        let tor = try await FakeTor.start(
            methods, behaviour, cookie: Array(repeating: 7, count: behaviour == "short-cookie" ? 31 : 32))
        let connection = try await TorControlConnection.connect(to: tor.port)
        do {
            try await connection.authenticate(password: nil)
            Issue.record("no error")
        } catch {
            #expect("\(error)".contains(part), "\(error)")
            #expect(!"\(error)".contains("\u{1b}"))
        }
        // Nothing more is said to who is not Tor.
        if behaviour == "wrong-hash" { #expect(!tor.commands.contains { $0.hasPrefix("AUTHENTICATE") }) }
    }

    @Test("a wrong password, a closed port and a key that would be two commands are refused by name")
    func otherRefusals() async throws {
        let tor = try await FakeTor.start("HASHEDPASSWORD")
        let connection = try await TorControlConnection.connect(to: tor.port)
        await #expect(
            throws: TorControlError.refused(
                command: "AUTHENTICATE", status: 515, UntrustedText("Authentication failed: Wrong\u{1b}[31m"))
        ) { try await connection.authenticate(password: "wrong") }
        await #expect(throws: TorControlError.self) {
            try await connection.addOnion(key: "ED25519-V3:a\r\nQUIT", virtualPort: 1, target: .loopback(port: 1))
        }
        await #expect(throws: TorControlError.self) {
            try await connection.addOnion(key: nil, virtualPort: 1, target: .unix(path: "/a b"))
        }
        let free = try FreePort.find()
        do {
            _ = try await TorControlConnection.connect(to: .tcp(host: "127.0.0.1", port: free))
            Issue.record("no error")
        } catch {
            #expect("\(error)" == "Tor's control port cannot be reached: Connection refused")
        }
    }

    @Test("an onion service is protected against floods as far as Tor knows how", arguments: ["", "no-puzzles"])
    func protection(_ behaviour: String) async throws {
        let tor = try await FakeTor.start("NULL", behaviour)
        let connection = try await TorControlConnection.connect(to: tor.port)
        try await connection.authenticate(password: nil)
        let (name, _) = try await connection.addOnion(
            key: nil, virtualPort: 1, target: .loopback(port: 2),
            protection: OnionProtection(streamsPerCircuit: 3, hasPuzzles: true))
        #expect(name.utf8.count == 56)
        let streams = "ADD_ONION NEW:ED25519-V3 Flags=MaxStreamsCloseCircuit MaxStreams=3"
        let commands: [String] = tor.commands.filter { $0.hasPrefix("ADD_ONION") }.map { String($0) }
        let plain = behaviour.isEmpty ? [] : ["\(streams) Port=1,127.0.0.1:2"]
        #expect(commands == ["\(streams) PoWDefensesEnabled=1 Port=1,127.0.0.1:2"] + plain)
        connection.close()
    }

    @Test("onion services come back under their keys when Tor was away, and a refused one does not stop the rest")
    func services() async throws {
        let tor = try await FakeTor.start("SAFECOOKIE,COOKIE", "drop-after-onion")
        let services = OnionServices(
            at: tor.port, password: nil,
            services: [OnionService(name: "a", key: nil, virtualPort: 1, target: .loopback(port: 2))])
        let events = Mutex<[String]>([])
        let task = Task {
            await services.run { event in
                events.withLock { events in
                    switch event {
                    case .up(let name, let id, let key): events.append("up \(name) \(id.prefix(1)) \(key != nil)")
                    case .refused(let name, _): events.append("refused \(name)")
                    case .down: events.append("down")
                    }
                }
            }
        }
        try await Condition.wait("it is up again") { events.withLock { $0.count >= 3 } }
        task.cancel()
        #expect(events.withLock { Array($0.prefix(3)) } == ["up a a true", "down", "up a a false"])
        await task.value
    }

    @Test(
        "a reply is put together from any pieces, with lines of data skipped", arguments: 1...50 as ClosedRange<UInt64>)
    func parser(_ seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let text = "250-a=1\r\n250+data=\r\n250 not the end\r\n.. x\r\n.\r\n250 OK\r\n650 EVENT\r\n512 b\r\n"
        var parser = TorReplyParser()
        var rest = Array(text.utf8)[...]
        var replies: [TorReply] = []
        while !rest.isEmpty {
            let piece = rest.prefix(Int.random(in: 1...9, using: &random))
            replies += try parser.append(piece)
            rest = rest.dropFirst(piece.count)
        }
        #expect(replies.map(\.status) == [250, 650, 512])
        #expect(replies[0].lines == ["a=1", "data=", "OK"] && replies[0].value("a") == "1")
    }

    @Test("random bytes never hold more than a line and its reply", arguments: 1...50 as ClosedRange<UInt64>)
    func noise(_ seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var parser = TorReplyParser()
        // Lines that go on, in which anything may stand, until one of them or their number is too much.
        #expect(throws: TorControlError.self) {
            while true {
                let noise = random.bytes(Int.random(in: 0...400, using: &random)).filter { $0 != 10 }
                _ = try parser.append(Array("250-".utf8) + noise + (Bool.random(using: &random) ? [13, 10] : [65]))
                #expect(parser.held.bytes <= TorReplyParser.maximumLine)
                #expect(parser.held.lines <= TorReplyParser.maximumLines)
            }
        }
    }

    @Test("the proofs of SAFECOOKIE are those that Tor computes")
    func proofs() {
        // Computed with Python's hmac; that Tor agrees is what the tests with a real one show.
        let proofs = TorAuthentication.proofs(
            cookie: Array(repeating: 1, count: 32), clientNonce: Array(repeating: 2, count: 32),
            serverNonce: Array(repeating: 3, count: 32))
        #expect(Hex.encode(proofs.server) == "1830d2de6e061e60adfa2c0c2a9257b7126e51b074f39bd4519d89229df08827")
        #expect(Hex.encode(proofs.client) == "8d81b806c8314911da68057896783b1f28f640a588c9a2cfe902d371806bbf1a")
    }

    @Test("paths of cookies are read with their escapes")
    func paths() throws {
        func info(_ text: String) throws -> String? {
            try TorAuthentication(TorReply(status: 250, lines: ["PROTOCOLINFO 1", text, "OK"])).cookieFile
        }
        #expect(try info(#"AUTH METHODS=COOKIE,SAFECOOKIE COOKIEFILE="/a\"b\\c\303\266""#) == #"/a"b\cö"#)
        #expect(try info("AUTH METHODS=NULL") == nil)
        #expect(throws: TorControlError.self) { try info(#"AUTH METHODS=COOKIE COOKIEFILE="/a\"#) }
        #expect(throws: TorControlError.self) { try info("nothing") }
    }
}
