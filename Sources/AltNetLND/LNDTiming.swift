// SPDX-License-Identifier: MIT

/// How long things may take.
public struct LNDTiming: Hashable, Sendable {
    /// The longest that LND may take for one call, the connecting included.
    public var call: Duration
    /// The time between two listings of the peers when nothing happens. Each is also the sign that LND is alive.
    public var listing: Duration
    /// The least time between two listings, however many peers come and go.
    public var shortestListing: Duration
    /// The pause after the connection broke; it doubles with every failure, up to ``longestPause``.
    public var firstPause: Duration
    /// The longest pause between two attempts.
    public var longestPause: Duration

    /// For a real LND.
    public static let standard = LNDTiming(
        call: .seconds(20), listing: .seconds(60), shortestListing: .milliseconds(250), firstPause: .seconds(1),
        longestPause: .seconds(30))

    public init(
        call: Duration, listing: Duration, shortestListing: Duration, firstPause: Duration, longestPause: Duration
    ) {
        self.call = call
        self.listing = listing
        self.shortestListing = shortestListing
        self.firstPause = firstPause
        self.longestPause = longestPause
    }
}
