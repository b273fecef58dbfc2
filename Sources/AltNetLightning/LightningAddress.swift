// SPDX-License-Identifier: MIT

internal import AltNetBase

/// Where a Lightning node accepts connections: one address descriptor of BOLT 7 ("The `node_announcement` Message").
///
/// An alternative address is a secret between two nodes. Nothing that describes a value of this type shows it; only
/// ``text`` and ``descriptor`` do, for those who ask.
public struct LightningAddress: Hashable, Sendable {
    /// The four forms that are in use.
    public enum Host: Hashable, Sendable {
        /// The 4 bytes of an IPv4 address.
        case ipv4([UInt8])
        /// The 16 bytes of an IPv6 address.
        case ipv6([UInt8])
        /// The 32-byte public key of an onion service, version 3. Its checksum and version follow from it.
        case torV3([UInt8])
        /// A host name in lower case, as DNS has them.
        case name(String)
    }

    /// The numbers of the descriptors' types (BOLT 7).
    private enum TypeNumber {
        static let ipv4: UInt8 = 1
        static let ipv6: UInt8 = 2
        static let torV2: UInt8 = 3
        static let torV3: UInt8 = 4
        static let name: UInt8 = 5
    }

    /// The longest field that holds an address: its length is told in one byte.
    public static let maximumLength = 255
    /// The longest host name: what a descriptor of ``maximumLength`` has room for beside type, length and port.
    public static let maximumNameLength = Self.maximumLength - 4

    /// Which host. Callers MUST NOT print it where an address does not belong.
    public let host: Host
    /// Never zero.
    public let port: UInt16

    private init(_ host: Host, port: UInt16) throws(LightningAddressError) {
        guard port != 0 else { throw .zeroPort }
        self.host = host
        self.port = port
    }

    // MARK: - Reading

    /// Reads what a `peer_alt_addr` carries: a descriptor or text.
    ///
    /// The first byte decides. Types of descriptors are numbers up to 5, and a text begins with a printable character,
    /// which is 0x21 to 0x7e: no input is both. Any other first byte is a descriptor of unknown type.
    public init(decoding bytes: some Collection<UInt8>) throws(LightningAddressError) {
        guard let first = bytes.first else { throw .empty }
        guard bytes.count <= Self.maximumLength else { throw .tooLong(bytes.count) }
        if (0x21...0x7e).contains(first) {
            try self.init(text: String(decoding: bytes, as: UTF8.self))
        } else {
            try self.init(descriptor: bytes)
        }
    }

    /// Reads exactly one descriptor.
    public init(descriptor bytes: some Collection<UInt8>) throws(LightningAddressError) {
        guard let type = bytes.first else { throw .empty }
        var reader = ByteReader(Array(bytes.dropFirst()))
        let host: Host
        switch type {
        case TypeNumber.ipv4: host = .ipv4(try Self.take(4, &reader))
        case TypeNumber.ipv6: host = .ipv6(try Self.take(16, &reader))
        case TypeNumber.torV2: throw .torV2
        case TypeNumber.torV3: host = .torV3(try OnionAddress.publicKey(of: try Self.take(OnionAddress.size, &reader)))
        case TypeNumber.name:
            let length = Int(try Self.take(1, &reader)[0])
            host = .name(try HostName.read(try Self.take(length, &reader)))
        default: throw .unknownType(type)
        }
        let port = try Self.take(2, &reader)
        guard reader.isAtEnd else { throw .leftOver(reader.count) }
        try self.init(host, port: UInt16(port[0]) << 8 | UInt16(port[1]))
    }

