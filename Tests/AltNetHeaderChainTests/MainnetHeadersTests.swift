// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import Foundation
import HeaderTestSupport
import Testing

@testable import AltNetHeaderChain

/// 2,634 real headers, heights 586,656 to 589,289, with the retarget at 588,672 among them.
private enum MainnetHeaders {
    static let firstHeight: UInt32 = 586_656
    static let retargetHeight: UInt32 = 588_672

    /// The directory of shared test data: not part of the repository.
    static let url: URL = {
        let name = "data/mainnet-headers-586656.bin"
        if let shared = ProcessInfo.processInfo.environment["ALTNET_SHARED"] {
            return URL(fileURLWithPath: shared).appendingPathComponent(name)
        }
        let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return repository.deletingLastPathComponent().appendingPathComponent("shared").appendingPathComponent(name)
    }()

    static var areThere: Bool { FileManager.default.fileExists(atPath: Self.url.path) }

    static func load() throws -> [BlockHeader] {
        let bytes = [UInt8](try Data(contentsOf: Self.url))
        return try stride(from: 0, to: bytes.count, by: BlockHeader.size).map {
            try #require(BlockHeader(bytes: bytes[$0..<$0 + BlockHeader.size]))
        }
    }
}

@Suite(
    "HeaderCursor on the main chain",
    .enabled(
        if: MainnetHeaders.areThere,
        "the shared data set mainnet-headers-586656.bin is missing: set ALTNET_SHARED to the directory with data/"))
struct MainnetHeadersTests {
    private let now = WallClockTime(seconds: 1_790_000_000)

    private func cursor(_ headers: [BlockHeader], at position: Int = 0) -> HeaderCursor {
        HeaderCursor(
            network: .main, trusted: headers[position], height: MainnetHeaders.firstHeight + UInt32(position))
    }

    private func advance(_ cursor: inout HeaderCursor, over headers: [BlockHeader]) -> HeaderRejection? {
        headers.bytes.withUnsafeBytes { cursor.advance(over: $0, now: self.now) { _ in } }
    }

    @Test("accepts the real headers from the first of a period across the retarget")
    func real() throws {
        let headers = try MainnetHeaders.load()
        #expect(headers.count == 2634)
        var cursor = self.cursor(headers)
        #expect(cursor.knowsPeriodStart)
        #expect(self.advance(&cursor, over: Array(headers.dropFirst())) == nil)
        #expect(cursor.height == 589_289)
        #expect(cursor.hash == headers[2633].hash)
        #expect(cursor.bits == CompactTarget(0x171c_3039))
        let works = headers.dropFirst().reduce(Work.zero) { $0 &+ $1.bits.work }
        #expect(cursor.work == works)
        let median = try #require(headers.suffix(11).map(\.time).sorted().dropFirst(5).first)
        #expect(cursor.medianTimePast == median)
    }

    @Test(
        "accepts the real headers from any place, and learns the period at its next start",
        arguments: [1, 1000, 2015, 2016, 2017, 2632])
    func middle(position: Int) throws {
        let headers = try MainnetHeaders.load()
        var cursor = self.cursor(headers, at: position)
        #expect(cursor.knowsPeriodStart == (position == 2016))
        #expect(self.advance(&cursor, over: Array(headers[(position + 1)...])) == nil)
        #expect(cursor.height == 589_289)
        #expect(cursor.knowsPeriodStart == (position <= 2016))
    }

    enum Spoiling: String, CaseIterable {
        case version, previous, merkleRoot, time, easierBits, harderBits, noBits, negativeBits, nonce

        func spoil(_ header: BlockHeader) -> BlockHeader {
            var header = header
            switch self {
            case .version: header.version &+= 1
            case .previous: header.previous = BlockHash(number: header.previous.number &+ UInt256(1))
            case .merkleRoot: header.merkleRoot = BlockHash(number: header.merkleRoot.number &+ UInt256(1))
            case .time: header.time += 1
            case .easierBits: header.bits = CompactTarget(0x1d00_ffff)
            case .harderBits: header.bits = CompactTarget(header.bits.rawValue - 1)
            case .noBits: header.bits = CompactTarget(0)
            case .negativeBits: header.bits = CompactTarget(header.bits.rawValue | 0x0080_0000)
            case .nonce: header.nonce ^= 1
            }
            return header
        }
    }

