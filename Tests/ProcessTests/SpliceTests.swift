// SPDX-License-Identifier: MIT

import AltNetControl
import AltNetTestKit
import Foundation
import Testing

@Suite("Splicing, with real processes", .serialized)
struct SpliceTests {
    /// Two daemons with a Lightning link, and what stands in for their nodes.
    private struct Pair {
        /// Has a port that leads to Bob's node.
        let alice: DaemonProcess
        /// Accepts streams.
        let bob: DaemonProcess
        /// Bob's node.
        let node: LoopbackSocket
        /// Alice's port.
        let port: String

        /// - Parameter listenerOpens: whether the side that listens for Lightning connections has the port.
        static func start(listenerOpens: Bool = false, accepts: Bool = true) async throws -> Pair {
            let node = try LoopbackSocket.listening()
            let alices = ["drivers.lightning.enabled": "true", "splice.ports.bob.driver": "lightning"]
            let bobs = ["drivers.lightning.enabled": "true"].merging(
                accepts ? ["splice.accept": node.address] : [:]
            ) { $1 }
            let (listening, dialling) = listenerOpens ? (alices, bobs) : (bobs, alices)
            let listener = try await DaemonProcess.start(
                settings: listening.merging(["drivers.lightning.listen": "127.0.0.1:0"]) { $1 })
            let address = try await listener.listening("lightning")
            let dialler = try await DaemonProcess.start(
                settings: dialling.merging(["drivers.lightning.connect": address]) { $1 })
            let (alice, bob) = listenerOpens ? (listener, dialler) : (dialler, listener)
            let splice = try await Condition.value("Alice's port leads to Bob") {
                try await alice.control.splices().first { $0.reason == nil }
            }
            return Pair(alice: alice, bob: bob, node: node, port: try #require(splice.listening))
        }

        /// A stream with both of its ends.
        func stream() async throws -> (near: LoopbackSocket, far: LoopbackSocket) {
            let near = try LoopbackSocket.connected(to: self.port)
            return (near, try await self.node.accept())
        }

        func splice() async throws -> SpliceReport { try await self.alice.control.splices()[0] }
        /// What Bob accepts; `nil` when that is nothing.
        func accepted() async throws -> SpliceReport? { try await self.bob.control.splices().first }
    }

    @Test(
        "64 MB go through in both directions at once, whoever dialled, and both ends see the end",
        arguments: [false, true])
    func bulk(listenerOpens: Bool) async throws {
        let blocks = 1024
        let bytes = blocks * Pattern.blockSize
        let pair = try await Pair.start(listenerOpens: listenerOpens)
        let (near, far) = try await pair.stream()
        let (there, back) = (Pattern(seed: 1), Pattern(seed: 2))
        let began = ContinuousClock.now
        async let sent: Void = near.send(there, blocks: blocks)
        async let answered: Void = far.send(back, blocks: blocks)
        async let arrived = far.receive(there)
        async let returned = near.receive(back)
        try await sent
        near.endOutput()
        try await answered
        far.endOutput()
        #expect(try await arrived == (bytes, true))
        #expect(try await returned == (bytes, true))
        let seconds = Double((ContinuousClock.now - began) / .milliseconds(1)) / 1000
        print("spliced stream: \(Int(Double(2 * bytes) / seconds / 1_000_000)) MB/s, both directions together")
        try await Condition.wait("the stream is gone on both sides") {
            let theirs = try await pair.accepted()
            return try await pair.splice().connections == 0 && theirs?.connections == 0
        }
        let report = try await pair.splice()
        #expect(report.bytesOut == UInt64(bytes))
        #expect(report.bytesIn == UInt64(bytes))
        #expect(report.reason == nil)
    }

    @Test("after one direction has ended, the other goes on")
    func halfClose() async throws {
        let pair = try await Pair.start()
        let (near, far) = try await pair.stream()
        let pattern = Pattern(seed: 3)
        try await near.send(pattern, blocks: 1)
        near.endOutput()
        #expect(try await far.receive(pattern) == (Pattern.blockSize, true))
        async let returned = near.receive(pattern)
        try await far.send(pattern, blocks: 100)
        far.endOutput()
        #expect(try await returned == (100 * Pattern.blockSize, true))
    }

    @Test("a reader that stops makes the sender stop, and nothing in between grows")
    func stoppedReader() async throws {
        let pair = try await Pair.start()
        let (near, far) = try await pair.stream()
        let pattern = Pattern(seed: 4)
        // Once through, so that memory is what it is at work.
        async let first = far.receive(pattern, atMost: 64 * Pattern.blockSize)
        try await near.send(pattern, blocks: 64)
        #expect(try await first == (64 * Pattern.blockSize, true))
        let before = Self.residentBytes(pair)
        let sent = try await near.sendUntilStuck(pattern)
        // What the four sockets buffer, and the window.
        #expect(sent < 16_000_000, "\(sent) bytes went on their way to a reader that reads nothing")
        let grown = zip(Self.residentBytes(pair), before).map { $0 - $1 }
        print("reader stopped after \(sent) bytes; growth of daemons and drivers: \(grown)")
        #expect(grown.allSatisfy { $0 < 8_000_000 }, "\(grown)")
        // The link is not hurt: another stream goes through, and then the rest of this one.
        let (second, secondFar) = try await pair.stream()
        try await second.send(pattern, blocks: 16)
        second.endOutput()
        #expect(try await secondFar.receive(pattern) == (16 * Pattern.blockSize, true))
        near.endOutput()
        #expect(try await far.receive(pattern) == (sent, true))
    }

