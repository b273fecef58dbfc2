// SPDX-License-Identifier: MIT

internal import AltNetAlternativeAddresses
internal import AltNetLightning
internal import AltNetTransport
internal import Glibc

/// The hosts that lead to this machine, as the system knew them when they were read: an address that an interface is
/// given later is not among them.
struct OwnHosts: Sendable {
    /// The most addresses of interfaces that are read. Machines with many containers have hundreds.
    static let maximumInterfaceAddresses = 4096

    /// Those of interfaces, loopback included.
    let interfaces: Set<LightningAddress.Host>

    init(interfaces: Set<LightningAddress.Host>) {
        self.interfaces = interfaces
    }

    /// Asks the system. Empty when that refuses, which it does only for want of memory or descriptors.
    static func read() -> Self {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return Self(interfaces: []) }
        defer { freeifaddrs(list) }
        var hosts: Set<LightningAddress.Host> = []
        var next = list
        while let entry = next, hosts.count < Self.maximumInterfaceAddresses {
            if let address = entry.pointee.ifa_addr, let host = Self.host(address) { hosts.insert(host) }
            next = entry.pointee.ifa_next
        }
        return Self(interfaces: hosts)
    }

    private static func host(_ address: UnsafePointer<sockaddr>) -> LightningAddress.Host? {
        let raw = UnsafeRawPointer(address)
        switch Int32(address.pointee.sa_family) {
        case AF_INET:
            return .ipv4(withUnsafeBytes(of: raw.loadUnaligned(as: sockaddr_in.self).sin_addr) { Array($0) })
        case AF_INET6:
            return .ipv6(withUnsafeBytes(of: raw.loadUnaligned(as: sockaddr_in6.self).sin6_addr) { Array($0) })
        default: return nil
        }
    }

    /// The hosts at which a listener is reached: its own, or all of the machine when it stands for all interfaces.
    func reaching(_ host: String) -> Set<LightningAddress.Host> {
        // The port is only there because an address has one.
        guard let address = try? LightningAddress(text: HostAndPort(host: host, port: 1).description) else { return [] }
        guard AlternativeSettings.isWildcard(address) else { return [address.host] }
        let ipv4 = LightningAddress.Host.ipv4([UInt8](repeating: 0, count: 4))
        // [::] takes IPv4 as well.
        guard address.host != ipv4 else {
            return self.interfaces.filter { if case .ipv4 = $0 { true } else { false } }.union([ipv4])
        }
        return self.interfaces.union([address.host, ipv4])
    }

    private static func address(_ host: LightningAddress.Host, port: UInt16) -> LightningAddress? {
        let end = [UInt8(port >> 8), UInt8(port & 0xff)]
        return switch host {
        case .ipv4(let bytes): try? LightningAddress(descriptor: [1] + bytes + end)
        case .ipv6(let bytes): try? LightningAddress(descriptor: [2] + bytes + end)
        case .name(let name): try? LightningAddress(text: "\(name):\(port)")
        case .torV3: nil
        }
    }

    /// The addresses that lead to listeners, each at one port. Port 0 is none: nobody can be given it.
    func addresses(of listeners: [HostAndPort]) -> Set<LightningAddress> {
        var addresses: Set<LightningAddress> = []
        for listener in listeners where listener.port != 0 {
            for host in self.reaching(listener.host) {
                if let address = Self.address(host, port: listener.port) { addresses.insert(address) }
            }
        }
        return addresses
    }
}

extension AlternativeSettings {
    /// Where private listeners are reached: at what they listen on, and at what is announced instead.
    func ownPlaces(_ own: OwnHosts) -> [OwnPlace] {
        self.listeners.flatMap { listener in
            let local = OwnPlace(hosts: own.reaching(listener.host), ports: listener.ports)
            guard let announced = listener.address(port: listener.ports.lowerBound), listener.announced != nil else {
                return [local]
            }
            let ports = announced.port...(announced.port + UInt16(clamping: listener.ports.count - 1))
            return [local, OwnPlace(hosts: [announced.host], ports: ports)]
        }
    }
}
