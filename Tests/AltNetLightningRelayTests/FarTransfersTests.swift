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

    @Test("no more transfers and bytes than the limits allow, and each place is free again after a minute")
    func limits() {
        var transfers = FarTransfers()
        for number in 0..<16 {
            #expect(transfers.onPart([1], at: 0, of: 1000, transfer: self.id(number), now: self.now) == .held(1))
        }
        #expect(transfers.onPart([1], at: 0, of: 100, transfer: self.id(16), now: self.now) == .refused(.busy))
        #expect(transfers.deadline == self.now + .seconds(60))
        transfers.expire(now: self.now + .seconds(60))
        #expect(transfers.count == 0)
        for number in 0..<5 {
            let outcome = transfers.onPart([1], at: 0, of: 400_000, transfer: self.id(number), now: self.now)
            #expect(outcome == .held(1))
        }
        #expect(transfers.onPart([1], at: 0, of: 60, transfer: self.id(9), now: self.now) == .refused(.busy))
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