    /// Reads `host:port`, where the host is an IPv4 address, an IPv6 address in brackets, an onion service's name or a
    /// host name. One address has one value, however it was written.
    public init(text: String) throws(LightningAddressError) {
        guard let colon = text.lastIndex(of: ":") else { throw .notHostAndPort }
        let host = text[..<colon]
        let digits = text[text.index(after: colon)...]
        // `UInt16` would take a sign.
        guard !digits.isEmpty, digits.utf8.count <= 5,
            digits.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }), let port = UInt16(digits)
        else { throw .notHostAndPort }
        try self.init(try Self.host(host), port: port)
    }

    private static func host(_ text: Substring) throws(LightningAddressError) -> Host {
        if text.hasPrefix("[") {
            guard text.hasSuffix("]"), let bytes = IPAddressText.ipv6(text.dropFirst().dropLast()) else {
                throw .badIPv6
            }
            return .ipv6(bytes)
        }
        guard !text.contains(":") else { throw .badIPv6 }
        if let bytes = IPAddressText.ipv4(text) { return .ipv4(bytes) }
        if let key = try OnionAddress.publicKey(name: text.lowercased()) { return .torV3(key) }
        return .name(try HostName.read(Array(text.utf8)))
    }

    private static func take(_ count: Int, _ reader: inout ByteReader) throws(LightningAddressError) -> [UInt8] {
        guard let bytes = try? reader.bytes(count) else { throw .truncated }
        return Array(bytes)
    }

    // MARK: - Writing

    /// The address as BOLT 7 writes it: type, data and port.
    public var descriptor: [UInt8] {
        var bytes: [UInt8]
        switch self.host {
        case .ipv4(let address): bytes = [TypeNumber.ipv4] + address
        case .ipv6(let address): bytes = [TypeNumber.ipv6] + address
        case .torV3(let key): bytes = [TypeNumber.torV3] + OnionAddress.bytes(of: key)
        case .name(let name): bytes = [TypeNumber.name, UInt8(clamping: name.utf8.count)] + name.utf8
        }
        bytes.appendBigEndian(self.port)
        return bytes
    }

    /// The host alone, without brackets: what is dialled. It is the address, so callers MUST NOT log it unasked.
    public var hostText: String {
        switch self.host {
        case .ipv4(let bytes): IPAddressText.text(ipv4: bytes)
        case .ipv6(let bytes): IPAddressText.text(ipv6: bytes)
        case .torV3(let key): OnionAddress.name(of: key)
        case .name(let name): name
        }
    }

    /// `host:port`, with an IPv6 address in brackets. It is the address, so callers MUST NOT log it unasked.
    public var text: String {
        if case .ipv6 = self.host { return "[\(self.hostText)]:\(self.port)" }
        return "\(self.hostText):\(self.port)"
    }
}

extension LightningAddress: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Never the address itself.
    public var description: String { "LightningAddress(redacted)" }

    /// Never the address itself.
    public var debugDescription: String { self.description }

    /// Shows no children, so that `dump` cannot print the address either.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// Why bytes or a text are no address that can be used. Never contains the address.
public enum LightningAddressError: Error, Hashable, Sendable, CustomStringConvertible {
    /// There is nothing.
    case empty
    /// Longer than ``LightningAddress/maximumLength``, in bytes.
    case tooLong(Int)
    /// No type of descriptor that BOLT 7 defines.
    case unknownType(UInt8)
    /// An onion service of version 2, which Tor no longer has.
    case torV2
    /// An onion service of a version that is not 3.
    case onionVersion(UInt8)
    /// An onion service's checksum is wrong, or its name is no base 32 of the right length.
    case badOnion
    /// The descriptor ends too early.
    case truncated
    /// There are bytes after the first descriptor.
    case leftOver(Int)
    /// The port is zero.
    case zeroPort
    /// A text is not of the form `host:port`.
    case notHostAndPort
    /// An IPv6 address is malformed or not in brackets.
    case badIPv6
    /// A host name is none that DNS can have.
    case badName

    /// What is wrong, as a fragment of a sentence.
    public var description: String {
        switch self {
        case .empty: "there is no address"
        case .tooLong(let count):
            "the address has \(count) bytes, and \(LightningAddress.maximumLength) are allowed"
        case .unknownType(let type): "there is no address descriptor of type \(type)"
        case .torV2: "it is an onion service of version 2, which Tor no longer has"
        case .onionVersion(let version): "it is an onion service of the unknown version \(version)"
        case .badOnion: "the name or checksum of the onion service is wrong"
        case .truncated: "the address descriptor is cut off"
        case .leftOver(let count):
            "\(count) bytes are left over after the address descriptor, and exactly one is allowed"
        case .zeroPort: "the port is zero"
        case .notHostAndPort: "the text is not of the form host:port"
        case .badIPv6: "the IPv6 address is malformed or lacks its brackets"
        case .badName: "the host name is none that DNS can have"
        }
    }
}
