// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetControl
import AltNetTestKit
import Foundation
import NIOCore
import Testing

@testable import AltNetWeb

@Suite("The ring of events")
struct EventRingTests {
    @Test("reads are those of a list that is cut at the front", arguments: [1, 2, 3, 4])
    func model(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var ring = EventRing(after: 1_000)
        var kept: [(id: UInt64, size: Int)] = []
        for number in 1...UInt64(2_000) {
            let size = Bool.random(using: &random) ? Int.random(in: 0...100, using: &random) : 30_000
            ring.append(name: "tip", data: String(repeating: "x", count: size))
            kept.append((1_000 + number, size))
            var sum = kept.reduce(0) { $0 + $1.size }
            while kept.count > EventRing.maximumEvents || sum > EventRing.maximumBytes {
                sum -= kept.removeFirst().size
            }
            #expect(ring.events.map(\.id) == kept.map(\.id), "seed \(seed)")
            let after = UInt64.random(in: 990...1_000 + number + 5, using: &random)
            let known = after <= ring.lastID && after + 1 >= (kept.first?.id ?? ring.lastID + 1)
            switch ring.read(after: after, limit: 7) {
            case .lost(let resumeAfter):
                #expect(!known, "seed \(seed): \(after)")
                #expect(resumeAfter == ring.lastID)
            case .events(let events):
                #expect(known, "seed \(seed): \(after)")
                #expect(events.map(\.id) == Array(kept.map(\.id).filter { $0 > after }.prefix(7)), "seed \(seed)")
            }
        }
    }

    @Test("one event that is too large for the ring is lost, not kept")
    func large() {
        var ring = EventRing(after: 0)
        ring.append(name: "tip", data: String(repeating: "x", count: EventRing.maximumBytes + 1))
        #expect(ring.events.isEmpty && ring.bytes == 0)
        #expect(ring.read(after: 0, limit: 1) == .lost(resumeAfter: 1))
        #expect(ring.read(after: 1, limit: 1) == .events([]))
    }
}

@Suite("Event streams", .serialized)
struct EventStreamTests {
    private static func tip(_ height: UInt32) -> ControlEvent {
        var chain = FakeOperations.chain
        chain.height = height
        return .tip(chain)
    }

    /// Reads a stream until the text has come, and gives back all that came.
    private static func read(
        _ server: TestServer, headers: String = "", until wanted: String,
        then act: @Sendable @escaping () -> Void = {}
    ) async throws -> String {
        let connection = try await server.connect(unix: true)
        return try await connection.executeThenClose { inbound, outbound in
            try await outbound.write(
                ByteBuffer(string: "GET /v1/events HTTP/1.1\r\nHost: x\r\n\(headers)\r\n"))
            var text = ""
            for try await part in inbound {
                if text.isEmpty { act() }
                text += String(buffer: part)
                if text.contains(wanted) { break }
            }
            return text
        }
    }

    @Test("what happens is told, numbered, and one can go on where one was")
    func resume() async throws {
        try await TestServer.with { server in
            let start = server.events.lastID
            let first = try await Self.read(server, until: "800002") {
                server.events.publish(Self.tip(800_001))
                server.events.publish(Self.tip(800_002))
            }
            #expect(
                first.contains("Content-Type: text/event-stream") || first.contains("content-type: text/event-stream"))
            #expect(first.contains("retry: 2000\n\n"))
            #expect(first.contains("id: \(start + 1)\nevent: tip\ndata: {"))
            server.events.publish(Self.tip(800_003))
            let second = try await Self.read(server, headers: "Last-Event-ID: \(start + 1)\r\n", until: "800003")
            #expect(!second.contains("800001") && second.contains("800002"))
        }
    }

    @Test("who went on too late, or comes from another run, is told that events are missing")
    func lost() async throws {
        try await TestServer.with { server in
            let start = server.events.lastID
            for height in 0..<UInt32(EventRing.maximumEvents + 1) { server.events.publish(Self.tip(height)) }
            for last in [start, start - 5_000_000, start + 5_000_000] {
                let text = try await Self.read(server, headers: "Last-Event-ID: \(last)\r\n", until: "event: lost")
                #expect(text.contains("id: \(server.events.lastID)\nevent: lost\ndata: {}\n\n"))
                #expect(!text.contains("event: tip"))
            }
            let nonsense = try await server.send("GET", "/v1/events", ["Last-Event-ID": "x"], unix: true)
            #expect(nonsense.status == 400)
        }
    }

    @Test("the client of the command line reads them, and streams end when the server stops")
    func client() async throws {
        try await TestServer.with { server in
            let client = ControlClient(socketPath: server.socketPath)
            let heights = Shared<[UInt32]>([])
            try await client.events { streamed in
                switch streamed {
                case .connected: for height in 1...3 { server.events.publish(Self.tip(UInt32(height))) }
                case .event(_, .tip(let chain)):
                    heights.change { $0.append(chain.height) }
                    if chain.height == 3 { server.events.finish() }
                default: Issue.record("\(streamed)")
                }
            }
            #expect(heights.value == [1, 2, 3])
        }
    }

    @Test("a quiet stream gets a comment")
    func beat() async throws {
        try await TestServer.with { server in
            let text = try await Self.read(server, until: ":\n\n") { server.events.beat() }
            #expect(text.hasSuffix(":\n\n") || text.contains(":\n\n"))
        }
    }

    @Test("a thousand clients that read nothing: the streams have a bound, and everything else goes on")
    func silent() async throws {
        try await TestServer.with { server in
            let before = ProcessFigures.current.residentBytes ?? 0
            let request = ByteBuffer(
                string:
                    "GET /v1/events HTTP/1.1\r\nHost: \(server.host)\r\nAuthorization: Bearer \(server.token)\r\n\r\n")
            let statuses = Shared<[Int: Int]>([:])
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<1_000 {
                    group.addTask {
                        let connection = try await server.connect()
                        try await connection.executeThenClose { inbound, outbound in
                            try await outbound.write(request)
                            var head = ""
                            for try await part in inbound {
                                head += String(buffer: part)
                                if head.contains("\r\n\r\n") { break }
                            }
                            let status = RawAnswer(head).status
                            statuses.change { $0[status, default: 0] += 1 }
                            // From here on nothing is read; the stream stays open.
                            if status == 200 { try? await Task.sleep(for: .seconds(600)) }
                        }
                    }
                }
                try await Condition.wait("all are answered") {
                    statuses.value.values.reduce(0, +) == 1_000
                }
                let counts = statuses.value
                #expect(counts[200] == EventHub.maximumReaders, "\(counts)")
                #expect(counts[503] == 1_000 - EventHub.maximumReaders, "\(counts)")
                #expect(server.events.readers == EventHub.maximumReaders)
                // More than all their sockets and buffers take.
                for height in 0..<20_000 { server.events.publish(Self.tip(UInt32(height))) }
                for unix in [true, false] {
                    let answer = try await server.send("GET", "/v1/status", server.bearer(server.token), unix: unix)
                    #expect(answer.status == 200)
                }
                let after = ProcessFigures.current.residentBytes ?? 0
                #expect(after - before < 100_000_000, "\(after - before) bytes")
                group.cancelAll()
                while let _ = await group.nextResult() {}
            }
            try await Condition.wait("the places are free again") { server.events.readers == 0 }
        }
    }
}
