// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import Foundation
import HeaderTestSupport
import Testing

@testable import AltNetHeaderChain

/// Bitcoin Core's own code as a Python package: an interpreter that can load it.
private enum KernelOracle {
    static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    static let tool = Self.repository.appendingPathComponent("Tests/Tools/kernel_oracle.py")

    static let interpreter: URL = {
        if let python = ProcessInfo.processInfo.environment["ALTNET_PYTHON"] { return URL(fileURLWithPath: python) }
        return Self.repository.appendingPathComponent(".build/venv/bin/python")
    }()

    static let isThere = (try? Self.run(["--check"], input: Data())) != nil

    struct Failure: Error {
        let status: Int32
    }

    static func run(_ arguments: [String], input: Data) throws -> String {
        let process = Process()
        process.executableURL = Self.interpreter
        process.arguments = [Self.tool.path] + arguments
        // From a file, so that neither side waits for the other one to read.
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("altnet-oracle-\(UUID().uuidString)")
        try input.write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        process.standardInput = try FileHandle(forReadingFrom: file)
        let output = Pipe()
        process.standardOutput = output
        if arguments.contains("--check") { process.standardError = FileHandle.nullDevice }
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw Failure(status: process.terminationStatus) }
        return text
    }
}

@Suite(
    "Header rules against libbitcoinkernel",
    .enabled(
        if: KernelOracle.isThere,
        "no Python with py-bitcoinkernel 0.1.0a5: make .build/venv with `python3 -m venv` and `pip install`, or set ALTNET_PYTHON"
    ))
struct KernelOracleTests {
    private enum Spoiling: CaseIterable {
        case none, previous, work, harderBits, easierBits, noBits, medianTime, justAfterMedian, future, almostFuture
        case version3, version0, negativeVersion, duplicate, merkleRoot
    }

    /// One line for the oracle, and what we say about it.
    private struct Case {
        let header: BlockHeader
        let verdict: String
        let comment: String
    }

    /// A short random tree of good and spoiled headers, judged by the tree that it grows in.
    private static func sequence(
        seed: UInt64, now: WallClockTime, into chain: inout HeaderChain
    ) -> [Case] {
        var generator = SeededRandom(seed: seed)
        var pool = [Network.regtest.genesis]
        return (0..<10).map { position in
            let from = Bool.random(using: &generator) ? pool.count - 1 : 0
            let parent = pool[Int.random(in: from..<pool.count, using: &generator)]
            let kind =
                Bool.random(using: &generator) ? .none : Spoiling.allCases.randomElement(using: &generator) ?? .none
            let header = Self.header(
                kind, on: parent, chain: chain, now: now, salt: seed << 8 | UInt64(position), using: &generator)
            pool.append(header)
            return Case(
                header: header, verdict: Self.judge(header, now: now, in: &chain), comment: "seed \(seed), \(kind)")
        }
    }

    private static func header(
        _ kind: Spoiling, on parent: BlockHeader, chain: HeaderChain, now: WallClockTime, salt: UInt64,
        using generator: inout SeededRandom
    ) -> BlockHeader {
        let median = chain.find(parent.hash).map { chain.cursor(at: $0).medianTimePast } ?? parent.time
        var header = BlockHeader(
            version: 0x2000_0000, previous: parent.hash, merkleRoot: BlockHash(number: UInt256(salt, 7, 0, 0)),
            time: max(median + 1, parent.time &+ UInt32.random(in: 0...2000, using: &generator)),
            bits: Network.regtest.proofOfWorkLimit, nonce: 0)
        switch kind {
        case .none: break
        case .previous: header.previous = BlockHash(number: UInt256(generator.next(), 1, 2, 3))
        case .work: return HeaderMiner.mined(header, isProven: false)
        case .harderBits: header.bits = CompactTarget(0x207f_fffe)
        case .easierBits: header.bits = CompactTarget(0x2100_8000)
        case .noBits: header.bits = CompactTarget(0)
        case .medianTime: header.time = median
        case .justAfterMedian: header.time = median + 1
        case .future: header.time = UInt32(now.seconds + 7200 + 600)
        case .almostFuture: header.time = UInt32(now.seconds + 7200 - 1)
        case .version3: header.version = 3
        case .version0: header.version = 0
        case .negativeVersion: header.version = .min
        case .duplicate: return parent
        case .merkleRoot:
            var spoiled = HeaderMiner.mined(header)
            spoiled.merkleRoot = BlockHash(number: UInt256(generator.next()))
            return spoiled
        }
        return HeaderMiner.mined(header)
    }

    private static func judge(_ header: BlockHeader, now: WallClockTime, in chain: inout HeaderChain) -> String {
        guard chain.find(header.hash) == nil else { return "accept" }
        guard let parent = chain.find(header.previous) else { return "missing-prev" }
        let run = header.bytes.withUnsafeBytes { ValidatedRun($0, on: parent, of: chain, now: now) }
        switch run.rejection?.rule {
        case nil:
            _ = chain.insert(run)
            return "accept"
        case .timeTooNew: return "time-future"
        case .some: return "invalid"
        }
    }

    @Test("accepts and refuses what Bitcoin Core accepts and refuses")
    func batch() throws {
        let now = WallClockTime(seconds: Int64(Date().timeIntervalSince1970))
        var groups: [[Case]] = []
        for group in 0..<40 as Range<UInt64> {
            // Fifty sequences share a chain state, which is slow to make.
            var chain = HeaderChain(network: .regtest, salt: group)
            groups.append(
                (0..<50).flatMap { Self.sequence(seed: group * 50 + $0 + 1, now: now, into: &chain) })
        }
        let lines = groups.map { $0.map { Hex.encode($0.header.bytes) + "\n" }.joined() }.joined(separator: "\n")
        let answer = try KernelOracle.run([], input: Data(lines.utf8))
        let verdicts = answer.split(separator: "\n")
        let cases = groups.flatMap { $0 }
        try #require(verdicts.count == cases.count)
        for (verdict, judged) in zip(verdicts, cases) where verdict != judged.verdict {
            // Core looks at the work before it looks for the parent: both are reasons then.
            let isUnprovenOrphan = verdict == "invalid" && judged.verdict == "missing-prev"
            #expect(isUnprovenOrphan, "Core says \(verdict), we say \(judged.verdict): \(judged.comment)")
        }
        // Enough of everything was there for this to mean something.
        let counts = Dictionary(grouping: verdicts) { $0 }.mapValues(\.count)
        for verdict in ["accept", "invalid", "missing-prev", "time-future"] {
            #expect((counts[Substring(verdict)] ?? 0) > 100, "\(counts)")
        }
    }
}
