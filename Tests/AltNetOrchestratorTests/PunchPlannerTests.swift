// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetHolePunch
import AltNetPunchReports
import Testing

@testable import AltNetOrchestrator

@Suite("Whom to connect to through a NAT")
struct PunchPlannerTests {
    private static func begin(_ endpoint: CoordinationEndpoint, _ planner: inout PunchPlanner) {
        let isFirst = planner.began(endpoint)
        #expect(isFirst)
    }

    private func at(_ seconds: Int) -> MonotonicInstant { .zero + .seconds(seconds) }

    @Test func `Nobody is called who was not asked for`() {
        let planner = PunchPlanner(wanted: 0)
        #expect(!planner.isDue(standing: 0, now: self.at(1_000)))
    }

    @Test func `One at a time, as many as are wanted, with a pause between`() throws {
        var planner = PunchPlanner(wanted: 2)
        let (first, second) = (try offer(30).endpoint, try offer(31).endpoint)
        #expect(planner.isDue(standing: 0, now: self.at(0)))
        Self.begin(first, &planner)
        let again = planner.began(first)
        #expect(!again)
        #expect(!planner.isDue(standing: 0, now: self.at(5)))
        planner.ended(first, connected: true, now: self.at(6))
        #expect(!planner.isDue(standing: 1, now: self.at(15)))
        #expect(planner.isDue(standing: 1, now: self.at(16)))
        Self.begin(second, &planner)
        planner.ended(second, connected: true, now: self.at(20))
        #expect(!planner.isDue(standing: 2, now: self.at(1_000)))
    }

    @Test func `A network group in which we are connected is left alone, and so is who is connected`() throws {
        let planner = PunchPlanner(wanted: 2)
        func candidate(_ hosts: String...) throws -> PunchCandidate {
            PunchCandidate(endpoint: try offer(30).endpoint, addresses: try OfferedAddresses(hosts: hosts))
        }
        let (known, silent) = (try candidate("30.40.1.1"), try candidate())
        func allows(
            _ candidate: PunchCandidate, standing: Set<CoordinationEndpoint> = [], groups: Set<String> = []
        ) -> Bool {
            planner.allows(candidate, standing: standing, groups: groups, now: self.at(0))
        }
        #expect(allows(known))
        #expect(allows(known, groups: ["31.40", "onion"]))
        #expect(!allows(known, groups: ["30.40"]))
        #expect(allows(silent, groups: ["30.40"]))
        #expect(!allows(silent, standing: [known.endpoint]))
        // With addresses of both families it is in both groups.
        let both = try candidate("30.40.1.1", "2a00:1450::1")
        #expect(allows(both))
        for group in both.addresses.networkGroups { #expect(!allows(both, groups: [group, "31.40"]), "\(group)") }
    }

    @Test func `A lie about an address is held against the offer, not against the endpoint`() throws {
        var planner = PunchPlanner(wanted: 1)
        let lie = try offer(30)
        let silent = try #require(PunchOffer(endpoint: lie.endpoint, clearnet: nil))
        Self.begin(lie.endpoint, &planner)
        planner.ended(lie.endpoint, lies: [lie], now: self.at(0))
        #expect(planner.isLie(lie, now: self.at(1)) && !planner.isLie(silent, now: self.at(1)))
        #expect(planner.pause(of: lie.endpoint, now: self.at(1)) == nil)
        #expect(planner.isDue(standing: 0, now: self.at(10)) && !planner.isDue(standing: 0, now: self.at(9)))
        #expect(!planner.isLie(lie, now: self.at(1_800)))
        for number in 1...PunchPlanner.maximumLies + 5 {
            let other = try #require(
                PunchOffer(endpoint: lie.endpoint, clearnet: [8, 8, UInt8(number >> 8), UInt8(number & 0xff)]))
            planner.ended(lie.endpoint, lies: [other], now: self.at(0))
        }
        #expect(planner.lieCount == PunchPlanner.maximumLies)
    }

