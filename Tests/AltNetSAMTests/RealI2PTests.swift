// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetTestKit
import AltNetTransport
import Foundation
import Glibc
import Testing

@testable import AltNetSAM

/// A private I2P network of Debian's i2pd: Tests/Tools/i2p_network.py.
enum I2PNetwork {
    static let program = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Tools/i2p_network.py").path
    static let isPossible = getuid() == 0 && FileManager.default.isExecutableFile(atPath: "/usr/sbin/i2pd")
    static let missing: Comment = "a private I2P network needs root and i2pd, which scripts/setup --tests installs"

    /// Starts it; the SAM bridges of two routers that have no tunnels yet.
    static func start(routers: Int, hops: Int) async throws -> (BackgroundProcess, [SAMBridge]) {
        let process = try BackgroundProcess(
            "/usr/bin/python3", [Self.program, "--routers", "\(routers)", "--hops", "\(hops)"])
        try await Condition.wait("the routers run", within: .seconds(90)) {
            process.output.contains("READY\n") || !process.isRunning
        }
        let bridges = process.output.split(separator: "\n").compactMap { line in
            line.hasPrefix("SAM ") ? HostAndPort(String(line.dropFirst(4))).map { SAMBridge(at: $0) } : nil
        }
        #expect(bridges.count == 2, "\(process.errors)")
        return (process, bridges)
    }
}

@Suite("SAMSession over real I2P")
struct RealI2PTests {
    @Test(
        "two destinations find each other through tunnels, exchange bytes both ways, and come back under their keys",
        .enabled(if: I2PNetwork.isPossible, I2PNetwork.missing), .timeLimit(.minutes(10)))
    func network() async throws {
        let (process, bridges) = try await I2PNetwork.start(routers: 6, hops: 1)
        let tunnels = SAMTunnels(length: 1, quantity: 3)
        let key = try await bridges[0].generateKey()
        async let opening = SAMSession.open(at: bridges[0], key: key, tunnels: tunnels)
        let bob = try await SAMSession.open(at: bridges[1], key: nil, tunnels: tunnels)
        var alice = try await opening
        #expect(alice.address == key.destination.address && alice.address != bob.address)

        // A destination that nobody has.
        let nobody = try SampleKey.make(seed: 9).destination.address
        await #expect(throws: SAMError.refused(command: "STREAM CONNECT", .cannotReachPeer, UntrustedText(""))) {
            try await bob.connect(to: nobody) { _ in }
        }

        let atAlice = Received()
        let atBob = Received()
        var accepting = Task { [alice] in try await alice.accept(onEvent: atAlice.onEvent) }
        // Its destination is published some time after the session stands. With bad luck i2pd never does ("Can't publish
        // LeaseSet. Destination is not ready"), and a new session helps.
        var found: SAMStream?
        for _ in 1...4 where found == nil {
            found = try? await Condition.value("Alice is found", within: .seconds(60)) {
                try? await bob.connect(to: alice.address, onEvent: atBob.onEvent)
            }
            guard found == nil else { break }
            accepting.cancel()
            alice.close()
            alice = try await Condition.value("Alice has a new session", within: .seconds(120)) {
                try? await SAMSession.open(at: bridges[0], key: key, tunnels: tunnels)
            }
            accepting = Task { [alice] in try await alice.accept(onEvent: atAlice.onEvent) }
        }
        let toAlice = try #require(found, "nobody finds Alice")
        var random = SeededRandom(seed: 1)
        let fromBob = random.bytes(100_000)
        let fromAlice = random.bytes(100_000)
        // I2P opens a stream with its first bytes.
        async let writing: Void = toAlice.write(fromBob)
        let toBob = try await accepting.value
        #expect(toBob.peer == bob.address && toAlice.peer == alice.address)
        atAlice.read(toBob)
        atBob.read(toAlice)
        try await toBob.write(fromAlice)
        try await writing
        try await Condition.wait("all bytes are there", within: .seconds(60)) {
            atAlice.bytes.count >= fromBob.count && atBob.bytes.count >= fromAlice.count
        }
        let isSame = atAlice.bytes == fromBob && atBob.bytes == fromAlice
        #expect(isSame)
        toBob.close()
        try await Condition.wait("Bob learns that it is over", within: .seconds(60)) { atBob.end != nil }

        alice.close()
        let again = try await Condition.value("Alice is back", within: .seconds(120)) {
            try? await SAMSession.open(at: bridges[0], key: key, tunnels: tunnels)
        }
        #expect(again.address == alice.address)
        again.close()
        bob.close()
        _ = try await process.finish()
    }
}
