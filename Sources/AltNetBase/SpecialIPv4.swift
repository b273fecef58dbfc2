// SPDX-License-Identifier: MIT

/// What an IPv4 address is kept for when it does not mean one host that everybody reaches: RFC 6890, and IANA's registry
/// of special-purpose addresses.
public enum SpecialIPv4: Hashable, Sendable, CaseIterable {
    /// 0.0.0.0/8.
    case unspecified
    case loopback
    /// Of one network: RFC 1918, and 100.64.0.0/10 between a carrier and its customers (RFC 6598).
    case `private`
    case linkLocal
    case documentation
    case multicast
    /// Protocol assignments, 6to4 relays, measurements, and what nobody has been given.
    case reserved

    /// - Parameter address: four bytes; anything else, and the address of an ordinary host, is `nil`.
    public init?(_ address: [UInt8]) {
        guard address.count == 4 else { return nil }
        switch (address[0], address[1], address[2]) {
        case (0, _, _): self = .unspecified
        case (127, _, _): self = .loopback
        case (10, _, _), (172, 16...31, _), (192, 168, _), (100, 64...127, _): self = .private
        case (169, 254, _): self = .linkLocal
        case (192, 0, 2), (198, 51, 100), (203, 0, 113): self = .documentation
        case (192, 0, 0), (192, 88, 99), (198, 18...19, _): self = .reserved
        case (224...239, _, _): self = .multicast
        case (240...255, _, _): self = .reserved
        default: return nil
        }
    }
}
