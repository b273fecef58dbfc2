// SPDX-License-Identifier: MIT

public import AltNetBase

/// How a router was asked.
public enum PortMappingMethod: String, Hashable, Sendable, CaseIterable, CustomStringConvertible {
    /// The Port Control Protocol, RFC 6887.
    case pcp = "PCP"
    /// The NAT Port Mapping Protocol, RFC 6886.
    case natPMP = "NAT-PMP"
    /// Universal Plug and Play, Internet Gateway Device 1 or 2.
    case upnp = "UPnP"

    public var description: String { self.rawValue }
}

/// A TCP port that the router lets through to us.
public struct PortMapping: Hashable, Sendable, CustomStringConvertible {
    public let method: PortMappingMethod
    /// The port that we listen on.
    public let internalPort: UInt16
    /// Where the world reaches it: four bytes.
    public let externalAddress: [UInt8]
    public let externalPort: UInt16
    /// How long the router keeps it without being asked again; `nil` for ever.
    public let lifetime: Duration?

    public init(
        method: PortMappingMethod, internalPort: UInt16, externalAddress: [UInt8], externalPort: UInt16,
        lifetime: Duration?
    ) {
        self.method = method
        self.internalPort = internalPort
        self.externalAddress = externalAddress
        self.externalPort = externalPort
        self.lifetime = lifetime
    }

    public var description: String {
        "\(IPAddressText.text(ipv4: self.externalAddress)):\(self.externalPort) to port \(self.internalPort) by \(self.method)"
    }
}

/// Why no port could be mapped.
public enum PortMappingError: Error, Hashable, Sendable, CustomStringConvertible {
    /// There is no router, or none that is found.
    case noGateway(String)
    /// The router answers none of the protocols.
    case noAnswer
    /// The network did not let us ask.
    case unreachable(String)
    /// The router understood, and refused.
    case refused(PortMappingMethod, String)
    /// The answer is not what its protocol says.
    case malformed(PortMappingMethod, String)
    /// A description or a control address leads to somewhere else than the router.
    case elsewhere(UntrustedText)
    /// The router's own address is not one that the world can reach: it sits behind another NAT.
    case notPublic(address: [UInt8])
    /// We hold as many as we ever do.
    case tooMany(limit: Int)
    /// The mapper was closed.
    case closed

    /// What is wrong, as a sentence without its full stop.
    public var description: String {
        switch self {
        case .noGateway(let why): "no router is known that could map a port: \(why)"
        case .noAnswer: "the router answers neither PCP nor NAT-PMP nor UPnP"
        case .unreachable(let why): "the router cannot be asked: \(why)"
        case .refused(let method, let why): "the router refuses by \(method): \(why)"
        case .malformed(let method, let what): "what the router says is not \(method): \(what)"
        case .elsewhere(let text): "the router's UPnP leads to somewhere else than the router: \(text)"
        case .notPublic(let address):
            "the router has the address \(IPAddressText.text(ipv4: address)) outside, which nobody reaches from the internet"
        case .tooMany(let limit): "no more than \(limit) ports are mapped at once"
        case .closed: "the port mapper was closed"
        }
    }
}

/// Which external addresses are of use.
enum ExternalAddressRule {
    /// Whether the world can reach an IPv4 address.
    static func isPublic(_ address: [UInt8]) -> Bool {
        address.count == 4 && SpecialIPv4(address) == nil
    }

    /// Whether it can be the address of anything at all: also in a lab.
    static func isUnicast(_ address: [UInt8]) -> Bool {
        address.count == 4 && address[0] != 0 && address[0] != 127 && address[0] < 224
    }
}
