// SPDX-License-Identifier: MIT

/// How a NAT chooses the external address and port of a connection: the mapping behaviour of RFC 4787, section 4.1,
/// which RFC 5382, section 4.1, asks of TCP in the same words.
public enum NATMapping: Hashable, Sendable {
    /// There is no NAT, and others can connect to us.
    case open
    /// One local port has one external address and port, whoever is on the other end. Punching works.
    /// `preservesPort`: the external port is the local one.
    case endpointIndependent(preservesPort: Bool)
    /// The external port changes with the other end (RFC 4787: address-dependent, or address- and port-dependent).
    /// Nobody can tell the next one, so punching works only towards a NAT that filters loosely.
    case endpointDependent
    /// Not known, or the evidence disagrees.
    case unknown

    /// The word in reports and settings.
    public var name: String {
        switch self {
        case .open: "open"
        case .endpointIndependent: "endpoint-independent"
        case .endpointDependent: "endpoint-dependent"
        case .unknown: "unknown"
        }
    }

    /// Whether somebody else can learn in advance where a connection will come from.
    public var isPunchable: Bool { self != .endpointDependent }

    /// The number in ``PunchMessage/hello(_:)``.
    var code: UInt8 {
        switch self {
        case .unknown: 0
        case .open: 1
        case .endpointIndependent(preservesPort: false): 2
        case .endpointIndependent(preservesPort: true): 3
        case .endpointDependent: 4
        }
    }

    /// `nil` for a number that this version does not know.
    init?(code: UInt8) {
        switch code {
        case 0: self = .unknown
        case 1: self = .open
        case 2: self = .endpointIndependent(preservesPort: false)
        case 3: self = .endpointIndependent(preservesPort: true)
        case 4: self = .endpointDependent
        default: return nil
        }
    }
}
