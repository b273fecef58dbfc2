// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetPeerRecords
import Testing

@testable import AltNetDialing

@Suite struct DialTargetLimitTests {
    private let victim = "/ip4/203.0.113.7/tcp/22"

    private func somebody(_ number: Int) throws -> PeerID {
        let bytes = (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
        return try PeerID(bytes: [0x12, 0x20] + bytes + [UInt8](repeating: 0, count: 28))
    }

    private func known(_ text: String, _ sources: AddressSources = .dht, success: Int64? = nil) throws -> KnownAddress {
        try candidate(text, sources, success: success).known
    }

    @Test func oneAddressIsDialledForFewPeersHoweverManyAreSaidToBeThere() throws {
        var limit = DialTargetLimit()
        var now = MonotonicInstant.zero
        let address = try self.known(self.victim)
        let admitted = try (0..<60).filter { limit.admit(try self.somebody($0), at: address, now: now) }
        #expect(admitted == [0, 1, 2])
        // Those that count may be dialled again, as far as their back-off allows; others not, by whatever kind of hearsay.
        let again = limit.admit(try self.somebody(1), at: address, now: now)
        #expect(again)
        for sources in [.identify, .link, [.dht, .addrv2]] as [AddressSources] {
            let isAdmitted = limit.admit(try self.somebody(70), at: try self.known(self.victim, sources), now: now)
            #expect(!isAdmitted)
        }
        // Another port is another target, with and without the peer's id at its end.
        let other = limit.admit(try self.somebody(70), at: try self.known("/ip4/203.0.113.7/tcp/23"), now: now)
        #expect(other)
        let withID = try self.known("\(self.victim)/p2p/\(try self.somebody(71))")
        let hidden = limit.admit(try self.somebody(71), at: withID, now: now)
        #expect(!hidden)
        now = now + DialTargetLimit.window
        let later = limit.admit(try self.somebody(70), at: address, now: now)
        #expect(later)
    }

    @Test func namingOthersAtAPeersAddressDoesNotMakeItUnreachable() throws {
        var limit = DialTargetLimit()
        let now = MonotonicInstant.zero
        for number in 0..<60 { _ = limit.admit(try self.somebody(number), at: try self.known(self.victim), now: now) }
        let peer = try self.somebody(99)
        for address in [
            try self.known(self.victim, [.user, .dht]), try self.known(self.victim, .dht, success: 5),
            try self.known(self.victim, [.certified, .dht]), try self.known(self.victim, []),
            try self.known(self.victim, .connection),
        ] {
            let isAdmitted = limit.admit(peer, at: address, now: now)
            #expect(isAdmitted, "\(address.sources)")
        }
        // Invented peers can sign, too.
        let signed = try (100..<160).filter {
            limit.admit(try self.somebody($0), at: try self.known(self.victim, .certified), now: now)
        }
        #expect(signed == [100, 101])
    }

    @Test func manyTargetsDoNotMakeRoomAtOneThatHasItsNumber() throws {
        var limit = DialTargetLimit()
        let now = MonotonicInstant.zero
        for number in 0..<3 { _ = limit.admit(try self.somebody(number), at: try self.known(self.victim), now: now) }
        for number in 0..<(DialTargetLimit.maximumTargets + 500) {
            let address = "/ip4/198.51.\(number / 250).\(number % 250)/tcp/1"
            let isAdmitted = limit.admit(try self.somebody(number), at: try self.known(address), now: now)
            #expect(isAdmitted)
        }
        #expect(limit.count == DialTargetLimit.maximumTargets)
        let isAdmitted = limit.admit(try self.somebody(50), at: try self.known(self.victim), now: now)
        #expect(!isAdmitted)
    }
}
