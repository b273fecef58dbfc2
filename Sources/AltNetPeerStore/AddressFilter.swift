// SPDX-License-Identifier: MIT

internal import AltNetPeerRecords

/// Which addresses of others the operator does not want. A record that holds such addresses is kept and passed on whole;
/// what the operator typed is never filtered.
public struct AddressFilter: Hashable, Sendable {
    /// Addresses of this machine, the link and private ranges.
    public var refusesPrivateRanges: Bool
    /// Addresses with protocols or combinations of them that nobody here can dial.
    public var refusesUnknownTransports: Bool

    public init(refusesPrivateRanges: Bool = false, refusesUnknownTransports: Bool = false) {
        self.refusesPrivateRanges = refusesPrivateRanges
        self.refusesUnknownTransports = refusesUnknownTransports
    }

    /// Lets everything through.
    public static let none = AddressFilter()

    /// Why the address is kept out; nil when it is not.
    func refusal(_ address: Multiaddress) -> PeerNewsRefusal? {
        if self.refusesPrivateRanges, address.isAmbiguous {
            return PeerNewsRefusal(.filtered, "addresses of private ranges are not wanted here")
        }
        if self.refusesUnknownTransports, address.endpoint == nil, !address.isRelayed {
            return PeerNewsRefusal(.filtered, "addresses with unknown transports are not wanted here")
        }
        return nil
    }

    func allows(_ entry: AddressEntry) -> Bool {
        self == .none || entry.sources.contains(.user) || self.refusal(entry.address) == nil
    }
}
