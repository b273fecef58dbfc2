// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetKeys

/// Decides which of the things that strangers can cause at will become log lines: one for each peer and minute. Those
/// that become none are counted, and the next line says how many there were.
struct AlternativeLogLimit: Sendable {
    /// How long a peer causes no further line.
    static let pause: Duration = .seconds(60)
    /// How many peers cause lines within a pause: keys cost nothing, so each line could be that of a new peer.
    static let maximumPeers = 16

    private var logged: [NodeID: MonotonicInstant] = [:]
    private var unlogged: UInt64 = 0

    /// A peer did something: how many of these things were not logged since the last line, or `nil` when this is not to
    /// be logged either.
    mutating func line(_ peer: NodeID, now: MonotonicInstant) -> UInt64? {
        self.logged = self.logged.filter { now - $0.value < Self.pause }
        guard self.logged[peer] == nil, self.logged.count < Self.maximumPeers else {
            self.unlogged += 1
            return nil
        }
        self.logged[peer] = now
        defer { self.unlogged = 0 }
        return self.unlogged
    }
}
