// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import HeaderTestSupport
import Testing

@testable import AltNetHeaderChain

@Suite("HeaderCursor")
struct HeaderCursorTests {
    private let genesis = Network.regtest.genesis
    private let later = WallClockTime(seconds: 1_700_000_000)

    private func advance(
        _ cursor: inout HeaderCursor, over headers: [BlockHeader], now: WallClockTime
    ) -> HeaderRejection? {
        headers.bytes.withUnsafeBytes { cursor.advance(over: $0, now: now) { _ in } }
    }

    /// A cursor on the last of some headers after genesis, all of them good.
    private func cursor(over headers: [BlockHeader]) throws -> HeaderCursor {
        var cursor = HeaderCursor(genesisOf: .regtest)
        try #require(self.advance(&cursor, over: headers, now: self.later) == nil)
        return cursor
    }

    /// What becomes of one header after others.
    private func rule(of header: BlockHeader, after headers: [BlockHeader], now: WallClockTime? = nil) throws
        -> HeaderRule?
    {
        var cursor = try self.cursor(over: headers)
        let rejection = self.advance(&cursor, over: [header], now: now ?? self.later)
        #expect(cursor.hash == (rejection == nil ? header : headers.last ?? self.genesis).hash)
        if let rejection { #expect(rejection.height == UInt32(headers.count) + 1 && rejection.position == 0) }
        return rejection?.rule
    }

    @Test("starts on the genesis header with its work")
    func genesisCursor() {
        for network in Network.allCases {
            let cursor = HeaderCursor(genesisOf: network)
            #expect(cursor.height == 0)
            #expect(cursor.hash == network.chainHash)
            #expect(cursor.work == network.genesis.bits.work)
            #expect(cursor.medianTimePast == network.genesis.time)
        }
    }

    @Test("steps over good headers, and tells of each")
    func good() throws {
        let headers = HeaderMiner.chain(100)
        var cursor = HeaderCursor(genesisOf: .regtest)
        var seen: [BlockHash] = []
        var heights: [UInt32] = []
        let rejection = headers.bytes.withUnsafeBytes { bytes in
            cursor.advance(over: bytes, now: self.later) {
                seen.append($0.hash)
                heights.append($0.height)
            }
        }
        #expect(rejection == nil)
        #expect(seen == headers.map(\.hash))
        #expect(heights == Array(1...100))
        #expect(cursor.work == UInt256(202))
        #expect(cursor.time == headers[99].time)
    }

    @Test("leaves an incomplete header at the end alone")
    func incomplete() throws {
        var cursor = HeaderCursor(genesisOf: .regtest)
        let bytes = HeaderMiner.chain(3).bytes
        for count in [0, 1, 79] {
            #expect(bytes.prefix(count).withUnsafeBytes { cursor.advance(over: $0, now: self.later) { _ in } } == nil)
            #expect(cursor.height == 0)
        }
        #expect(bytes.prefix(239).withUnsafeBytes { cursor.advance(over: $0, now: self.later) { _ in } } == nil)
        #expect(cursor.height == 2)
    }

    @Test("refuses what does not build on the header before")
    func notConnected() throws {
        let headers = HeaderMiner.chain(5)
        let stranger = HeaderMiner.header(on: headers[3].hash, time: headers[4].time + 1)
        #expect(
            try self.rule(of: stranger, after: headers)
                == .notConnected(expected: headers[4].hash, found: headers[3].hash))
    }

    @Test("refuses a hash above the target")
    func highHash() throws {
        let headers = HeaderMiner.chain(5)
        let good = HeaderMiner.header(on: headers[4].hash, time: headers[4].time + 1)
        let bad = HeaderMiner.mined(good, isProven: false)
        #expect(try self.rule(of: bad, after: headers) == .insufficientWork(hash: bad.hash))
        #expect(try self.rule(of: good, after: headers) == nil)
    }

    @Test(
        "refuses bits that are no target of the network",
        arguments: [0, 0x0080_0000, 0x2080_ffff, 0x207f_ffff + 1, 0x2100_8000, 0x2200_ffff, 0xffff_ffff] as [UInt32])
    func invalidBits(bits: UInt32) throws {
        let header = HeaderMiner.header(
            on: self.genesis.hash, time: self.genesis.time + 1, bits: CompactTarget(bits))
        #expect(try self.rule(of: header, after: []) == .invalidBits(CompactTarget(bits)))
    }

