// SPDX-License-Identifier: MIT

internal import AltNetBase

/// Service bits, address and port of one side, as the `version` message has them: 26 bytes.
///
/// Only IPv4 and IPv6 fit. Whoever has another address, or does not want to tell one, leaves the field empty.
public struct P2PAddressField: Hashable, Sendable {
    /// The length of an address in this form, in bytes.
    static let addressLength = 16

    /// The service bits that the side is said to offer.
    public let services: UInt64
    /// 16 bytes; an IPv4 address stands there as `::ffff:a.b.c.d`.
    private let field: [UInt8]
    /// The TCP port; 0 when there is none.
    public let port: UInt16

    /// No address: how the field is sent by whoever tells nothing. Nothing but zeros, as Bitcoin Core writes it.
    public static let empty = P2PAddressField(services: 0, field: [UInt8](repeating: 0, count: addressLength), port: 0)

    private init(services: UInt64, field: [UInt8], port: UInt16) {
        self.services = services
        self.field = field
        self.port = port
    }

    /// - Parameter address: 4 or 16 bytes; `nil` for any other number.
    public init?(services: UInt64 = 0, address: [UInt8], port: UInt16) {
        switch address.count {
        case 4: self.init(services: services, field: P2PPayloadReader.mappedIPv4Prefix + address, port: port)
        case Self.addressLength: self.init(services: services, field: address, port: port)
        default: return nil
        }
    }

    /// The address: 4 bytes of IPv4 or 16 of IPv6; `nil` when the field is empty, which `0.0.0.0` and `::` mean, too.
    public var address: [UInt8]? {
        if self.field.starts(with: P2PPayloadReader.mappedIPv4Prefix) {
            let address = Array(self.field.suffix(4))
            return address.allSatisfy { $0 == 0 } ? nil : address
        }
        return self.field.allSatisfy { $0 == 0 } ? nil : self.field
    }

    init(reader: inout P2PPayloadReader) throws(P2PPayloadError) {
        self.services = try reader.integer()
        self.field = Array(try reader.bytes(Self.addressLength))
        self.port = try reader.port()
    }

    func append(to bytes: inout [UInt8]) {
        bytes.appendLittleEndian(self.services)
        bytes.append(contentsOf: self.field)
        bytes.appendBigEndian(self.port)
    }
}
