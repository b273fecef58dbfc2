// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetPeerRecords
import AltNetPeerStore
import AltNetTestKit
import Foundation
import GRDB
import Glibc
import Testing

@Suite("The file of a peer store")
struct PeerStoreFileTests {
    private static func failure(_ directory: String) -> PeerStoreError? {
        do {
            _ = try PeerStore(directory: directory)
            return nil
        } catch {
            return error
        }
    }

    private static func filled(_ count: Int = 20) throws -> String {
        let directory = TemporaryDirectory.make()
        let store = try PeerStore(directory: directory)
        for number in 0..<count {
            #expect(try store.learn(Sample.told(try Sample.peer(number), [try Sample.address(number)])) == .stored)
        }
        return directory
    }

    private static func path(_ directory: String) -> String { "\(directory)/\(PeerStore.fileName)" }

    @Test("only its owner can read it, and one process at a time uses it")
    func protection() throws {
        let directory = try Self.filled()
        let store = try PeerStore(directory: directory)
        #expect(try store.learn(Sample.told(try Sample.peer(99), [try Sample.address(1)], .user)) == .stored)
        for name in try FileManager.default.contentsOfDirectory(atPath: directory) {
            var status = stat()
            #expect(stat("\(directory)/\(name)", &status) == 0 && status.st_mode & 0o777 == 0o600, "\(name)")
        }
        let error = Self.failure(directory)
        #expect(error?.code == .locked && error?.description.contains(directory) == true)
        // The holder goes on.
        #expect(try store.counts().peers == 21)
    }

    @Test("one that others can read is refused, not changed")
    func readable() throws {
        let directory = try Self.filled()
        #expect(chmod(Self.path(directory), 0o644) == 0)
        let error = Self.failure(directory)
        #expect(error?.code == .system && error?.description.contains("chmod 600") == true)
    }

    @Test("one of a newer version is refused by name and left as it is")
    func newer() throws {
        let directory = try Self.filled()
        try DatabaseQueue(path: Self.path(directory)).write {
            try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('99 from the future')")
        }
        let before = try Data(contentsOf: URL(fileURLWithPath: Self.path(directory)))
        #expect(Self.failure(directory)?.code == .newerVersion)
        #expect(try Data(contentsOf: URL(fileURLWithPath: Self.path(directory))) == before)
    }

    @Test("no database, half of one, or one with holes is refused by name and left as it is")
    func damaged() throws {
        let directory = try Self.filled(2_000)
        let whole = try Data(contentsOf: URL(fileURLWithPath: Self.path(directory)))
        var holes = whole
        for offset in stride(from: 4_096, to: holes.count, by: 4_096) {
            holes.replaceSubrange(
                offset..<min(offset + 2_000, holes.count), with: Data(count: min(2_000, holes.count - offset)))
        }
        let files = [Data(repeating: 65, count: 9_000), whole.prefix(whole.count / 2), holes, whole.prefix(100)]
        for (number, file) in files.enumerated() {
            let other = TemporaryDirectory.make()
            try file.write(to: URL(fileURLWithPath: Self.path(other)))
            #expect(chmod(Self.path(other), 0o600) == 0)
            let error = Self.failure(other)
            #expect(error?.code == .damaged, "file \(number): \(String(describing: error))")
            #expect(error?.description.contains("move it away") == true)
            #expect(try Data(contentsOf: URL(fileURLWithPath: Self.path(other))) == file, "file \(number)")
        }
    }

