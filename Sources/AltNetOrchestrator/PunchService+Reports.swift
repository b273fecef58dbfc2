// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetConfiguration
internal import AltNetControl
internal import AltNetHolePunch
internal import AltNetPunchReports
internal import AltNetWeb

extension PunchService {
    /// How things stand, without asking the driver.
    var overview: PunchOverviewReport {
        var report = PunchOverviewReport(
            outboundWanted: self.settings.outbound, outbound: self.standing.count,
            offersKnown: self.knownOffers().count, offersOwn: self.exchange.own.count,
            offerLinks: self.exchange.linkCount, offerCounters: self.exchange.counters)
        report.driver = self.driver
        report.nat = self.nat
        report.stats = self.stats
        report.recent = self.recent
        report.problem = self.problem(offers: report.offersKnown)
        return report
    }

    /// What keeps connections from being made or offered, the nearest cause first.
    private func problem(offers: Int) -> String? {
        guard self.driver != nil else { return Self.noDriver.description }
        guard let nat, let stats else { return "the driver has not told how it stands yet" }
        if let nodeProblem { return nodeProblem }
        switch nat.mapping {
        case "endpoint-dependent":
            return "our NAT gives every connection another port, so that only peers that let others in can be reached"
        case "unknown": return "the kind of our NAT is not known: \(UntrustedText(nat.reason))"
        default: break
        }
        if stats.slots > 0, self.exchange.linkCount == 0 {
            return "no link shows our address, so that nobody hears our offer"
        }
        guard self.settings.outbound > self.standing.count, offers == 0 else { return nil }
        return self.exchange.linkCount == 0
            ? "no link shows our address, so that no offer is heard" : "no offer was heard in the last ten minutes"
    }

    /// All offers that are known, newest first.
    func offerReports() -> [PunchOfferReport] {
        let now = MonotonicInstant.system
        let standing = Set(self.standing.values.map(\.endpoint))
        return self.knownOffers().map { entry in
            let offer = entry.offer
            let age = WallClockTime.system - WallClockTime(seconds: Int64(entry.time))
            var report = PunchOfferReport(
                endpoint: offer.endpoint.description,
                clearnet: offer.clearnet.flatMap { ExternalEndpoint(address: $0, port: 0)?.host },
                group: offer.networkGroup, ageSeconds: max(0, Int(age.inSeconds)),
                isConnected: standing.contains(offer.endpoint))
            report.waitSeconds = self.planner.pause(of: offer.endpoint, now: now).map { Int($0.inSeconds.rounded(.up)) }
            return report
        }
    }
}

extension PunchWitnesses {
    /// Some of those whom we are connected to, one of each network group first: a lie of one operator must not be the
    /// majority.
    static func choose(among addresses: [String]) -> PunchWitnesses {
        var seen: Set<String> = []
        var (first, others): ([String], [String]) = ([], [])
        for text in addresses.sorted() {
            guard let address = ExternalEndpoint(text), address.refusedHost(allowPrivate: false) == nil,
                address.port > 0, seen.insert(address.description).inserted
            else { continue }
            if seen.insert(address.networkGroup).inserted {
                first.append(address.description)
            } else {
                others.append(address.description)
            }
        }
        return PunchWitnesses(Array((first + others).prefix(PunchOperation.maximumWitnesses)))
    }
}

extension NodeAddress {
    /// Reads what a driver wants to be announced; `nil` for what `addrv2` cannot carry.
    init?(_ offer: PunchOffers.Address) {
        guard let address = Hex.decode(offer.address), address.count <= Self.maximumAddressLength,
            let services = UInt64(offer.services)
        else { return nil }
        self.init(lastSeen: 0, services: services, networkID: offer.networkID, address: address, port: offer.port)
    }
}