    @Test("news of blocks passes streams that stand still and streams that are busy")
    func objectsFirst() async throws {
        let pair = try await Pair.start()
        let pattern = Pattern(seed: 7)
        let (stuck, stuckFar) = try await pair.stream()
        _ = try await stuck.sendUntilStuck(pattern)
        let (busy, busyFar) = try await pair.stream()
        let blocks = 1024
        async let heard = busy.receive(pattern)
        async let said: Void = busyFar.send(pattern, blocks: blocks)
        let mined = try await Programs.run(
            "altnet",
            ["regtest", "mine", "--count", "3", "--network", "regtest", "--data-directory", pair.bob.dataDirectory])
        #expect(mined.status == 0, "\(mined.errors)")
        try await pair.alice.reaches(3, within: .seconds(10))
        #expect(try await pair.splice().bytesIn < UInt64(blocks * Pattern.blockSize), "the stream was not busy")
        try await said
        busyFar.endOutput()
        #expect(try await heard == (blocks * Pattern.blockSize, true))
        _ = stuckFar
    }

    @Test("eight streams at once, each complete; the ninth connection is closed, and said to be one too many")
    func manyStreams() async throws {
        let pair = try await Pair.start()
        try await withThrowingTaskGroup(of: Void.self) { group in
            var ends: [(near: LoopbackSocket, far: LoopbackSocket)] = []
            for _ in 0..<8 { ends.append(try await pair.stream()) }
            try await LoopbackSocket.connected(to: pair.port).ends()
            try await Condition.wait("all eight stand") { try await pair.splice().connections == 8 }
            try await Condition.wait("the ninth is explained") { pair.alice.log.contains("too many connections") }
            for (index, (near, far)) in ends.enumerated() {
                let pattern = Pattern(seed: UInt8(10 + index))
                group.addTask {
                    try await near.send(pattern, blocks: 64)
                    near.endOutput()
                    #expect(try await near.receive(pattern) == (64 * Pattern.blockSize, true))
                }
                group.addTask {
                    #expect(try await far.receive(pattern) == (64 * Pattern.blockSize, true))
                    try await far.send(pattern, blocks: 64)
                    far.endOutput()
                }
            }
            try await group.waitForAll()
        }
    }

    @Test("when the link dies, both sockets close, and the port closes connections until a link is back")
    func deadLink() async throws {
        let pair = try await Pair.start()
        let (near, far) = try await pair.stream()
        async let sending = near.sendUntilStuck(Pattern(seed: 5))
        let driver = try #require(Self.drivers(of: pair.bob).first)
        kill(driver, SIGKILL)
        try await near.ends()
        try await far.ends()
        _ = try await sending
        try await Condition.wait("the link is gone") {
            try await pair.splice().reason == "no link that takes streams is open"
        }
        try await LoopbackSocket.connected(to: pair.port).ends()
    }

    @Test("a node that closes closes the other one")
    func deadNode() async throws {
        let pair = try await Pair.start()
        do {
            let (near, far) = try await pair.stream()
            try await far.send(Pattern(seed: 6), blocks: 1)
            _ = consume near
            try await far.ends()
        }
        try await Condition.wait("no stream is left") {
            let theirs = try await pair.accepted()
            return try await pair.splice().connections == 0 && theirs?.connections == 0
        }
    }

    @Test("who accepts no streams is left alone, and the reason can be read")
    func notAccepted() async throws {
        let pair = try await Pair.start(accepts: false)
        try await LoopbackSocket.connected(to: pair.port).ends()
        try await Condition.wait("the reason is known") {
            try await pair.splice().reason == "the other side accepts no streams"
        }
        #expect(pair.alice.log.contains("the other side accepts no streams"))
        try await Condition.wait("Bob says so too") { pair.bob.log.contains("splice.accept is not set") }
        #expect(try await pair.accepted() == nil)
    }

    @Test("a node that is down is said to be down on both sides")
    func nodeDown() async throws {
        let pair = try await Pair.start()
        let address = pair.node.address
        shutdown(pair.node.descriptor, Int32(SHUT_RDWR))
        try await LoopbackSocket.connected(to: pair.port).ends()
        try await Condition.wait("the reason is known") {
            try await pair.splice().reason == "the node behind the other side cannot be reached"
        }
        #expect(
            try await pair.accepted()?.reason == "cannot connect to \(address): Connection refused")
    }

    // MARK: -

    /// The daemons and their drivers.
    private static func residentBytes(_ pair: Pair) -> [Int] {
        [pair.alice, pair.bob].flatMap { [$0.processID] + Self.drivers(of: $0) }.map { process in
            let status = (try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)) ?? ""
            let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
            return 1024
                * (line?.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap { Int($0) } ?? 0)
        }
    }

    private static func drivers(of daemon: DaemonProcess) -> [Int32] {
        let tasks = "/proc/\(daemon.processID)/task"
        return ((try? FileManager.default.contentsOfDirectory(atPath: tasks)) ?? []).flatMap { task in
            ((try? String(contentsOfFile: "\(tasks)/\(task)/children", encoding: .utf8)) ?? "")
                .split(separator: " ").compactMap { Int32($0) }
        }
    }
}
