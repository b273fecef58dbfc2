// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetPeerRecords

/// Which addresses are left alone for a while because they failed.
///
/// An entry belongs to a peer and an address together. Were it the address alone, somebody could claim the address of
/// another peer, fail there as himself, and so make that peer unreachable for us.
struct DialBackOff: Sendable {
    /// The pause after the first failure is about this: a peer that restarts is back within it.
    static let first: Duration = .seconds(5)
    /// Pauses double up to this: what has been gone for hours is tried a few times in an hour.
    static let longest: Duration = .seconds(600)
    /// Failures that are remembered: some hundred bytes each. One more pushes out what would be forgotten first, which
    /// only means that this address may be tried a little too soon.
    static let maximumEntries = 4_096

    struct Key: Hashable, Sendable {
        let peer: PeerID
        let address: Multiaddress
    }

    private struct Entry {
        let failures: Int
        let until: MonotonicInstant

        /// The number of failures outlives the pause, or pauses would never grow.
        var forgetAt: MonotonicInstant { self.until + DialBackOff.longest }
    }

    private var entries: [Key: Entry] = [:]

    var count: Int { self.entries.count }

    /// When the address may be tried again; nil when it may be now.
    func end(_ key: Key, now: MonotonicInstant) -> MonotonicInstant? {
        guard let until = self.entries[key]?.until, now < until else { return nil }
        return until
    }

    mutating func onFailed(_ key: Key, now: MonotonicInstant, random: inout SeededRandom) {
        let earlier = self.entries[key].flatMap { now < $0.forgetAt ? $0.failures : nil } ?? 0
        if self.entries[key] == nil { self.makeRoom(now: now) }
        // Between half the pause and all of it, so that those who failed together do not come back together.
        let pause = Self.pause(after: earlier + 1)
        let jittered = Int64.random(in: pause / 2...pause, using: &random)
        self.entries[key] = Entry(failures: earlier + 1, until: now + .nanoseconds(jittered))
    }

    mutating func onConnected(_ key: Key) {
        self.entries[key] = nil
    }

    /// In nanoseconds, before the jitter.
    private static func pause(after failures: Int) -> Int64 {
        // Doubling more often than this is past the longest pause anyway.
        let doublings = min(failures - 1, 16)
        return min(Self.first.wholeNanoseconds << doublings, Self.longest.wholeNanoseconds)
    }

    private mutating func makeRoom(now: MonotonicInstant) {
        guard self.entries.count >= Self.maximumEntries else { return }
        self.entries = self.entries.filter { now < $0.value.forgetAt }
        guard self.entries.count >= Self.maximumEntries else { return }
        if let oldest = self.entries.min(by: { $0.value.forgetAt < $1.value.forgetAt }) {
            self.entries[oldest.key] = nil
        }
    }
}
