// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
import AltNetObjects
internal import AltNetTestKit
internal import Foundation
internal import Glibc
internal import Logging
internal import Testing

@testable internal import AltNetNode

@Suite("The audit log of changes")
struct NodeAuditLogTests {
    private static func text(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

    @Test("is not opened when it is not ours alone, or no plain file")
    func opening() throws {
        let directory = TemporaryDirectory.make()
        #expect(throws: NodeError.self) { try NodeAuditLog(path: "\(directory)/missing/audit.jsonl") }
        #expect(throws: NodeError.self) { try NodeAuditLog(path: "/dev/null") }
        let shared = "\(directory)/shared.jsonl"
        try "".write(toFile: shared, atomically: false, encoding: .utf8)
        #expect(chmod(shared, 0o660) == 0)
        let error = #expect(throws: NodeError.self) { try NodeAuditLog(path: shared) }
        #expect(error?.description == "others can write to the audit log \(shared); run: chmod 600 \(shared)")
        #expect(chmod(shared, 0o600) == 0)
        let link = "\(directory)/link.jsonl"
        #expect(symlink(shared, link) == 0)
        #expect(throws: NodeError.self) { try NodeAuditLog(path: link) }
        _ = try NodeAuditLog(path: shared)
    }

    @Test("keeps what was in it, and ends a line that a crash cut off")
    func reopening() async throws {
        let path = TemporaryDirectory.make() + "/audit.jsonl"
        try "{\"half\":".write(toFile: path, atomically: false, encoding: .utf8)
        #expect(chmod(path, 0o600) == 0)
        let log = try NodeAuditLog(path: path)
        let entry = try await log.begin(call: "addnode", argument: "a:1\n{\"b\"}", reason: "because\u{202e}")
        try await log.end(entry, outcome: "done")
        let lines = try Self.text(path).split(separator: "\n")
        #expect(lines.count == 3 && lines[0] == "{\"half\":")
        #expect(lines[1].contains(#""argument":"a:1?{\"b\"}""#), "no control characters: \(lines[1])")
        #expect(lines[1].contains(#""phase":"asked""#) && lines[2].contains(#""outcome":"done""#))
        #expect(lines[1].contains("because???"))
    }

    @Test("becomes the older file when it is full, in place of the one before")
    func rotation() async throws {
        let path = TemporaryDirectory.make() + "/audit.jsonl"
        let log = try NodeAuditLog(path: path, maximumSize: 1_000)
        for number in 0..<30 {
            let entry = try await log.begin(call: "addnode", argument: "host:\(number)", reason: "a reason")
            try await log.end(entry, outcome: "done")
        }
        let (older, newer) = (try Self.text(path + ".1"), try Self.text(path))
        #expect(older.utf8.count <= 1_000 && newer.utf8.count <= 1_000)
        #expect(newer.contains("host:29") && !older.contains("host:29") && !older.contains("host:1\""))
        let all = (older + newer).split(separator: "\n")
        #expect(all.count > 5 && all.allSatisfy { $0.hasPrefix("{") && $0.hasSuffix("}") })
        let files = try FileManager.default.contentsOfDirectory(
            atPath: URL(filePath: path).deletingLastPathComponent().path)
        #expect(files.sorted() == ["audit.jsonl", "audit.jsonl.1"])
    }

    @Test("that cannot be written refuses the change")
    func unwritable() async throws {
        let fake = try await FakeNode()
        let path = "\(fake.directory)/small.jsonl"
        // The older file's name is taken by a directory, so the full file cannot be put aside.
        try FileManager.default.createDirectory(atPath: path + ".1/x", withIntermediateDirectories: true)
        let node = BitcoinCoreNode(
            configuration: .init(
                network: .regtest,
                endpoint: try CoreEndpoint(
                    url: "http://127.0.0.1:\(fake.port)", network: .regtest, allowRemote: false),
                credentials: fake.cookieFile, allow: [.peers]),
            auditLog: try NodeAuditLog(path: path, maximumSize: 10),
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
        let error = await #expect(throws: NodeError.self) { try await node.perform(.addPeer("a:1"), because: "a test") }
        #expect(error?.description.contains("so nothing is changed") == true, "\(String(describing: error))")
        #expect(fake.calls.isEmpty)
    }
}
