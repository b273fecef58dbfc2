// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetTestKit
import AltNetTransport
import Foundation
import Synchronization
import Testing

@testable import AltNetSAM

/// A bridge that connects its own clients to each other: Tests/Tools/fake_sam.py.
struct FakeSAM {
    static let program = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Tools/fake_sam.py").path

    let process: BackgroundProcess
    let address: HostAndPort

    var bridge: SAMBridge { SAMBridge(at: self.address) }
    /// What the bridge was told, and what it did.
    var log: [Substring] { self.process.output.split(separator: "\n").dropFirst().map { $0 } }

    static func start(_ behaviour: String = "", _ arguments: [String] = []) async throws -> FakeSAM {
        let process = try BackgroundProcess(
            "/usr/bin/python3", [Self.program, "--behaviour", behaviour] + arguments)
        let port = try await Condition.value("the bridge's port") {
            process.output.split(separator: "\n").first.flatMap { UInt16($0) }
        }
        return FakeSAM(process: process, address: HostAndPort(host: "127.0.0.1", port: port))
    }
}

/// Collects what arrives on a stream.
final class Received: Sendable {
    private struct State {
        var bytes: [UInt8] = []
        var end: String?
        var stream: SAMStream?
    }

    private let state = Mutex(State())

    var bytes: [UInt8] { self.state.withLock { $0.bytes } }
    var end: String? { self.state.withLock { $0.end } }

    var onEvent: @Sendable (StreamConnection.Event) -> Void {
        { event in
            switch event {
            case .bytes(let bytes):
                self.state.withLock { $0.bytes += bytes }
                self.state.withLock { $0.stream }?.readMore()
            case .closed(let why): self.state.withLock { $0.end = $0.end ?? why }
            }
        }
    }

    /// Reads from now on.
    func read(_ stream: SAMStream) {
        self.state.withLock { $0.stream = stream }
        stream.readMore()
    }

    func wait(for bytes: [UInt8], _ what: String) async throws {
        try await Condition.wait(what) { self.bytes.count >= bytes.count || self.end != nil }
        // Not compared by `#expect`, which would look for the difference for hours.
        let isSame = self.bytes == bytes
        #expect(isSame, "\(what)")
    }
}

@Suite("SAMSession with a scripted bridge")
struct SAMBridgeTests {
    @Test(
        "two sessions connect to each other by address, name each other and exchange a megabyte both ways",
        arguments: ["", "split", "no-names", "glued", "ping"])
    func connects(_ behaviour: String) async throws {
        let sam = try await FakeSAM.start(behaviour)
        let alice = try await SAMSession.open(at: sam.bridge, key: nil)
        let bob = try await SAMSession.open(at: sam.bridge, key: nil)
        let atAlice = Received()
        let atBob = Received()
        async let accepting = alice.accept(onEvent: atAlice.onEvent)
        let toAlice = try await bob.connect(to: alice.address, onEvent: atBob.onEvent)
        var random = SeededRandom(seed: 1)
        let fromBob = random.bytes(behaviour == "split" ? 10_000 : 1 << 20)
        let fromAlice = random.bytes(fromBob.count)
        async let writing: Void = toAlice.write(fromBob)
        let toBob = try await accepting
        #expect(toBob.peer == bob.address && toBob.remote == "\(bob.address)" && toAlice.peer == alice.address)
        atAlice.read(toBob)
        atBob.read(toAlice)
        try await toBob.write(fromAlice)
        try await writing
        try await atAlice.wait(for: fromBob, "Bob's bytes at Alice's")
        try await atBob.wait(for: fromAlice, "Alice's bytes at Bob's")
        toBob.close()
        try await Condition.wait("Bob learns that it is over") { atBob.end != nil }
        alice.close()
        bob.close()
    }