    @Test(
        "a row that is not what was written is named, stops nothing else, and can be forgotten",
        arguments: ["entry", "due", "bucket"])
    func damagedRow(column: String) throws {
        let directory = try Self.filled()
        try DatabaseQueue(path: Self.path(directory)).write { database in
            let entry = try #require(try Data.fetchOne(database, sql: "SELECT entry FROM peer WHERE number = 7"))
            var bad = entry
            bad[bad.count / 2] ^= 1
            switch column {
            case "entry":
                try database.execute(sql: "UPDATE peer SET entry = ? WHERE number = 7", arguments: [bad])
            case "due": try database.execute(sql: "UPDATE peer SET due = x'00ff' WHERE number = 7")
            // Unproven peers without an id that could be read do not stop the others either.
            default:
                try database.execute(
                    sql: """
                        UPDATE peer SET entry = ? WHERE number = 7;
                        UPDATE peer SET id = x'0102' WHERE number = 9
                        """, arguments: [bad])
            }
        }
        let store = try PeerStore(directory: directory)
        let bad = try Sample.peer(6)
        let gone = column == "bucket" ? [8] : []
        let good = try (0..<20).filter { $0 != 6 && !gone.contains($0) }.map { try Sample.peer($0) }
        // Where the entry itself is sound, reading needs nothing else.
        if column != "due" {
            let error = #expect(throws: PeerStoreError.self) { try store.known(bad) }
            #expect(error?.code == .damaged && error?.description.contains("\(bad)") == true)
            #expect(throws: PeerStoreError.self) { try store.told(bad) }
            #expect(try store.known(good + [bad], now: Sample.start).map(\.id) == good)
            #expect(try store.handout([bad] + good, to: nil, now: Sample.start).map(\.id) == good)
            var (listed, damaged, after): ([PeerID], [PeerID], PeerID?) = ([], [], nil)
            repeat {
                let page = try store.list(after: after, limit: 1, now: Sample.start)
                listed += page.peers.map(\.id)
                damaged += page.damaged
                after = page.next
            } while after != nil
            #expect(listed == good.sorted() && damaged == [bad])
        }
        // News of others in the same transaction is stored.
        let other = try Sample.address(100)
        let outcomes = try store.learn(
            [Sample.told(good[0], [other]), .failed(bad, try Sample.address(6)), Sample.told(good[1], [other])],
            now: Sample.start)
        #expect(outcomes == [.stored, outcomes[1], .stored] && outcomes[1].code == .damaged)
        // Sweeps pass it, in whatever steps.
        let later = Sample.start + Sample.day
        #expect(try (0..<20).reduce(0) { sum, _ in try sum + store.sweep(limit: 1, now: later) } == good.count)
        #expect(try store.counts().peers == 20 - good.count)
        #expect(try store.forget(bad))
        #expect(try store.known(bad) == nil && store.counts().peers == gone.count)
        #expect(try store.learn(Sample.told(bad, [other]), later) == .stored)
    }

    @Test("what was acknowledged is there after kill -9", .timeLimit(.minutes(5)))
    func killed() async throws {
        let directory = TemporaryDirectory.make()
        var next: UInt64 = 0
        var random = SeededRandom(seed: 5)
        for round in 0..<15 {
            let writer = try BackgroundProcess(
                "\(Programs.directory)/peer-store-writer", ["peers", directory, "\(next)"])
            let wanted = Int.random(in: 1...120, using: &random)
            try await Condition.wait("\(wanted) acknowledged pieces of news: \(writer.errors)") {
                guard writer.isRunning else { throw Condition.Failure("the writer ended: \(writer.errors)") }
                return writer.output.split(separator: "\n").count >= wanted
            }
            writer.kill()
            try await Condition.wait("the writer ends") { !writer.isRunning }
            let lines = writer.output.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            let last = try #require(lines.last.flatMap { UInt64($0) })
            let store = try PeerStore(directory: directory)
            for number in Array(next...last) + [0, last / 2] {
                let known = try #require(try store.known(try Self.writersPeer(number)), "round \(round), \(number)")
                let address = try Sample.address("/ip4/8.8.\(number / 256 % 256).\(number % 256)/tcp/4001")
                #expect(known.addresses.map(\.address) == [address])
                #expect((known.record != nil) == (number % 3 == 0))
            }
            // The counts are those of the rows.
            let counts = try store.counts()
            #expect(counts.peers >= Int(last) + 1 && counts.peers <= Int(last) + 8)
            next = UInt64(counts.peers)
        }
        let path = Self.path(directory)
        let check = try await DatabaseQueue(path: path).read { try String.fetchOne($0, sql: "PRAGMA integrity_check") }
        #expect(check == "ok")
    }

