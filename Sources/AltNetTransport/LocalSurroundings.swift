// SPDX-License-Identifier: MIT

public import AltNetBase
internal import Crypto
internal import NIOCore
internal import NIOPosix

/// The networks that this machine is on.
///
/// The network of the default route is named by its gateway's hardware address, which is another one at home and in a
/// café although both are 192.168.1.0/24; without one, nobody can tell which network it is. Names leave this machine in
/// exports, so the address is in them only as a hash with this machine's own salt. Other networks are named by their
/// interface and prefix.
public struct LocalSurroundings: Hashable, Sendable {
    /// An interface of this machine.
    public struct Interface: Hashable, Sendable {
        public let name: String
        /// 4 or 16 bytes.
        public let address: [UInt8]
        public let prefixLength: Int

        public init(name: String, address: [UInt8], prefixLength: Int) {
            self.name = name
            self.address = address
            self.prefixLength = prefixLength
        }

        /// Whether an address is on this interface's network.
        public func holds(_ other: [UInt8]) -> Bool {
            guard other.count == self.address.count, self.prefixLength > 0 else { return false }
            for bit in 0..<min(self.prefixLength, other.count * 8) {
                let mask = UInt8(0x80) >> UInt8(bit % 8)
                guard other[bit / 8] & mask == self.address[bit / 8] & mask else { return false }
            }
            return true
        }

        /// The name of the interface's network, such as `eth0 c0a80100/24`: interface, and the first bytes of the
        /// address as far as the prefix goes.
        public var network: String {
            let bytes = self.address.enumerated().map { index, byte in
                let bits = min(8, max(0, self.prefixLength - index * 8))
                return byte & UInt8(truncatingIfNeeded: 0xff00 >> bits)
            }
            return "\(self.name.prefix(15)) \(Hex.encode(bytes))/\(self.prefixLength)"
        }
    }

    public var interfaces: [Interface]
    /// The interface of the default route.
    public var defaultInterface: String?
    /// The hardware address of its gateway.
    public var gateway: String?
    /// Goes into the network's name beside it: nobody who has the name can try out all hardware addresses.
    public var salt: [UInt8]

    public init(
        interfaces: [Interface] = [], defaultInterface: String? = nil, gateway: String? = nil, salt: [UInt8] = []
    ) {
        self.interfaces = interfaces
        self.defaultInterface = defaultInterface
        self.gateway = gateway
        self.salt = salt
    }

    /// The addresses by which this machine reaches others: those of the default interface, or all when there is none.
    public var ways: Set<[UInt8]> {
        Set(self.interfaces.filter { $0.name == self.defaultInterface ?? $0.name }.map(\.address))
    }

    /// The name of the default route's network: `lan` and 16 hexadecimal digits; `nil` when its gateway is not known.
    public var defaultNetwork: String? {
        self.gateway.map { gateway in
            let hash = HMAC<SHA256>.authenticationCode(for: Array(gateway.utf8), using: SymmetricKey(data: self.salt))
            return "lan \(Hex.encode(Array(hash.prefix(8))))"
        }
    }

    // MARK: - Asking the system

    /// Asks the system. Reads three small files of Linux's.
    public static func look() -> LocalSurroundings {
        let route = DefaultGateway.current()
        let devices = (try? System.enumerateDevices()) ?? []
        return LocalSurroundings(
            interfaces: devices.compactMap(Self.interface),
            defaultInterface: route?.interface,
            gateway: route.flatMap {
                Self.hardwareAddress(
                    of: IPAddressText.text(ipv4: $0.address), in: KernelTable.text("/proc/net/arp") ?? "")
            },
            salt: Self.salt)
    }

    /// The machine's id, which is nobody else's to know (machine-id(5)); where there is none, that of its last start.
    private static let salt: [UInt8] = {
        let ids = ["/etc/machine-id", "/proc/sys/kernel/random/boot_id"].lazy.compactMap(KernelTable.text)
        return Array((ids.first { !$0.isEmpty } ?? "").utf8)
    }()

    /// The hardware address of a neighbour in Linux's table of them.
    static func hardwareAddress(of address: String, in table: String) -> String? {
        for line in table.split(separator: "\n").dropFirst() {
            let fields = line.split(whereSeparator: \.isWhitespace)
            guard fields.count >= 4, fields[0] == address, fields[3] != "00:00:00:00:00:00" else { continue }
            return String(fields[3].prefix(17))
        }
        return nil
    }

    private static func interface(_ device: NIONetworkDevice) -> Interface? {
        guard let address = device.address.flatMap(Self.bytes), let mask = device.netmask.flatMap(Self.bytes) else {
            return nil
        }
        return Interface(
            name: device.name, address: address, prefixLength: mask.reduce(0) { $0 + $1.nonzeroBitCount })
    }

    private static func bytes(_ address: SocketAddress) -> [UInt8]? {
        address.ipAddress.flatMap { IPAddressText.ipv4($0) ?? IPAddressText.ipv6($0.prefix { $0 != "%" }) }
    }
}