    @Test("a stored key brings the same address back, each session has its own name and tunnels")
    func keys() async throws {
        let sam = try await FakeSAM.start()
        let first = try await SAMSession.open(
            at: sam.bridge, key: nil, tunnels: SAMTunnels(length: 2, quantity: 4))
        let duplicate = await #expect(throws: SAMError.self) {
            try await SAMSession.open(at: sam.bridge, key: first.key)
        }
        #expect(duplicate?.description == "the I2P router refuses SESSION CREATE: the destination is in use already")
        first.close()
        #expect(await first.waitForEnd() == .closed)
        try await Condition.wait("the bridge sees it") { sam.log.contains { $0.hasPrefix("CLOSED") } }
        let stored = try I2PPrivateKey(first.key.text)
        let second = try await SAMSession.open(at: sam.bridge, key: stored)
        #expect(second.address == first.address)
        let other = try await SAMSession.open(at: sam.bridge, key: nil)
        #expect(other.address != first.address)
        let created = sam.log.filter { $0.hasPrefix("SESSION CREATE") }
        let names = created.compactMap { $0.split(separator: " ").first { $0.hasPrefix("ID=") } }
        #expect(Set(names).count == 4)
        #expect(created[0].contains("inbound.length=2 outbound.length=2 inbound.quantity=4 outbound.quantity=4"))
        second.close()
        other.close()
    }

    @Test("each stream is accepted by a call of its own, and those in between wait")
    func severalStreams() async throws {
        let sam = try await FakeSAM.start()
        let alice = try await SAMSession.open(at: sam.bridge, key: nil)
        let bob = try await SAMSession.open(at: sam.bridge, key: nil)
        let sides = (0..<4).map { _ in Received() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<4 as Range<UInt8> {
                group.addTask {
                    let stream = try await bob.connect(to: alice.address) { _ in }
                    try await stream.write([number])
                }
            }
            for side in sides {
                let stream = try await alice.accept(onEvent: side.onEvent)
                side.read(stream)
            }
            try await group.waitForAll()
        }
        try await Condition.wait("every stream has its byte") { sides.allSatisfy { $0.bytes.count == 1 } }
        #expect(Set(sides.map(\.bytes)) == [[0], [1], [2], [3]])
        #expect(sam.log.count { $0.hasPrefix("NAMING") } == 0)
        alice.close()
        bob.close()
    }

    @Test("a peer that is not there, and an address that nobody has, are refused by name")
    func unreachable() async throws {
        let sam = try await FakeSAM.start("no-names")
        let session = try await SAMSession.open(at: sam.bridge, key: nil)
        let nobody = try SampleKey.make().destination.address
        let error = await #expect(throws: SAMError.self) { try await session.connect(to: nobody) { _ in } }
        #expect(error == .refused(command: "NAMING LOOKUP", .keyNotFound, UntrustedText("")))
        let gone = try await SAMSession.open(at: sam.bridge, key: nil)
        gone.close()
        try await Condition.wait("the bridge sees it") { sam.log.contains { $0.hasPrefix("CLOSED") } }
        let offline = await #expect(throws: SAMError.self) { try await session.connect(to: gone.address) { _ in } }
        #expect(
            offline?.description
                == "the I2P router refuses STREAM CONNECT: the peer cannot be reached (LeaseSet not found)")
        session.close()
    }

    @Test(
        "what is not SAM, or lies, is refused by name",
        arguments: [
            ("garbage", "does not speak SAM 3.1"), ("endless-line", "a line is too long"),
            ("control-characters", "control characters"), ("twice", "a value twice"),
            ("no-result", "without a result"), ("open-quote", "no end"), ("many-values", "too many values"),
            ("old-version", "refuses HELLO: it does not speak SAM 3.1"), ("later-version", "was not offered"),
            ("no-session", #"refuses SESSION CREATE: the router failed (no "tunnels" could be built)"#),
            ("wrong-key", "with another key"),
        ])
    func refuses(_ behaviour: String, _ part: String) async throws {
        let sam = try await FakeSAM.start(behaviour)
        let error = await #expect(throws: SAMError.self) { try await SAMSession.open(at: sam.bridge, key: nil) }
        #expect(error?.description.contains(part) == true, "\(error?.description ?? "no error")")
        #expect(sam.process.isRunning)
    }

    @Test(
        "a router that names a stranger, or nothing, is refused",
        arguments: [("wrong-destination", "does not belong"), ("bad-destination", "does not speak SAM")])
    func wrongDestination(_ behaviour: String, _ part: String) async throws {
        let sam = try await FakeSAM.start("no-names,\(behaviour)")
        let session = try await SAMSession.open(at: sam.bridge, key: nil)
        let address = try SampleKey.make().destination.address
        let error = await #expect(throws: SAMError.self) { try await session.connect(to: address) { _ in } }
        #expect(error?.description.contains(part) == true, "\(error?.description ?? "no error")")
        session.close()
    }

    @Test(
        "accepting ends with the reason that the router has",
        arguments: [("accept-fails", "Session closed"), ("long-certificate", "a line is too long")])
    func acceptFails(_ behaviour: String, _ part: String) async throws {
        let sam = try await FakeSAM.start(behaviour)
        let alice = try await SAMSession.open(at: sam.bridge, key: nil)
        let bob = try await SAMSession.open(at: sam.bridge, key: nil)
        let connecting = Task { try? await bob.connect(to: alice.address) { _ in } }
        let error = await #expect(throws: SAMError.self) { try await alice.accept { _ in } }
        #expect(error?.description.contains(part) == true, "\(error?.description ?? "no error")")
        connecting.cancel()
        _ = await connecting.value
        alice.close()
        bob.close()
    }

    @Test("the end of a session is told, with what the router says of it")
    func sessionEnds() async throws {
        let address = try SampleKey.make().destination.address
        let sam = try await FakeSAM.start("end-session")
        let session = try await SAMSession.open(at: sam.bridge, key: nil)
        let stranded = Task { try? await session.connect(to: address) { _ in } }
        #expect(
            await session.waitForEnd()
                == .refused(command: "SESSION", .routerFailed, UntrustedText("tunnels lost")))
        let dropping = try await FakeSAM.start("drop-session")
        let dropped = try await SAMSession.open(at: dropping.bridge, key: nil)
        let lost = Task { try? await dropped.connect(to: address) { _ in } }
        #expect(await dropped.waitForEnd() == .closed)
        for connecting in [stranded, lost] { #expect(await connecting.value == nil) }
        let late = await #expect(throws: SAMError.self) { try await dropped.accept { _ in } }
        #expect(late == .refused(command: "STREAM ACCEPT", .invalidID, UntrustedText("")))
    }

    @Test("a bridge that is silent, or not there, does not hold us")
    func silent() async throws {
        let sam = try await FakeSAM.start("silent")
        let error = await #expect(throws: SAMError.self) {
            try await SAMSession.open(at: sam.bridge, key: try SampleKey.make(), within: .milliseconds(200))
        }
        #expect(error == .timedOut("SESSION CREATE"))
        let nobody = SAMBridge(at: HostAndPort(host: "127.0.0.1", port: try FreePort.find()))
        let missing = await #expect(throws: SAMError.self) { try await nobody.generateKey() }
        #expect(missing?.description == "the I2P router's SAM bridge cannot be reached: Connection refused")
    }

    @Test("cancelling ends the wait for a peer, and the router forgets it")
    func cancels() async throws {
        let sam = try await FakeSAM.start()
        let alice = try await SAMSession.open(at: sam.bridge, key: nil)
        let isAccepting = Mutex(false)
        let task = Task { () throws(SAMError) in
            try await alice.accept(onAccepting: { isAccepting.withLock { $0 = true } }) { _ in }
        }
        try await Condition.wait("it accepts") { isAccepting.withLock { $0 } }
        task.cancel()
        let error = await #expect(throws: SAMError.self) { try await task.value }
        #expect(error == .closed)
        // The next one gets the next peer.
        let bob = try await SAMSession.open(at: sam.bridge, key: nil)
        async let accepting = alice.accept { _ in }
        let stream = try await bob.connect(to: alice.address) { _ in }
        let accepted = try await accepting
        #expect(accepted.peer == bob.address && stream.peer == alice.address)
        alice.close()
        bob.close()
    }

    @Test("a user name and a password are sent where they are set, and never shown")
    func credentials() async throws {
        let sam = try await FakeSAM.start("", ["--user", "me \"1\"", "--password", "pass\\word"])
        let right = try SAMCredentials(user: "me \"1\"", password: "pass\\word")
        let alice = try await SAMSession.open(at: SAMBridge(at: sam.address, credentials: right), key: nil)
        let bob = try await SAMSession.open(at: SAMBridge(at: sam.address, credentials: right), key: nil)
        async let accepting = alice.accept { _ in }
        _ = try await bob.connect(to: alice.address) { _ in }
        #expect(try await accepting.peer == bob.address)
        for credentials in [nil, try SAMCredentials(user: "me \"1\"", password: "other")] {
            let error = await #expect(throws: SAMError.self) {
                try await SAMSession.open(at: SAMBridge(at: sam.address, credentials: credentials), key: nil)
            }
            #expect(error?.description == "the I2P router refuses HELLO: the router failed (Authorization failed)")
        }
        alice.close()
        bob.close()
    }
}
