// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetConfiguration
internal import AltNetDriverProtocol
internal import AltNetPeerRecords

/// What may be said about peers, ourselves among them, over a link.
///
/// A record that was told to one of our faces and is heard from another one ties the two together, whoever's record it
/// is. So records are exchanged only where our address is known anyway, unless the operator wants it otherwise.
struct PeerSharing: Hashable, Sendable {
    let setting: DaemonConfiguration.Peers.Sharing

    /// What a link reveals of us.
    ///
    /// Somebody who calls from this machine or the local network may come out of a hidden service that runs there, in
    /// a container or on the router, and then knows nothing of our address. Of drivers that say nothing, nothing is
    /// assumed.
    ///
    /// - Parameter trustsPrivate: whether private ranges stand for the Internet: labs and tests. This machine never
    ///   does.
    static func exposure(
        of description: DriverLinkDescription, driver: DriverCapabilities.Exposure?, trustsPrivate: Bool = false
    ) -> DriverCapabilities.Exposure {
        let exposure = description.exposure ?? driver ?? .none
        guard exposure == .clearnetAddress, description.target.isEmpty else { return exposure }
        let isAnonymous =
            trustsPrivate ? Self.isLoopback(description.remote) : !Self.isOnTheInternet(description.remote)
        return isAnonymous ? .pseudonym : .clearnetAddress
    }

    /// Whether records are asked for, taken and handed out over links that reveal that much.
    func exchanges(over exposure: DriverCapabilities.Exposure) -> Bool {
        switch (self.setting, exposure) {
        case (_, .clearnetAddress), (.pseudonym, .pseudonym): true
        case (_, .none), (.never, .pseudonym), (.clearnet, .pseudonym): false
        }
    }

    /// Whether those who learn that much of us may have our own record. One with addresses of private ranges means
    /// nothing to them, or something else.
    ///
    /// A record with hidden services alone ties them to our address where that is seen. So it goes only over links on
    /// which its key is known anyway, those of its own driver, unless the operator wants it otherwise.
    ///
    /// Over links on which nothing names us but our address, our offers of hole punching travel, and who calls our
    /// coordination endpoint gets such a link: a record there would tie the endpoint to our keys. So it needs the
    /// operator's word, too.
    ///
    /// - Parameter isNameless: whether the link belongs to a driver over whose links offers travel.
    func tells(
        _ own: SealedRecord, over exposure: DriverCapabilities.Exposure, ofItsDriver: Bool, isNameless: Bool
    ) -> Bool {
        let addresses = own.addresses
        guard self.setting != .never, self.exchanges(over: exposure),
            !addresses.contains(where: \.address.isAmbiguous), !isNameless || self.setting == .pseudonym
        else { return false }
        let isOpen = addresses.contains { [.global, .name].contains($0.address.reach) }
        return isOpen || ofItsDriver || self.setting == .pseudonym
    }

    /// Who tells of peers over a link: the network group of an address. Keys, routes and names cost nothing, so that
    /// all of them are one origin for each driver.
    static func origin(of description: DriverLinkDescription, driver: String) -> NewsOrigin {
        let place = Self.place(description.remote)
        let group = NetworkGroup.of(place)
        let isAddress =
            ["local", "onion", "i2p", "cjdns"].contains(group) || place.hasPrefix("[")
            || IPAddressText.ipv4(place.prefix { $0 != ":" }) != nil
        return NewsOrigin(networkGroup: isAddress ? group : "driver \(driver)")
    }

    /// A remote as drivers show it, without the key in front.
    private static func place(_ remote: String) -> String {
        remote.split(separator: "@").last.map(String.init) ?? remote
    }

    /// Whether somebody calls from an address of the Internet. Names and overlays are none.
    private static func isOnTheInternet(_ remote: String) -> Bool {
        if let address = try? Multiaddress(text: remote) { return address.reach == .global }
        let place = Self.place(remote)
        return (place.hasPrefix("[") || IPAddressText.ipv4(place.prefix { $0 != ":" }) != nil)
            && !["local", "cjdns"].contains(NetworkGroup.of(place))
    }

    private static func isLoopback(_ remote: String) -> Bool {
        if let address = try? Multiaddress(text: remote) { return address.reach == .loopback }
        let place = Self.place(remote)
        return place.hasPrefix("127.") || place.hasPrefix("[::1]") || place.hasPrefix("localhost:")
    }
}
