// SPDX-License-Identifier: MIT

public import AltNetLightning

/// Hosts of ours, and the ports at which we listen there. A peer that gives us such an address is refused.
///
/// Nothing that describes a value of this type shows an address.
public struct OwnPlace: Hashable, Sendable {
    /// Their ports do not count.
    private let hosts: Set<LightningAddress.Host>
    private let ports: ClosedRange<UInt16>

    public init(hosts: Set<LightningAddress.Host>, ports: ClosedRange<UInt16>) {
        self.hosts = hosts
        self.ports = ports
    }

    /// Whether an address leads to one of the hosts, at one of the ports.
    public func contains(_ address: LightningAddress) -> Bool {
        self.ports.contains(address.port) && self.hosts.contains(address.host)
    }
}

extension OwnPlace: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Never the addresses themselves.
    public var description: String { "OwnPlace(redacted)" }

    /// Never the addresses themselves.
    public var debugDescription: String { self.description }

    /// Has no children, so that no dump shows the addresses.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension LightningAddress {
    /// The address itself, or the IPv4 one that is mapped into an IPv6 one (RFC 4291, section 2.5.5.2): systems connect
    /// to the same place for both.
    var unmapped: LightningAddress {
        guard case .ipv6(let bytes) = self.host, bytes.starts(with: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]) else {
            return self
        }
        let ipv4 = [1] + bytes.suffix(4) + [UInt8(self.port >> 8), UInt8(self.port & 0xff)]
        return (try? LightningAddress(descriptor: ipv4)) ?? self
    }
}