    @Test func `Who was not reached is left alone, each time twice as long, up to four hours`() throws {
        var planner = PunchPlanner(wanted: 1)
        let endpoint = try offer(30).endpoint
        var now = self.at(0)
        var pauses: [Int64] = []
        for _ in 0..<9 {
            Self.begin(endpoint, &planner)
            planner.ended(endpoint, connected: false, now: now)
            let pause = try #require(planner.pause(of: endpoint, now: now))
            pauses.append(pause.components.seconds)
            now = now + pause
            #expect(planner.pause(of: endpoint, now: now) == nil)
        }
        #expect(pauses == [240, 480, 960, 1_920, 3_840, 7_680, 14_400, 14_400, 14_400])
        // A connection forgives nothing before it has lasted; then it does, and so does another network.
        Self.begin(endpoint, &planner)
        planner.ended(endpoint, connected: true, now: now)
        planner.failed(endpoint, now: now)
        #expect(planner.pause(of: endpoint, now: now) == .seconds(14_400))
        planner.lasted(endpoint)
        Self.begin(endpoint, &planner)
        planner.ended(endpoint, connected: false, now: now)
        #expect(planner.pause(of: endpoint, now: now) == .seconds(240))
        planner.forgetFailures()
        #expect(planner.pause(of: endpoint, now: now) == nil)
        #expect(planner.isDue(standing: 0, now: now))
    }

    @Test func `Many failures in a row slow everything down, to ten minutes at most`() throws {
        var planner = PunchPlanner(wanted: 1)
        var now = self.at(0)
        for number in UInt8(1)...20 {
            let endpoint = try offer(number).endpoint
            #expect(planner.isDue(standing: 0, now: now))
            Self.begin(endpoint, &planner)
            planner.ended(endpoint, connected: false, now: now)
            let pause = min(600, 10 << min(Int64(number) - 1, 10))
            #expect(!planner.isDue(standing: 0, now: now + .seconds(pause - 1)))
            now = now + .seconds(pause)
        }
    }

    @Test func `Connections that come to nothing slow everything down until one lasts`() throws {
        var planner = PunchPlanner(wanted: 1)
        var now = self.at(0)
        for number in UInt8(1)...5 {
            let endpoint = try offer(number).endpoint
            Self.begin(endpoint, &planner)
            planner.ended(endpoint, connected: true, now: now)
            // Our node does not take it, which is no fault of the endpoint's.
            planner.slowDown(now: now)
            #expect(planner.pause(of: endpoint, now: now) == nil)
            let pause = 10 << (Int64(number) - 1)
            #expect(!planner.isDue(standing: 0, now: now + .seconds(pause - 1)))
            now = now + .seconds(pause)
            #expect(planner.isDue(standing: 0, now: now))
        }
        let endpoint = try offer(1).endpoint
        Self.begin(endpoint, &planner)
        #expect(!planner.isDue(standing: 0, now: now))
        planner.gaveUp(endpoint)
        #expect(planner.isDue(standing: 0, now: now) && planner.streak == 5)
        planner.lasted(endpoint)
        #expect(planner.streak == 0)
    }

    @Test func `No more endpoints are remembered than there can be offers`() {
        var planner = PunchPlanner(wanted: 1)
        for number in 0..<UInt16(PunchPlanner.maximumFailed + 50) {
            let key = [UInt8](repeating: 0, count: 30) + [UInt8(number >> 8), UInt8(number & 255)]
            let endpoint = CoordinationEndpoint.i2p(hash: key)
            Self.begin(endpoint, &planner)
            planner.ended(endpoint, connected: false, now: self.at(Int(number)))
        }
        #expect(planner.failureCount == PunchPlanner.maximumFailed)
    }

    @Test func `Witnesses are distinct, on the Internet, and one of each network group comes first`() {
        let chosen = PunchWitnesses.choose(among: [
            "8.8.8.8:8333", "8.8.4.4:8333", "8.8.8.8:8333", "127.0.0.1:8333", "10.0.0.1:8333", "203.0.113.5:8333",
            "abc.onion:8333", "9.9.9.9:8333", "[2a00:1450::1]:8333", "host.example:8333", "", "1.1.1.1",
        ])
        #expect(chosen.witnesses == ["8.8.4.4:8333", "9.9.9.9:8333", "[2a00:1450::1]:8333", "8.8.8.8:8333"])
        let many = (0..<200).map { "8.\($0).1.1:8333" }
        #expect(PunchWitnesses.choose(among: many).witnesses.count == PunchOperation.maximumWitnesses)
    }
}
