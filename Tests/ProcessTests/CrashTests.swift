// SPDX-License-Identifier: MIT

import AltNetControl
import AltNetTestKit
import Foundation
import Testing

@Suite("kill -9 loses nothing that was acknowledged", .serialized)
struct CrashTests {
    private static let rounds = 8

    @Test("while headers are imported into a running daemon")
    func importing() async throws {
        let file = TemporaryDirectory.make() + "/chain"
        _ = try await Programs.run("altnet", ["regtest", "mine", "--count", "20000", "--output", file])
        let headers = Array(try Data(contentsOf: URL(fileURLWithPath: file)))
        let directory = TemporaryDirectory.make()
        var acknowledged: UInt32 = 0
        for round in 0..<Self.rounds {
            let daemon = try await DaemonProcess.start(dataDirectory: directory)
            let found = try await daemon.control.status().chain.height
            #expect(found >= acknowledged, "after kill \(round)")
            let killAt = found + UInt32.random(in: 500...2000)
            // Hands in small pieces until the kill comes in between.
            async let killed: Void = {
                try await Condition.wait("height \(killAt)") {
                    try await daemon.control.status().chain.height >= killAt
                }
                try await daemon.kill()
            }()
            var height = found
            while let piece = Self.piece(of: headers, after: height) {
                guard let report = try? await daemon.control.importHeaders(piece) else { break }
                height = report.chain.height
                acknowledged = height
            }
            try await killed
            #expect(acknowledged >= killAt - 100)
        }
        let daemon = try await DaemonProcess.start(dataDirectory: directory)
        let height = try await daemon.control.status().chain.height
        #expect(height >= acknowledged)
        let stored = try await daemon.control.headers(from: 1, count: height)
        #expect(stored == Array(headers.prefix(Int(height) * 80)))
    }

    private static func piece(of headers: [UInt8], after height: UInt32) -> [UInt8]? {
        let start = Int(height) * 80
        guard start < headers.count else { return nil }
        return Array(headers[start..<min(start + 100 * 80, headers.count)])
    }

    @Test("while headers are synchronised over a Lightning link")
    func syncing() async throws {
        let file = TemporaryDirectory.make() + "/chain"
        _ = try await Programs.run("altnet", ["regtest", "mine", "--count", "120000", "--output", file])
        let store = TemporaryDirectory.make()
        _ = try await Programs.run(
            "altnet", ["headers", "import", file, "--network", "regtest", "--data-directory", store])
        let bob = try await DaemonProcess.start(
            settings: ["drivers.lightning.listen": "127.0.0.1:0"], dataDirectory: store)
        let settings = ["drivers.lightning.connect": try await bob.listening("lightning")]
        let directory = TemporaryDirectory.make()
        var reported: UInt32 = 0
        for round in 0..<Self.rounds {
            let alice = try await DaemonProcess.start(settings: settings, dataDirectory: directory)
            let found = try await alice.control.status().chain.height
            #expect(found >= reported, "after kill \(round)")
            let killAt = min(120_000, found + UInt32.random(in: 1...12_000))
            try await Condition.wait("height \(killAt)") {
                reported = try await alice.control.status().chain.height
                return reported >= killAt
            }
            try await alice.kill()
        }
        let alice = try await DaemonProcess.start(settings: settings, dataDirectory: directory)
        try await alice.reaches(120_000)
        let exported = TemporaryDirectory.make() + "/exported"
        _ = try await Programs.run(
            "altnet", ["headers", "export", exported, "--network", "regtest", "--data-directory", directory])
        #expect(FileManager.default.contentsEqual(atPath: exported, andPath: file))
    }

    @Test("nor does a full disk: the daemon says so, stops in order, and goes on when there is room")
    func fullDisk() async throws {
        let file = TemporaryDirectory.make() + "/chain"
        _ = try await Programs.run("altnet", ["regtest", "mine", "--count", "20000", "--output", file])
        let headers = Array(try Data(contentsOf: URL(fileURLWithPath: file)))
        let daemon = try await DaemonProcess.start(maximumFileKilobytes: 400)
        var acknowledged: UInt32 = 0
        var failure: String?
        while failure == nil, let piece = Self.piece(of: headers, after: acknowledged) {
            do {
                acknowledged = try await daemon.control.importHeaders(piece).chain.height
            } catch {
                failure = error.description
            }
        }
        // The answer may be lost: the daemon stops at once. Its log says why in any case.
        #expect(failure != nil)
        #expect(acknowledged > 4000)
        try await Condition.wait("altnetd stops") { !daemon.isRunning }
        #expect(daemon.exitStatus == 1)
        #expect(daemon.log.contains("headers.dat: File too large"), "\(daemon.log)")
        let again = try await DaemonProcess.start(dataDirectory: daemon.dataDirectory)
        let height = try await again.control.status().chain.height
        #expect(height >= acknowledged)
        let rest = try #require(Self.piece(of: headers, after: height))
        #expect(try await again.control.importHeaders(rest).added == 100)
    }

    @Test("and its drivers end with the daemon")
    func orphans() async throws {
        let daemon = try await DaemonProcess.start(settings: ["drivers.lightning.listen": "127.0.0.1:0"])
        _ = try await daemon.listening("lightning")
        let drivers = try Self.children(of: daemon.processID)
        #expect(!drivers.isEmpty)
        try await daemon.kill()
        try await Condition.wait("the drivers end") {
            drivers.allSatisfy { !FileManager.default.fileExists(atPath: "/proc/\($0)/exe") }
        }
    }

    private static func children(of process: Int32) throws -> [Int32] {
        try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap(Int32.init).filter { candidate in
            guard let status = try? String(contentsOfFile: "/proc/\(candidate)/stat", encoding: .utf8),
                let afterName = status.split(separator: ")").last
            else { return false }
            return afterName.split(separator: " ").dropFirst().first.flatMap { Int32($0) } == process
        }
    }
}
