// SPDX-License-Identifier: MIT

internal import AltNetBitcoin
internal import AltNetLightning
internal import AltNetObjects

extension ObjectRequest {
    /// The request as it can be asked of a node far away: with as many hashes as `bytes` have room for, for no more
    /// headers than `room` bytes of answer hold, and without our height. `nil` when not even one hash has room.
    func fitted(into bytes: Int, room: Int) -> ObjectRequest? {
        guard case .headers(let locator, let stop, _, let limit) = self else {
            return self.lightningBody.count <= bytes ? self : nil
        }
        // Height hint, limit and stop come before the locator.
        let hashes = (bytes - 40) / 32
        // The first header is whole, the others are compressed, and the kind comes before them.
        let headers = 1 + (room - 1 - BlockHeader.size) / HeaderCompression.maximumSize
        guard hashes >= 1, room > BlockHeader.size else { return nil }
        return .headers(
            locator: Self.thinned(locator, to: hashes), stop: stop, heightHint: 0,
            limit: min(limit, UInt32(headers)))
    }

    /// At most `count` hashes of a locator: the first ones without gaps, then at gaps that double, and always the last.
    /// With room for one only, the first.
    static func thinned(_ locator: [BlockHash], to count: Int) -> [BlockHash] {
        guard locator.count > count, count > 0 else { return locator }
        for dense in stride(from: count - 1, through: 1, by: -1) {
            var chosen = Array(0..<dense)
            var (next, gap) = (dense - 1 + 2, 2)
            while next < locator.count - 1 {
                chosen.append(next)
                gap *= 2
                next += gap
            }
            chosen.append(locator.count - 1)
            if chosen.count <= count { return chosen.map { locator[$0] } }
        }
        // Too few for gaps that only double.
        guard count > 1 else { return [locator[0]] }
        return locator.prefix(count - 1) + [locator[locator.count - 1]]
    }
}
