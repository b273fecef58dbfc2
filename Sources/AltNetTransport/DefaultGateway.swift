// SPDX-License-Identifier: MIT

internal import AltNetBase

/// The router that the default route leads to.
public struct DefaultGateway: Hashable, Sendable {
    /// The most lines of a routing table that are read: a home's has ten; a full internet table is no place for this.
    static let maximumRoutes = 4_096

    /// Four bytes.
    public let address: [UInt8]
    public let interface: String

    public init(address: [UInt8], interface: String) {
        self.address = address
        self.interface = interface
    }

    /// Asks the kernel; `nil` when there is no default route, or nothing can be read.
    public static func current() -> DefaultGateway? {
        KernelTable.text("/proc/net/route").flatMap { DefaultGateway(routeTable: $0) }
    }

    /// Reads the kernel's `/proc/net/route`: the default route with the lowest metric that is up and has a gateway.
    ///
    /// - Parameter isLittleEndian: the kernel prints addresses as numbers of the machine's own byte order.
    init?(routeTable text: String, isLittleEndian: Bool = 1.littleEndian == 1) {
        var best: (metric: Int, gateway: DefaultGateway)?
        for line in text.split(separator: "\n").dropFirst().prefix(Self.maximumRoutes) {
            let fields = line.split(whereSeparator: { $0 == "\t" || $0 == " " })
            // Interface, destination, gateway, flags, references, uses, metric, mask.
            guard fields.count >= 8, UInt32(fields[1], radix: 16) == 0, UInt32(fields[7], radix: 16) == 0,
                let number = UInt32(fields[2], radix: 16), number != 0, let flags = UInt32(fields[3], radix: 16),
                let metric = Int(fields[6])
            else { continue }
            // RTF_UP and RTF_GATEWAY.
            guard flags & 3 == 3 else { continue }
            var address: [UInt8] = []
            if isLittleEndian { address.appendLittleEndian(number) } else { address.appendBigEndian(number) }
            if metric < best?.metric ?? .max {
                best = (metric, DefaultGateway(address: address, interface: String(fields[0])))
            }
        }
        guard let best else { return nil }
        self = best.gateway
    }
}
