// SPDX-License-Identifier: MIT

public import AltNetLightning

/// What became of a `peer_alt_addr` that a peer sent.
public enum AddressReception: Hashable, Sendable {
    /// It is stored, in place of an earlier one if there was any.
    case stored
    /// We had this address already.
    case unchanged
    /// The address that we had is forgotten.
    case cleared
    /// There was nothing to forget.
    case nothingToClear
    case refused(Refusal)

    /// Why an address is not stored. No sentence contains it.
    public enum Refusal: Hashable, Sendable, CustomStringConvertible {
        case malformed(PeerAltAddrError)
        case badAddress(LightningAddressError)
        case tooOften
        case noRelationship
        case unknownChannel
        case ownAddress
        case privateRange
        case full

        /// What is wrong, as a sentence without its full stop.
        public var description: String {
            switch self {
            case .malformed(let error): "its alternative address is refused: \(error)"
            case .badAddress(let error): "its alternative address is refused: \(error)"
            case .tooOften: "it sends alternative addresses more often than one a minute"
            case .noRelationship:
                "it gave an alternative address without being configured, a channel partner or known for ten minutes"
            case .unknownChannel: "its alternative address names a channel that we do not have with it"
            case .ownAddress: "the alternative address that it gave is one of ours"
            case .privateRange:
                "the alternative address that it gave is in a private range; alt_addr_private = true allows that"
            case .full:
                "\(AlternativeAddresses.maximumReceived) alternative addresses are stored, which is the most"
            }
        }
    }
}

/// What is counted. No count says anything about an address.
public enum AlternativeAddressCounter: String, Hashable, Sendable, CaseIterable {
    /// Messages with an address that were sent.
    case sent
    /// Messages that clear that were sent.
    case clearsSent = "clears_sent"
    /// Messages with an address that were stored.
    case stored
    /// Messages with an address that we had already.
    case unchanged
    /// Messages that clear, whether there was something to forget or not.
    case clearsReceived = "clears_received"
    /// Messages that were refused.
    case refused
    /// Peers that were reached at their alternative address.
    case dialled
    /// Attempts to reach a peer there that failed.
    case dialFailures = "dial_failures"
    /// Connections on our alternative endpoints by the peers that were given them.
    case admitted
    /// Connections there by anybody else.
    case turnedAway = "turned_away"
}
