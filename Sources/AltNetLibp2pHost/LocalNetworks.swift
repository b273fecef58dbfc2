// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetPeerRecords
internal import AltNetTransport
internal import Crypto
internal import FoundationEssentials
internal import NIOCore
internal import Synchronization

/// Names the networks that this machine is on, so that addresses of private ranges are kept apart by them.
///
/// The network of the default route is named by its gateway's hardware address, which is another one at home and in a
/// café although both are 192.168.1.0/24; without one, nobody can tell which network it is. Names leave this machine in
/// exports, so the address is in them only as a hash with this machine's own salt. Other networks are named by their
/// interface and prefix.
final class LocalNetworks: Sendable {
    /// How long an answer is good: machines move between networks, and reading `/proc` for every connection is waste.
    static let lifetime: Duration = .seconds(10)

    /// An interface of this machine.
    struct Interface: Hashable, Sendable {
        let name: String
        /// 4 or 16 bytes.
        let address: [UInt8]
        let prefixLength: Int

        /// Whether an address is on this interface's network.
        func holds(_ other: [UInt8]) -> Bool {
            guard other.count == self.address.count, self.prefixLength > 0 else { return false }
            for bit in 0..<min(self.prefixLength, other.count * 8) {
                let mask = UInt8(0x80) >> UInt8(bit % 8)
                guard other[bit / 8] & mask == self.address[bit / 8] & mask else { return false }
            }
            return true
        }

        /// The first bytes of the address, as far as the prefix goes.
        var prefix: String {
            let bytes = self.address.enumerated().map { index, byte in
                let bits = min(8, max(0, self.prefixLength - index * 8))
                return byte & UInt8(truncatingIfNeeded: 0xff00 >> bits)
            }
            return Hex.encode(bytes)
        }
    }

    /// What is known of this machine's networks.
    struct Surroundings: Hashable, Sendable {
        var interfaces: [Interface] = []
        /// The interface of the default route.
        var defaultInterface: String?
        /// The hardware address of its gateway.
        var gateway: String?
        /// Goes into the network's name beside it: nobody who has the name can try out all hardware addresses.
        var salt: [UInt8] = []

        /// The addresses by which this machine reaches others: those of the default interface, or all when there is none.
        var ways: Set<[UInt8]> {
            Set(self.interfaces.filter { $0.name == self.defaultInterface ?? $0.name }.map(\.address))
        }

        /// The network that an address belongs to; `nil` for those that mean the same everywhere.
        func network(of address: Multiaddress) -> LocalNetwork? {
            switch address.reach {
            case .loopback: return .loopback
            case .global, .overlay, .name, .nowhere: return nil
            case .linkLocal, .privateRange: break
            }
            guard let bytes = address.components.first(where: { $0.protocol == .ip4 || $0.protocol == .ip6 })?.value
            else { return nil }
            let own = self.interfaces.first { $0.holds(bytes) }
            if own == nil || own?.name == self.defaultInterface {
                guard let gateway = self.gateway else { return nil }
                let hash = HMAC<SHA256>.authenticationCode(
                    for: Array(gateway.utf8), using: SymmetricKey(data: self.salt))
                return LocalNetwork("lan \(Hex.encode(Array(hash.prefix(8))))")
            }
            return own.flatMap { LocalNetwork("\($0.name.prefix(15)) \($0.prefix)/\($0.prefixLength)") }
        }
    }

    private let cached = Mutex<(Surroundings, until: MonotonicInstant)?>(nil)

    /// The network that an address belongs to; `nil` for those that mean the same everywhere, and for private ones of
    /// which nobody can tell.
    func network(of address: Multiaddress) -> LocalNetwork? {
        self.surroundings.network(of: address)
    }

    /// The addresses that a listener can be reached at: one that listens on all interfaces, at each of theirs.
    func expand(_ listening: Multiaddress) -> [Multiaddress] {
        guard let host = listening.components.first, host.value.allSatisfy({ $0 == 0 }) else { return [listening] }
        let rest = listening.components.dropFirst()
        return self.surroundings.interfaces.filter { $0.address.count == host.value.count }.compactMap { interface in
            host.protocol.flatMap { kind in
                try? Multiaddress([Multiaddress.Component(kind, interface.address)] + rest)
            }
        }
    }

    var surroundings: Surroundings {
        if let (known, until) = self.cached.withLock({ $0 }), MonotonicInstant.now < until { return known }
        let found = Self.look()
        self.cached.withLock { $0 = (found, until: .now + Self.lifetime) }
        return found
    }

    /// Asks the system.
    private static func look() -> Surroundings {
        let route = Self.defaultRoute(in: Self.text("/proc/net/route"))
        let devices = (try? System.enumerateDevices()) ?? []
        return Surroundings(
            interfaces: devices.compactMap(Self.interface),
            defaultInterface: route?.interface,
            gateway: route.flatMap { Self.hardwareAddress(of: $0.gateway, in: Self.text("/proc/net/arp")) },
            salt: Self.salt)
    }

    /// The machine's id, which is nobody else's to know (machine-id(5)); where there is none, that of its last start.
    private static let salt: [UInt8] = {
        let id = LocalNetworks.text("/etc/machine-id")
        return Array((id.isEmpty ? LocalNetworks.text("/proc/sys/kernel/random/boot_id") : id).utf8)
    }()

    /// The gateway of the default route in Linux's table of routes, which has addresses as little-endian numbers.
    static func defaultRoute(in table: String) -> (interface: String, gateway: String)? {
        for line in table.split(separator: "\n").dropFirst() {
            let fields = line.split(whereSeparator: \.isWhitespace)
            guard fields.count >= 4, fields[1] == "00000000", let gateway = UInt32(fields[2], radix: 16), gateway != 0
            else { continue }
            let bytes = (0..<4).map { UInt8(truncatingIfNeeded: gateway >> (8 * UInt32($0))) }
            return (String(fields[0]), bytes.map(String.init).joined(separator: "."))
        }
        return nil
    }

    /// The hardware address of a neighbour in Linux's table of them.
    static func hardwareAddress(of address: String, in table: String) -> String? {
        for line in table.split(separator: "\n").dropFirst() {
            let fields = line.split(whereSeparator: \.isWhitespace)
            guard fields.count >= 4, fields[0] == address, fields[3] != "00:00:00:00:00:00" else { continue }
            return String(fields[3].prefix(17))
        }
        return nil
    }

    private static func text(_ path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }

    private static func interface(_ device: NIONetworkDevice) -> Interface? {
        guard let address = device.address.flatMap(Self.bytes), let mask = device.netmask.flatMap(Self.bytes) else {
            return nil
        }
        return Interface(
            name: device.name, address: address,
            prefixLength: mask.reduce(0) { $0 + $1.nonzeroBitCount })
    }

    private static func bytes(_ address: SocketAddress) -> [UInt8]? {
        address.ipAddress.flatMap { SocketTarget.multiaddress(HostAndPort(host: $0, port: 1)) }?.components.first?.value
    }
}