    /// The same as in `peer-store-writer`.
    private static func writersPeer(_ number: UInt64) throws -> PeerID {
        var random = SeededRandom(seed: number)
        let bytes = random.bytes(32)
        return number % 3 == 0
            ? try #require(PeerPrivateKey.ed25519(seed: bytes)).peerID : try PeerID(bytes: [0x12, 32] + bytes)
    }
}

@Suite("Sequence numbers of our own records")
struct RecordSequenceTests {
    private static let clock = WallClockTime(seconds: 1_800_000_000)

    @Test("follow the clock, and go on where it stands still or goes back")
    func clocks() throws {
        let directory = TemporaryDirectory.make()
        var sequence = try RecordSequence(directory: directory)
        #expect(sequence.lastIssued == 0)
        let first = try sequence.next(now: Self.clock)
        #expect(first == 1_800_000_000_000_000_000)
        let second = try sequence.next(now: Self.clock)
        let third = try sequence.next(now: WallClockTime(seconds: 5))
        let fourth = try sequence.next(now: WallClockTime(milliseconds: .min))
        #expect([second, third, fourth] == [first + 1, first + 2, first + 3])
        let fifth = try sequence.next(now: WallClockTime(milliseconds: .max))
        #expect(fifth == first + 4)
        let sixth = try sequence.next(now: Self.clock + .seconds(1))
        #expect(sixth == first + 1_000_000_000)
    }

    @Test("are remembered, by one process at a time, in a file of their owner's")
    func file() throws {
        let directory = TemporaryDirectory.make()
        let path = "\(directory)/\(RecordSequence.fileName)"
        func issue(_ now: WallClockTime) throws -> UInt64 {
            var sequence = try RecordSequence(directory: directory)
            return try sequence.next(now: now)
        }
        let first = try issue(Self.clock)
        #expect(try issue(WallClockTime(seconds: 0)) == first + 1)
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
        do {
            let holder = try RecordSequence(directory: directory)
            let error = #expect(throws: PeerStoreError.self) { _ = try issue(Self.clock) }
            #expect(error?.code == .locked)
            #expect(holder.lastIssued == first + 1)
        }
        for text in ["", "12", "abc\n", "-1\n", "18446744073709551616\n", "123456789012345678901234567890\n"] {
            try Data(text.utf8).write(to: URL(fileURLWithPath: path))
            let error = #expect(throws: PeerStoreError.self) { _ = try issue(Self.clock) }
            #expect(error?.code == .damaged, "\(text)")
            #expect(try String(contentsOfFile: path, encoding: .utf8) == text)
        }
        // The last one that stores take.
        try Data("18446744073709551613\n".utf8).write(to: URL(fileURLWithPath: path))
        #expect(try issue(Self.clock) == .max - 1)
        let error = #expect(throws: PeerStoreError.self) { _ = try issue(Self.clock) }
        #expect(error?.code == .system)
    }

    @Test("a process that is killed never issued what the next one issues", .timeLimit(.minutes(5)))
    func killed() async throws {
        let directory = TemporaryDirectory.make()
        var issued: [UInt64] = []
        for round in 0..<12 {
            // The clock goes back each time.
            let writer = try BackgroundProcess(
                "\(Programs.directory)/peer-store-writer", ["sequence", directory, "\(1_800_000_000 - round)"])
            try await Condition.wait("some numbers: \(writer.errors)") {
                guard writer.isRunning else { throw Condition.Failure("the writer ended: \(writer.errors)") }
                return writer.output.split(separator: "\n").count >= 1 + round
            }
            writer.kill()
            try await Condition.wait("the writer ends") { !writer.isRunning }
            issued += writer.output.split(separator: "\n", omittingEmptySubsequences: false).dropLast().compactMap {
                UInt64($0)
            }
        }
        #expect(issued.count > 12 && zip(issued, issued.dropFirst()).allSatisfy { $0 < $1 })
    }
}
