// SPDX-License-Identifier: MIT

public import AltNetBase

/// The bounds and lifetimes of what is kept about a single peer. `docs/peers.md` gives the rules in full.
public enum PeerRules {
    /// Addresses of one peer: a full record (100), what the operator typed, and some that others told.
    public static let maximumAddresses = 128
    /// Addresses of one peer that the operator typed. With a full record they fit into ``maximumAddresses``, so that
    /// neither ever has to make room for the other.
    public static let maximumUserAddresses = 16
    /// Addresses of one peer that only third parties told, and that never worked.
    public static let maximumHearsay = 32
    /// Of these, those from one corner of the network: four corners have to lie before the truth finds no room.
    public static let maximumHearsayPerTeller = 8
    /// How long the addresses of a record count after it was last heard: what a node needs to be found again after a
    /// week away.
    public static let recordLifetime = Duration.seconds(7 * 86_400)
    /// The longest lifetime that news may ask for.
    public static let maximumLifetime = Duration.seconds(7 * 86_400)
    /// How long an address counts after we last reached the peer there, and how long that protects the peer from being
    /// evicted: the horizon after which Bitcoin Core's address manager gives up on an address.
    public static let provenLifetime = Duration.seconds(30 * 86_400)
    /// How long the sequence number of a record is remembered after the record was scrapped, so that nobody can bring
    /// back an older one that the peer had replaced.
    public static let sequenceMemory = Duration.seconds(30 * 86_400)
    /// Nothing is due later than this from now: what says so was written when the clock was ahead.
    public static let longestDue = PeerRules.provenLifetime + PeerRules.sequenceMemory
    /// A clock before this, the first of January 2025, was not set yet (machines without a battery start in 1970): times
    /// are not corrected by it, since that would make everything look long expired once it is set.
    public static let earliestClock = WallClockTime(seconds: 1_735_689_600)
    /// The same news again within this time is not written again.
    public static let refreshInterval = Duration.seconds(600)
    /// Longer latencies are taken for this.
    public static let maximumLatency = Duration.seconds(3_600)
    /// More failures in a row are counted as this many.
    public static let maximumFailures = 1_000_000
}
