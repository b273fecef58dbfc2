// SPDX-License-Identifier: MIT

public import AltNetPunchReports

/// `GET /v1/punch`: how hole punching stands, as far as the daemon knows without asking anybody.
public struct PunchOverviewReport: Hashable, Sendable, Codable {
    /// The driver that punches; absent while none is attached.
    public var driver: String?
    /// What keeps connections from being made, or from being offered: one sentence; absent when nothing does.
    public var problem: String?
    /// What is known of our NAT; absent before the driver told.
    public var nat: NATReport?
    /// What happened since the driver started; absent before the driver told.
    public var stats: PunchStatsReport?
    /// The last attempts, newest first.
    public var recent: [PunchReport]
    /// How many links are to be made without being asked for, and how many there are.
    public var outboundWanted: Int
    public var outbound: Int
    /// Offers of others that are known, and addresses of our own that are announced.
    public var offersKnown: Int
    public var offersOwn: Int
    /// Links over which offers travel.
    public var offerLinks: Int
    /// What happened to offers since the daemon started, by name.
    public var offerCounters: [String: UInt64]

    public init(
        outboundWanted: Int, outbound: Int, offersKnown: Int, offersOwn: Int, offerLinks: Int,
        offerCounters: [String: UInt64]
    ) {
        self.outboundWanted = outboundWanted
        self.outbound = outbound
        self.offersKnown = offersKnown
        self.offersOwn = offersOwn
        self.offerLinks = offerLinks
        self.offerCounters = offerCounters
        self.recent = []
    }
}

/// An offer of somebody behind a NAT.
public struct PunchOfferReport: Hashable, Sendable, Codable {
    /// What `altnet punch` takes.
    public var endpoint: String
    /// The address that the peer would have, without a port; absent if the offer does not name it.
    public var clearnet: String?
    /// Its network group.
    public var group: String?
    /// How many seconds ago it says that it was made.
    public var ageSeconds: Int
    /// Whether a link to it stands.
    public var isConnected: Bool
    /// In how many seconds it may be called again without being asked for; absent: at once.
    public var waitSeconds: Int?

    public init(endpoint: String, clearnet: String?, group: String?, ageSeconds: Int, isConnected: Bool) {
        self.endpoint = endpoint
        self.clearnet = clearnet
        self.group = group
        self.ageSeconds = ageSeconds
        self.isConnected = isConnected
    }
}

/// `GET /v1/punch/offers`
public struct PunchOfferListReport: Hashable, Sendable, Codable {
    /// Newest first.
    public var offers: [PunchOfferReport]

    public init(_ offers: [PunchOfferReport]) {
        self.offers = offers
    }
}