    @Test(
        "refuses a header with one spoiled field at its height, and stays on the one before",
        arguments: Spoiling.allCases, [1, 2, 11, 700, 2015, 2016, 2017, 2633])
    func spoiled(spoiling: Spoiling, position: Int) throws {
        var headers = try MainnetHeaders.load()
        let good = headers[position]
        headers[position] = spoiling.spoil(good)
        var cursor = self.cursor(headers)
        let rejection = try #require(self.advance(&cursor, over: Array(headers.dropFirst())))
        #expect(rejection.height == MainnetHeaders.firstHeight + UInt32(position))
        #expect(rejection.position == position - 1)
        switch spoiling {
        case .previous:
            #expect(
                rejection.rule == .notConnected(expected: good.previous, found: headers[position].previous))
        case .noBits, .negativeBits: #expect(rejection.rule == .invalidBits(headers[position].bits))
        case .version, .merkleRoot, .time, .easierBits, .harderBits, .nonce:
            #expect(rejection.rule == .insufficientWork(hash: headers[position].hash))
        }
        #expect(cursor.height == rejection.height - 1)
        #expect(cursor.hash == headers[position - 1].hash)
    }

    @Test("demands the bits that the retarget rule yields, and the old ones everywhere else")
    func bits() throws {
        let headers = try MainnetHeaders.load()
        for (position, bits) in [(2015, 0x171c_3039), (2016, 0x171f_3a08), (2016, 0x171c_303a), (2017, 0x171f_3a08)] {
            var cursor = self.cursor(headers)
            #expect(self.advance(&cursor, over: Array(headers[1..<position])) == nil)
            var header = headers[position]
            let right = header.bits
            header.bits = CompactTarget(UInt32(bits))
            // The work cannot be made here, so the rules that come after it are asked by themselves.
            #expect(throws: HeaderRule.wrongBits(expected: right, found: header.bits)) {
                try cursor.step(onto: header, hash: .zero, target: .zero, latestTime: .max)
            }
            header.bits = right
            #expect(throws: Never.self) {
                try cursor.step(onto: header, hash: .zero, target: .zero, latestTime: .max)
            }
        }
    }

    @Test(
        "allows at the retarget after a trusted start in the middle of a period no more than a factor of four",
        arguments: [
            (0x171c_3039, true), (0x171f_3a08, true), (0x177c_e820, true), (0x177c_e821, false),
            (0x1707_ce82, true), (0x1707_ce81, false), (0x1d00_ffff, false), (0x1600_0001, false),
        ] as [(UInt32, Bool)])
    func unknownRetarget(bits: UInt32, isPossible: Bool) throws {
        let headers = try MainnetHeaders.load()
        var cursor = self.cursor(headers, at: 1000)
        #expect(self.advance(&cursor, over: Array(headers[1001..<2016])) == nil)
        var header = headers[2016]
        header.bits = CompactTarget(bits)
        let rule = self.rule(of: header, after: cursor)
        #expect(rule == (isPossible ? nil : .impossibleRetarget(from: CompactTarget(0x171f_3a08), to: header.bits)))
    }

    private func rule(of header: BlockHeader, after cursor: HeaderCursor) -> HeaderRule? {
        var cursor = cursor
        do throws(HeaderRule) {
            try cursor.step(onto: header, hash: .zero, target: .zero, latestTime: .max)
            return nil
        } catch {
            return error
        }
    }

    @Test(
        "demands the version of each height",
        arguments: [
            (227_930, Int32.min, true), (227_931, 1, false), (227_931, 2, true), (363_724, 2, true),
            (363_725, 2, false), (363_725, 3, true), (388_380, 3, true), (388_381, 3, false), (388_381, -1, false),
            (388_381, 4, true),
        ] as [(UInt32, Int32, Bool)])
    func versions(height: UInt32, version: Int32, isGood: Bool) throws {
        let headers = try MainnetHeaders.load()
        var header = headers[1]
        header.version = version
        let cursor = HeaderCursor(network: .main, trusted: headers[0], height: height - 1)
        let rule = self.rule(of: header, after: cursor)
        let minimum: Int32 = height >= 388_381 ? 4 : height >= 363_725 ? 3 : 2
        #expect(rule == (isGood ? nil : .versionTooOld(minimum: minimum, found: version)))
    }

    @Test("keeps the order of the rules: work, bits, median time, future, version")
    func order() throws {
        let headers = try MainnetHeaders.load()
        var cursor = self.cursor(headers)
        #expect(self.advance(&cursor, over: Array(headers[1..<20])) == nil)
        var header = headers[20]
        let right = header.bits
        (header.version, header.bits, header.time) = (1, CompactTarget(0x171f_3a07), cursor.medianTimePast)
        #expect(throws: HeaderRule.wrongBits(expected: right, found: header.bits)) {
            try cursor.step(onto: header, hash: .zero, target: .zero, latestTime: 0)
        }
        header.bits = right
        #expect(throws: HeaderRule.timeTooOld(medianTimePast: header.time, found: header.time)) {
            try cursor.step(onto: header, hash: .zero, target: .zero, latestTime: 0)
        }
        header.time += 1
        #expect(throws: HeaderRule.timeTooNew(latest: 0, found: header.time)) {
            try cursor.step(onto: header, hash: .zero, target: .zero, latestTime: 0)
        }
        #expect(throws: HeaderRule.versionTooOld(minimum: 4, found: 1)) {
            try cursor.step(onto: header, hash: .zero, target: .zero, latestTime: Int64(header.time))
        }
    }
}
