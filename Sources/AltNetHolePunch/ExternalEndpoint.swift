// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin

/// An IP address and a TCP port as others see them.
public struct ExternalEndpoint: Hashable, Sendable, CustomStringConvertible {
    /// 4 bytes of IPv4 or 16 of IPv6, never an IPv4 address in IPv6's clothes.
    public let address: [UInt8]
    /// 0 where only the address is meant.
    public let port: UInt16

    /// `nil` when the address has neither 4 nor 16 bytes. An IPv4-mapped IPv6 address becomes IPv4.
    public init?(address: [UInt8], port: UInt16) {
        switch address.count {
        case 4: self.address = address
        case 16: self.address = address.starts(with: Self.mappedPrefix) ? Array(address.suffix(4)) : address
        default: return nil
        }
        self.port = port
    }

    /// Reads `192.0.2.1:8333` or `[2001:db8::1]:8333`.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let number = text[text.index(after: colon)...]
        guard (1...5).contains(number.utf8.count), number.utf8.allSatisfy(IPAddressText.isDigit),
            let port = UInt16(number)
        else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
            guard let address = IPAddressText.ipv6(host) else { return nil }
            self.init(address: address, port: port)
        } else {
            guard let address = IPAddressText.ipv4(host) else { return nil }
            self.init(address: address, port: port)
        }
    }

    /// Reads an address without a port, such as `192.0.2.1` or `2001:db8::1`; the port is 0.
    public init?(host: String) {
        guard let address = host.contains(":") ? IPAddressText.ipv6(host) : IPAddressText.ipv4(host) else { return nil }
        self.init(address: address, port: 0)
    }

    private static let mappedPrefix: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]

    public var isIPv4: Bool { self.address.count == 4 }

    /// The address without the port.
    public var host: String {
        self.isIPv4 ? IPAddressText.text(ipv4: self.address) : IPAddressText.text(ipv6: self.address)
    }

    public var description: String {
        self.isIPv4 ? "\(self.host):\(self.port)" : "[\(self.host)]:\(self.port)"
    }

    /// Which addresses probably belong to one operator.
    public var networkGroup: String {
        self.isIPv4 ? NetworkGroup.of(ipv4: self.address) : NetworkGroup.of(ipv6: self.address)
    }

    // MARK: - Whom we would bother

    /// Ports below are those of services (web, mail, SSH) that must not be made to see our SYNs, and no NAT gives them
    /// to an outgoing connection: RFC 4787, section 4.2.1, keeps the two ranges apart.
    public static let lowestPort: UInt16 = 1024

    /// Why we never connect here, or `nil` when we may.
    ///
    /// - Parameter allowPrivate: whether addresses that mean something in one network only are fine: in a lab, in tests.
    public func refusedTarget(allowPrivate: Bool) -> TargetRefusal? {
        guard self.port >= Self.lowestPort else { return .lowPort }
        return self.refusedHost(allowPrivate: allowPrivate)
    }

    /// As ``refusedTarget(allowPrivate:)``, for an address whose port does not matter.
    public func refusedHost(allowPrivate: Bool) -> TargetRefusal? {
        guard let refusal = self.isIPv4 ? self.refusalOfIPv4 : self.refusalOfIPv6 else { return nil }
        return allowPrivate && refusal.isLiftedInLabs ? nil : refusal
    }

    private var refusalOfIPv4: TargetRefusal? {
        switch SpecialIPv4(self.address) {
        case .unspecified: .unspecified
        case .loopback: .loopback
        case .private: .private
        case .linkLocal: .linkLocal
        case .documentation: .documentation
        case .multicast: .multicast
        case .reserved: .reserved
        case nil: nil
        }
    }

    /// IANA's registry of special-purpose IPv6 addresses: global unicast is 2000::/3, with holes.
    private var refusalOfIPv6: TargetRefusal? {
        let words = stride(from: 0, to: 16, by: 2).map {
            UInt16(self.address[$0]) << 8 | UInt16(self.address[$0 + 1])
        }
        if words.dropLast().allSatisfy({ $0 == 0 }) {
            switch words[7] {
            case 0: return .unspecified
            case 1: return .loopback
            default: return .reserved
            }
        }
        switch (words[0], words[1]) {
        case (0xff00...0xffff, _): return .multicast
        case (0xfe80...0xfebf, _): return .linkLocal
        case (0xfc00...0xfdff, _): return .private
        case (0x2001, 0x0db8), (0x3fff, 0...0x0fff): return .documentation
        // Teredo and 6to4 carry packets to an IPv4 address that is hidden in them.
        case (0x2001, 0), (0x2002, _): return .reserved
        case (0x2001, 0x0001...0x01ff): return .reserved
        case (0x2000...0x3fff, _): return nil
        default: return .reserved
        }
    }
}

/// Why an address is never connected to because a peer names it.
public enum TargetRefusal: String, Error, Hashable, Sendable, CaseIterable, CustomStringConvertible {
    /// A port below ``ExternalEndpoint/lowestPort``.
    case lowPort
    case unspecified, loopback, `private`, linkLocal, documentation, multicast, reserved

    /// Whether a lab may use such addresses.
    var isLiftedInLabs: Bool {
        switch self {
        case .loopback, .private, .linkLocal, .documentation: true
        case .lowPort, .unspecified, .multicast, .reserved: false
        }
    }

    public var description: String {
        switch self {
        case .lowPort: "the port is below \(ExternalEndpoint.lowestPort)"
        case .unspecified: "the address means no host"
        case .loopback: "the address is that of the machine itself"
        case .private: "the address is private"
        case .linkLocal: "the address is valid on one link only"
        case .documentation: "the address is for documentation"
        case .multicast: "the address is for many hosts"
        case .reserved: "the address is reserved"
        }
    }
}
