// SPDX-License-Identifier: MIT

import AltNetBitcoin
import Testing

@testable import AltNetHeaderChain

/// Expects two cursors to judge alike whatever follows.
func expectSame(
    _ left: HeaderCursor, _ right: HeaderCursor, _ comment: String, sourceLocation: SourceLocation = #_sourceLocation
) {
    func expect(_ isSame: Bool, _ what: String) {
        #expect(isSame, "\(what) differs: \(comment)", sourceLocation: sourceLocation)
    }
    expect(left.height == right.height, "height")
    expect(left.hash == right.hash, "hash")
    expect(left.time == right.time, "time")
    expect(left.bits == right.bits, "bits")
    expect(left.work == right.work, "work")
    expect(left.regularBits == right.regularBits, "regular bits")
    expect(left.periodStart?.time == right.periodStart?.time, "time of the period's start")
    expect(left.periodStart?.bits == right.periodStart?.bits, "bits of the period's start")
    // The eleven times show in the medians after each of the next ten headers, when each of these has the latest time.
    var (one, other) = (left, right)
    for step in 0..<11 {
        expect(one.medianTimePast == other.medianTimePast, "median time after \(step) more headers")
        var header = BlockHeader(
            version: 4, previous: one.hash, merkleRoot: .zero, time: .max, bits: one.bits, nonce: UInt32(step))
        if let regular = one.regularBits { header.bits = regular }
        header.time = max(one.time, one.medianTimePast) + 1
        let hash = BlockHash(number: UInt256(UInt64(step)))
        let results = (
            Result { () throws(HeaderRule) in
                try one.step(onto: header, hash: hash, target: .max, latestTime: .max)
            },
            Result { () throws(HeaderRule) in
                try other.step(onto: header, hash: hash, target: .max, latestTime: .max)
            }
        )
        switch results {
        case (.success, .success): break
        case (.failure(let rule), .failure(let otherRule)):
            expect(rule == otherRule, "rule \(rule)")
            return
        case (.success, .failure(let rule)), (.failure(let rule), .success): expect(false, "verdict \(rule)")
        }
    }
}
