// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetHolePunch
internal import AltNetTransport
internal import Foundation
internal import Glibc

/// What hole punching costs on this machine itself. How long it takes over networks is a matter of these:
/// docs/hole-punching.md has the table.
enum PunchBench {
    private static let openings = 40
    private static let offers = 1_000
    private static let requests = 200_000
    /// The lead before the agreed moment: both sides are ready well before it.
    private static let lead: Duration = .milliseconds(20)

    static func run() async throws {
        try await self.open()
        try self.learn()
        self.refuse()
    }

    /// From the agreed moment until both ends of a simultaneous open stand.
    private static func open() async throws {
        var (bare, ours): ([Double], [Double]) = ([], [])
        for _ in 0..<Self.openings {
            bare.append(try Self.plainConnect())
            let (a, b) = (try Self.port(), try Self.port())
            let at = MonotonicInstant.now + Self.lead
            async let first = Self.open(from: a, to: b, at: at)
            async let second = Self.open(from: b, to: a, at: at)
            let ends = (try await first, try await second)
            ours.append((max(ends.0.at, ends.1.at) - at).inSeconds)
            ends.0.connection.abort()
            ends.1.connection.abort()
        }
        Figure.print("plain connect on loopback, median", Self.median(bare) * 1000, "ms")
        Figure.print(
            "simultaneous open on loopback, from the agreed moment until both ends stand, median",
            Self.median(ours) * 1000, "ms", atMost: 5,
            of: "one try each: poll(2) wakes up to 1 ms late, and a first SYN may meet nobody, 5 ms before the next")
    }

    private static func port() throws -> ReusedPort { try ReusedPort(HostAndPort(host: "127.0.0.1", port: 0)) }

    private static func open(
        from port: ReusedPort, to other: ReusedPort, at: MonotonicInstant
    ) async throws -> SimultaneousOpen.Opened {
        let plan = SimultaneousOpen.Plan(
            remote: HostAndPort(host: "127.0.0.1", port: other.port), at: at, deadline: at + .seconds(3))
        return try await SimultaneousOpen.run(plan, from: port) { _ in }
    }

    /// One blocking connect to a socket that listens, in seconds.
    private static func plainConnect() throws -> Double {
        struct NoSocket: Error {}
        let (listener, caller) = (
            socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0), socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        )
        defer {
            close(listener)
            close(caller)
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        return try withUnsafeMutablePointer(to: &address) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { place in
                guard bind(listener, place, length) == 0, listen(listener, 1) == 0,
                    getsockname(listener, place, &length) == 0
                else { throw NoSocket() }
                let took = ContinuousClock().measure { _ = connect(caller, place, length) }
                return took.inSeconds
            }
        }
    }

    private static func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

    /// A book that fills up, from as many links as that takes.
    private static func learn() throws {
        let time = UInt32(clamping: Int64(Date().timeIntervalSince1970))
        let clock = WallClockTime(seconds: Int64(time))
        let told = (0..<Self.offers).flatMap { number -> [NodeAddress] in
            let key = (0..<32).map { UInt8(truncatingIfNeeded: (number &* 31) >> (($0 % 4) * 8) &+ $0) }
            let clearnet: [UInt8] = [11 + UInt8(number % 100), UInt8(number / 100), 3, 4]
            return PunchOffer(endpoint: .onion(publicKey: key, port: 8333), clearnet: clearnet)?.encodings(time: time)
                ?? []
        }
        let decoding = Stopwatch.best { for address in told { _ = PunchOffer(address) } }
        var learnt: UInt64 = 0
        let learning = Stopwatch.best {
            var random = SystemRandomNumberGenerator()
            var book = OfferBook<Int>()
            for (number, address) in told.enumerated() {
                _ = book.learn(
                    [address], from: number / 16, origin: "\(number / 16)", links: Array(0..<20), now: .zero,
                    clock: clock, random: &random)
            }
            learnt = UInt64(book.counts.learnt)
        }
        let count = Double(told.count)
        Figure.print("offers decoded", count / decoding, "offers/s")
        Figure.print(
            "offers taken into a book until it is full (\(learnt) of \(told.count))", count / learning, "offers/s",
            atLeast: 1_000, of: "twenty times what 1,024 links may tell: an offer in 20 s each")
    }

    /// Requests beyond the tokens, from as many endpoints as there may be.
    private static func refuse() {
        var now = MonotonicInstant.zero
        var limits = PunchLimits(now: now)
        let endpoint = CoordinationEndpoint.onion(publicKey: [UInt8](repeating: 7, count: 32), port: 8333)
        var refused = 0
        let took = Stopwatch.once {
            for _ in 0..<Self.requests {
                // 10,000 a minute.
                now = now + .milliseconds(6)
                if limits.request(at: endpoint, now: now) == nil { limits.requestEnded() } else { refused += 1 }
            }
        }
        Figure.print(
            "requests judged while 10,000 a minute come (\(refused) of \(Self.requests) refused)",
            Double(Self.requests) / took, "requests/s", atLeast: 16_700, of: "a hundred times that flood")
    }
}
