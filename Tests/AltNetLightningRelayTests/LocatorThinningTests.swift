// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetObjects
import Testing

@testable import AltNetLightningRelay

@Suite("Requests that are fitted to their path")
struct LocatorThinningTests {
    private static let hashes: [BlockHash] = (0..<101).compactMap { index in
        BlockHash(bytes: [UInt8(index)] + Array(repeating: 1, count: 31))
    }

    @Test("a locator of any length fits any room, begins with the first hash and ends with the last")
    func lengths() {
        for length in 1...101 {
            let locator = Array(Self.hashes.prefix(length))
            for room in 1...101 {
                let thinned = ObjectRequest.thinned(locator, to: room)
                #expect(thinned.count <= room && !thinned.isEmpty)
                #expect(thinned.first == locator.first)
                if room > 1 { #expect(thinned.last == locator.last) }
                #expect(Set(thinned).count == thinned.count)
                if room >= length { #expect(thinned == locator) }
            }
        }
    }

    @Test("first come hashes without gaps, then gaps that double")
    func gaps() {
        let places = ObjectRequest.thinned(Self.hashes, to: 20).compactMap { Self.hashes.firstIndex(of: $0) }
        #expect(places == Array(0..<14) + [15, 19, 27, 43, 75, 100])
    }

    @Test("a request asks for no more than one answer holds, and does not tell our height")
    func limits() throws {
        let request = ObjectRequest.headers(locator: Self.hashes, stop: .zero, heightHint: 800_000, limit: 8192)
        let fitted = try #require(request.fitted(into: 711, room: 4980))
        guard case .headers(let locator, let stop, let height, let limit) = fitted else {
            Issue.record("another request")
            return
        }
        #expect(locator.count == 20 && stop == .zero && height == 0 && limit == 100)
        #expect(request.fitted(into: 71, room: 1000) == nil)
        #expect(request.fitted(into: 72, room: 1000) != nil)
        #expect(request.fitted(into: 72, room: 80) == nil)
        #expect(ObjectRequest.block(.zero).fitted(into: 32, room: 1) == .block(.zero))
        #expect(ObjectRequest.block(.zero).fitted(into: 31, room: 1) == nil)
    }
}