    @Test("refuses harder bits than the rule yields even when the work is there")
    func wrongBits() throws {
        let bits = CompactTarget(0x207f_fffe)
        let header = HeaderMiner.header(on: self.genesis.hash, time: self.genesis.time + 1, bits: bits)
        #expect(
            try self.rule(of: header, after: [])
                == .wrongBits(expected: Network.regtest.proofOfWorkLimit, found: bits))
    }

    @Test("wants a time after the median of the eleven headers before", arguments: [1, 2, 3, 5, 10, 11, 12, 13, 30])
    func timeTooOld(count: Int) throws {
        var generator = SeededRandom(seed: UInt64(count))
        // Times that jump about, each after the median so far.
        var headers: [BlockHeader] = []
        for _ in 0..<count {
            let median = Self.median(of: [self.genesis] + headers)
            let time = median + UInt32.random(in: 1...5000, using: &generator)
            headers.append(HeaderMiner.header(on: (headers.last ?? self.genesis).hash, time: time))
        }
        let median = Self.median(of: [self.genesis] + headers)
        let last = try #require(headers.last)
        #expect(try self.cursor(over: headers).medianTimePast == median)
        for time in [median - 1, median] {
            #expect(
                try self.rule(of: HeaderMiner.header(on: last.hash, time: time), after: headers)
                    == .timeTooOld(medianTimePast: median, found: time))
        }
        #expect(try self.rule(of: HeaderMiner.header(on: last.hash, time: median + 1), after: headers) == nil)
    }

    private static func median(of headers: [BlockHeader]) -> UInt32 {
        let times = headers.suffix(11).map(\.time).sorted()
        return times[times.count / 2]
    }

    @Test("wants a time at most two hours ahead of our clock")
    func timeTooNew() throws {
        let headers = HeaderMiner.chain(3)
        let now: Int64 = 1_400_000_000
        let clock = WallClockTime(milliseconds: now * 1000 + 999)
        let last = try #require(headers.last)
        let good = HeaderMiner.header(on: last.hash, time: UInt32(now + 7200))
        let bad = HeaderMiner.header(on: last.hash, time: UInt32(now + 7201))
        #expect(try self.rule(of: good, after: headers, now: clock) == nil)
        #expect(
            try self.rule(of: bad, after: headers, now: clock)
                == .timeTooNew(latest: now + 7200, found: UInt32(now + 7201)))
    }

    @Test("wants version 4 from the first block on", arguments: [Int32.min, -1, 0, 1, 2, 3])
    func versionTooOld(version: Int32) throws {
        let headers = HeaderMiner.chain(2)
        let bad = HeaderMiner.header(on: headers[1].hash, time: headers[1].time + 1, version: version)
        #expect(try self.rule(of: bad, after: headers) == .versionTooOld(minimum: 4, found: version))
        let good = HeaderMiner.header(on: headers[1].hash, time: headers[1].time + 1, version: 4)
        #expect(try self.rule(of: good, after: headers) == nil)
    }

    @Test("stands on the last good header when a bad one follows", arguments: [0, 1, 7, 19])
    func rejectionPosition(position: Int) throws {
        var headers = HeaderMiner.chain(20)
        headers[position] = HeaderMiner.mined(headers[position], isProven: false)
        var cursor = HeaderCursor(genesisOf: .regtest)
        let rejection = try #require(self.advance(&cursor, over: headers, now: self.later))
        #expect(rejection.position == position)
        #expect(rejection.height == UInt32(position) + 1)
        #expect(cursor.height == UInt32(position))
        #expect(rejection.description.contains("high-hash"))
    }

    @Test("has Core's name for every rule")
    func names() {
        let hash = BlockHash.zero
        let bits = CompactTarget(0x1d00_ffff)
        let rules: [(HeaderRule, String)] = [
            (.notConnected(expected: hash, found: hash), "prev-blk-not-found"), (.invalidBits(bits), "high-hash"),
            (.insufficientWork(hash: hash), "high-hash"), (.wrongBits(expected: bits, found: bits), "bad-diffbits"),
            (.impossibleRetarget(from: bits, to: bits), "bad-diffbits"),
            (.timeTooOld(medianTimePast: 1, found: 1), "time-too-old"),
            (.timewarp(earliest: 1, found: 0), "time-timewarp-attack"),
            (.timeTooNew(latest: 0, found: 1), "time-too-new"), (.versionTooOld(minimum: 4, found: 1), "bad-version"),
        ]
        for (rule, name) in rules { #expect(rule.name == name) }
        #expect(Set(rules.map(\.0.description)).count == rules.count)
    }
}

@Suite("MedianTimes")
struct MedianTimesTests {
    @Test("is the median of the last eleven, whatever their order", arguments: 1...20 as ClosedRange<UInt64>)
    func random(seed: UInt64) {
        var generator = SeededRandom(seed: seed)
        let first = UInt32.random(in: 0...20, using: &generator)
        var times = [first]
        var window = MedianTimes(genesisTime: first)
        for _ in 0..<200 {
            // Few different values, so that equal ones are common.
            let time = UInt32.random(in: 0...20, using: &generator)
            times.append(time)
            window.append(time)
            let sorted = times.suffix(11).sorted()
            #expect(window.median == sorted[sorted.count / 2], "seed \(seed)")
            #expect(window.newest == time, "seed \(seed)")
        }
    }

    @Test("takes for old what lies before a trusted header")
    func trusted() {
        var window = MedianTimes(trustedTime: 1000)
        #expect(window.median == 0)
        for time in 1001...1004 as ClosedRange<UInt32> { window.append(time) }
        #expect(window.median == 0)
        window.append(1005)
        #expect(window.median == 1000)
    }
}
