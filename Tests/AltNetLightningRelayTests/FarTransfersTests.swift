// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetLightning
import AltNetObjects
import Testing

@testable import AltNetLightningRelay

@Suite("FarTransfers")
struct FarTransfersTests {
    private let now = MonotonicInstant.zero

    private func id(_ number: Int) -> [UInt8] { Array(repeating: UInt8(number), count: 16) }

    @Test("without room the transfer with the least bytes makes place, the oldest of those")
    func limits() {
        var transfers = FarTransfers()
        for number in 0..<16 {
            let part = [UInt8](repeating: 1, count: number == 0 ? 2 : 1)
            let outcome = transfers.onPart(part, at: 0, of: 400_000, transfer: self.id(number), now: self.now)
            #expect(outcome == .held(part.count))
        }
        #expect(transfers.replaced == 0)
        #expect(transfers.onPart([1], at: 0, of: 100, transfer: self.id(16), now: self.now) == .held(1))
        #expect(transfers.count == 16 && transfers.replaced == 1)
        // Number 0 has two bytes, and number 1 was the oldest of the others.
        #expect(transfers.onPart([1], at: 2, of: 400_000, transfer: self.id(0), now: self.now) == .held(3))
        #expect(transfers.onPart([1], at: 1, of: 400_000, transfer: self.id(2), now: self.now) == .held(2))
        #expect(transfers.onPart([1], at: 1, of: 400_000, transfer: self.id(1), now: self.now) == .held(0))
        #expect(transfers.deadline == self.now + .seconds(60))
        transfers.expire(now: self.now + .seconds(60))
        #expect(transfers.count == 0)
    }

    @Test("no more bytes than the limit, whatever is sent", arguments: 0..<20)
    func bytes(_ seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        var transfers = FarTransfers()
        var held = Array(repeating: 0, count: 24)
        for _ in 0..<500 {
            let number = Int.random(in: 0..<24, using: &random)
            let part = [UInt8](repeating: 1, count: Int.random(in: 1...65_000, using: &random))
            guard held[number] + part.count < 400_000 else { continue }
            let outcome = transfers.onPart(
                part, at: held[number], of: 400_000, transfer: self.id(number), now: self.now)
            guard case .held(let count) = outcome else {
                Issue.record("\(outcome)")
                return
            }
            #expect(count == held[number] + part.count || count == 0)
            held[number] = count
            #expect(transfers.heldBytes <= FarTransfers.maximumBytes)
            #expect(transfers.count <= FarTransfers.maximumTransfers)
        }
        #expect(transfers.replaced > 0)
    }

    @Test("beside somebody who begins transfer after transfer, an honest one completes", arguments: [1, 900])
    func attack(_ size: Int) {
        var transfers = FarTransfers()
        let transaction = (0..<50_000).map { UInt8(truncatingIfNeeded: $0) }
        var outcome = FarTransfers.Outcome.held(0)
        var begun = 0
        // Eight messages a second are what a neighbour may send; the honest part and its answer take a second.
        func begin(_ count: Int) {
            for _ in 0..<count {
                let id = [9] + (0..<15).map { UInt8(truncatingIfNeeded: begun >> ($0 % 4 * 8)) }
                begun += 1
                _ = transfers.onPart(
                    Array(repeating: 1, count: size), at: 0, of: 125_000, transfer: id, now: self.now)
            }
        }
        begin(32)
        while case .held(let count) = outcome {
            guard begun < 1000 else { break }
            let part = Array(transaction[count..<min(count + 967, transaction.count)])
            outcome = transfers.onPart(
                part, at: count, of: transaction.count, transfer: self.id(1), now: self.now)
            begin(8)
        }
        #expect(outcome == .complete(transaction))
        #expect(begun == 32 + 52 * 8, "no part was sent twice")
    }

    @Test("nobody keeps a place for longer than five minutes")
    func slow() {
        var transfers = FarTransfers()
        for part in 0..<6 {
            let now = self.now + .seconds(part * 59)
            transfers.expire(now: now)
            let outcome = transfers.onPart([1], at: part, of: 1000, transfer: self.id(1), now: now)
            #expect(outcome == .held(part == 0 ? 1 : part + 1))
        }
        #expect(transfers.deadline == self.now + .seconds(300))
    }

    @Test("parts are taken in order, a last part that comes again is known, and other lengths are refused")
    func order() {
        var transfers = FarTransfers()
        let part = [UInt8](repeating: 7, count: 30)
        #expect(transfers.onPart(part, at: 30, of: 60, transfer: self.id(1), now: self.now) == .held(0))
        #expect(transfers.onPart(part, at: 0, of: 60, transfer: self.id(1), now: self.now) == .held(30))
        #expect(transfers.onPart(part, at: 0, of: 60, transfer: self.id(1), now: self.now) == .held(30))
        #expect(transfers.onPart(part, at: 30, of: 61, transfer: self.id(1), now: self.now) == .refused(.invalid))
        #expect(transfers.onPart(part, at: 30, of: 60, transfer: self.id(1), now: self.now) == .complete(part + part))
        #expect(transfers.onPart(part, at: 30, of: 60, transfer: self.id(1), now: self.now) == .alreadyComplete)
        #expect(transfers.onPart(part, at: 0, of: 59, transfer: self.id(2), now: self.now) == .refused(.invalid))
    }

    @Test("complete transactions are handed on at the rate of one neighbour")
    func rate() {
        var transfers = FarTransfers()
        let transaction = [UInt8](repeating: 7, count: 60)
        var taken = 0
        for number in 0..<40 {
            let outcome = transfers.onPart(transaction, at: 0, of: 60, transfer: self.id(number), now: self.now)
            if case .complete = outcome { taken += 1 } else { #expect(outcome == .refused(.busy)) }
        }
        #expect(taken == 32)
    }
}
