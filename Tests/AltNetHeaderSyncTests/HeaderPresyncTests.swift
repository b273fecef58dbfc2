// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetHeaderChain
import HeaderTestSupport
import Testing

@testable import AltNetHeaderSync

@Suite("HeaderPresync")
struct HeaderPresyncTests {
    private let now = SharedChains.now

    /// What a presync did with a peer that answers from a list of headers.
    private struct Course {
        var released: [BlockHeader] = []
        var end: HeaderPresync.BatchDirective?
        var mostHeld = 0
        var batches = 0
    }

    private static func key(_ seed: UInt64) -> [UInt8] {
        var generator = SeededRandom(seed: seed)
        return (0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }

    /// Runs against a peer that shows `first` in the first pass and `second` in the second one.
    private func run(
        minimumWork: Work, first: [BlockHeader], second: [BlockHeader]? = nil, batch: Int = 2000, seed: UInt64 = 1
    ) throws -> Course {
        var presync = HeaderPresync(
            anchor: HeaderCursor(genesisOf: .regtest), minimumWork: minimumWork, key: Self.key(seed), now: self.now)
        var course = Course()
        var parent = Network.regtest.chainHash
        while course.end == nil {
            let source = presync.isRedownloading ? second ?? first : first
            let from = Int(presync.height)
            guard from < source.count else { return course }
            #expect(presync.locator.first == (from == 0 ? Network.regtest.chainHash : source[from - 1].hash))
            #expect(presync.locator.last == Network.regtest.chainHash)
            let steps = presync.onHeaders(Array(source[from..<min(from + batch, source.count)]).bytes, now: self.now)
            course.batches += 1
            course.mostHeld = max(course.mostHeld, presync.heldBytes)
            #expect(presync.heldBytes <= presync.maximumBytes)
            for step in steps {
                switch step {
                case .request: break
                case .release(let builtOn, let headers):
                    #expect(builtOn == parent)
                    for offset in stride(from: 0, to: headers.count, by: 80) {
                        course.released.append(try #require(BlockHeader(bytes: headers[offset..<offset + 80])))
                    }
                    parent = try #require(course.released.last).hash
                case .finished, .refuse: course.end = step
                }
            }
        }
        if case .refuse = course.end { #expect(presync.heldBytes == 0) }
        return course
    }

    @Test("releases a chain with enough work in order, after it was shown twice", arguments: [7, 500, 2000, 8192])
    func highWork(batch: Int) throws {
        let headers = batch == 7 ? Array(SharedChains.longHeaders[..<2000]) : SharedChains.longHeaders
        let course = try self.run(
            minimumWork: UInt256(UInt64(2 * headers.count - 100)), first: headers, batch: batch)
        #expect(course.end == .finished)
        // The last batch is handed on as a whole, so all but what a following batch would have held is there.
        #expect(course.released.count > headers.count - 100 && course.released.count <= headers.count)
        #expect(course.released == Array(headers[..<course.released.count]))
        #expect(course.mostHeld <= (HeaderPresync.redownloadBuffer + batch) * BlockHeader.size)
    }

    @Test("is content with the work that is asked for, and not with one header less")
    func exactThreshold() throws {
        let headers = Array(SharedChains.longHeaders[..<1000])
        #expect(try self.run(minimumWork: UInt256(2002), first: headers).end == .finished)
        let tooFew = try self.run(minimumWork: UInt256(2003), first: headers)
        #expect(tooFew.end == nil && tooFew.released.isEmpty)
    }

    @Test("keeps next to nothing of a flood, and releases nothing")
    func flood() throws {
        var presync = HeaderPresync(
            anchor: HeaderCursor(genesisOf: .regtest), minimumWork: .max, key: Self.key(3), now: self.now)
        var parent = Network.regtest.genesis
        for _ in 0..<100 {
            let batch = HeaderMiner.bytes(2000, on: parent, spacing: 1)
            parent = try #require(BlockHeader(bytes: batch.suffix(80)))
            #expect(presync.onHeaders(batch, now: self.now) == [.request])
            #expect(presync.heldBytes <= presync.maximumBytes)
        }
        #expect(presync.height == 200_000)
        #expect(presync.heldBytes <= 200_000 / 600 / 8 + 8)
        #expect(presync.maximumBytes < 4_000_000)
    }

    /// As long as the long chain, and another one after its first three hundred headers.
    private static let forked = SharedChains.long.forked(at: 300, 19_700, salt: 5).headers

    @Test("never hands on a chain that it was not shown the first time", arguments: 1...8 as ClosedRange<UInt64>)
    func otherSecondPass(seed: UInt64) throws {
        let fork = 300
        let first = SharedChains.longHeaders
        let second = Self.forked
        let course = try self.run(
            minimumWork: UInt256(UInt64(2 * first.count)), first: first, second: second, seed: seed)
        guard case .refuse(.commitmentMismatch(let height)) = course.end else {
            Issue.record("ended with \(String(describing: course.end)), seed \(seed)")
            return
        }
        #expect(height > UInt32(fork))
        #expect(course.released.count <= fork, "seed \(seed)")
    }

    @Test("refuses a chain that is longer than any valid one can be by now")
    func tooMany() throws {
        let genesis = Network.regtest.genesis
        let start = WallClockTime(seconds: Int64(genesis.time))
        var presync = HeaderPresync(
            anchor: HeaderCursor(genesisOf: .regtest), minimumWork: .max, key: Self.key(1), now: start)
        let limit: UInt32 = 6 * 7200
        var parent = genesis
        while presync.height + 2000 <= limit {
            let batch = HeaderMiner.bytes(2000, on: parent, spacing: 1)
            parent = try #require(BlockHeader(bytes: batch.suffix(80)))
            // The clock has gone on, else the future would be the reason.
            #expect(presync.onHeaders(batch, now: self.now) == [.request])
        }
        let last = HeaderMiner.chain(2000, on: parent, spacing: 1)
        #expect(presync.onHeaders(last.bytes, now: self.now) == [.refuse(.tooMany(limit: limit))])
        #expect(presync.onHeaders(last.bytes, now: self.now).isEmpty)
    }

    @Test("allows as many headers as the median time does")
    func sixASecond() throws {
        // The densest valid chain: six headers in every second, once eleven are there to take the median of.
        var headers = HeaderMiner.chain(11, spacing: 1)
        let first = headers[10].time + 1
        for number in 0..<3000 as Range<UInt32> {
            headers.append(HeaderMiner.header(on: headers[headers.count - 1].hash, time: first + number / 6))
        }
        var cursor = HeaderCursor(genesisOf: .regtest)
        #expect(headers.bytes.withUnsafeBytes { cursor.advance(over: $0, now: self.now) { _ in } } == nil)
        let seventh = HeaderMiner.header(on: headers[headers.count - 1].hash, time: first + 499)
        let rejection = seventh.bytes.withUnsafeBytes { cursor.advance(over: $0, now: self.now) { _ in } }
        #expect(rejection?.rule == .timeTooOld(medianTimePast: first + 499, found: first + 499))
    }

    @Test("refuses the first header that breaks a rule, in either pass", arguments: [false, true])
    func invalid(isSecond: Bool) throws {
        let good = Array(SharedChains.longHeaders[..<1000])
        var bad = good
        bad[700] = HeaderMiner.mined(bad[700], isProven: false)
        let course = try self.run(
            minimumWork: UInt256(2000), first: isSecond ? good : bad, second: bad, batch: 300)
        let rule = HeaderRule.insufficientWork(hash: bad[700].hash)
        #expect(course.end == .refuse(.invalid(HeaderRejection(height: 701, position: 100, rule: rule))))
        #expect(course.released.isEmpty)
    }

    @Test("commits to other headers and with other bits for every key")
    func keys() throws {
        // With a wrong chain in the second pass the height of the mismatch shows where the commitments are.
        let first = Array(SharedChains.longHeaders[..<6000])
        let second = HeaderMiner.chain(6000, salt: 99)
        let heights = try (1...40 as ClosedRange<UInt64>).map { seed -> UInt32? in
            let course = try self.run(minimumWork: UInt256(12_000), first: first, second: second, seed: seed)
            guard case .refuse(.commitmentMismatch(let height)) = course.end else { return nil }
            return height
        }
        // Ten coin flips: one in a thousand passes, so with these forty keys none does.
        #expect(!heights.contains(nil))
        #expect(Set(heights.compactMap { $0 }.map { $0 % 600 }).count > 25)
        #expect(heights.compactMap { $0 }.contains { $0 > 600 })
    }
}

@Suite("BitQueue")
struct BitQueueTests {
    @Test("gives back the bits it was given, first in first out", arguments: [0, 1, 63, 64, 65, 1000])
    func order(count: Int) {
        var generator = SeededRandom(seed: UInt64(count))
        let bits = (0..<count).map { _ in Bool.random(using: &generator) }
        var queue = BitQueue()
        for bit in bits { queue.append(bit) }
        #expect(queue.bytes == (count + 63) / 64 * 8)
        for bit in bits { #expect(queue.removeFirst() == bit) }
        #expect(queue.removeFirst() == nil)
    }
}
