// SPDX-License-Identifier: MIT

internal import AltNetBase

/// Why bytes or a text are no multiaddr that we take.
public enum MultiaddressError: Error, Hashable, Sendable, CustomStringConvertible {
    case empty
    case tooLong(Int)
    /// More parts than ``Multiaddress/maximumComponents``.
    case tooDeep
    /// A relay behind a relay, or a peer that is reached over itself.
    case cyclic
    case truncated
    case varint(VarintError)
    /// The value of the protocol named is none.
    case badValue(String)
    /// The text does not begin with `/`, or a protocol lacks its value.
    case badText
    /// Only in texts: in bytes, unknown protocols are kept.
    case unknownProtocol(String)

    public var description: String {
        switch self {
        case .empty: "a multiaddr is empty"
        case .tooLong(let count): "a multiaddr has \(count) bytes, and may have \(Multiaddress.maximumSize)"
        case .tooDeep: "a multiaddr has more than \(Multiaddress.maximumComponents) parts"
        case .cyclic: "a multiaddr leads over more than one relay, or over the same peer twice"
        case .truncated: "a multiaddr ends within a value"
        case .varint(let error): error.description
        case .badValue(let name): "a multiaddr's value after /\(name) is not one of that protocol"
        case .badText: "a multiaddr is written as /protocol/value/protocol/value, as in /ip4/192.0.2.1/tcp/4001"
        case .unknownProtocol(let name): "a multiaddr has the unknown protocol \(UntrustedText(name))"
        }
    }
}

/// An address that says which protocols lead to it, outermost first, as libp2p's networks exchange them.
///
/// Kept as its bytes; those that exist are well-formed. What follows a code that is not understood cannot be taken
/// apart: it is kept as it is.
public struct Multiaddress: Hashable, Sendable, CustomStringConvertible {
    /// The longest address, in bytes: an I2P destination behind a relay has about 500.
    public static let maximumSize = 1_024
    /// The most parts: a relayed WebTransport address with two certificate hashes has ten.
    public static let maximumComponents = 20

    private static let unknownPrefix = "unknown-0x"

    /// One protocol and its value.
    public struct Component: Hashable, Sendable {
        public let code: UInt64
        /// Without its length; of a code that is not understood, everything that follows it.
        public let value: [UInt8]

        /// The protocol; `nil` when the code is not understood.
        public var `protocol`: MultiaddressProtocol? { MultiaddressProtocol.of(code: self.code) }

        public init(_ protocol: MultiaddressProtocol, _ value: [UInt8] = []) {
            self.code = `protocol`.code
            self.value = value
        }

        init(code: UInt64, value: [UInt8]) {
            self.code = code
            self.value = value
        }

        fileprivate func append(to bytes: inout [UInt8]) {
            UnsignedVarint.append(self.code, to: &bytes)
            if self.protocol?.size == .prefixed { UnsignedVarint.append(UInt64(self.value.count), to: &bytes) }
            bytes.append(contentsOf: self.value)
        }
    }

    /// The wire form.
    public let bytes: [UInt8]

    /// Takes the wire form.
    public init(bytes: some Collection<UInt8>) throws(MultiaddressError) {
        guard bytes.count <= Self.maximumSize else { throw .tooLong(bytes.count) }
        let bytes = Array(bytes)
        try Self.check(try Self.components(of: bytes))
        self.bytes = bytes
    }

    /// For our own store: bytes that were checked before they were written down. Anything else breaks what an address
    /// promises.
    package init(checkedBefore bytes: [UInt8]) {
        self.bytes = bytes
    }

    public init(_ components: [Component]) throws(MultiaddressError) {
        var bytes: [UInt8] = []
        for component in components { component.append(to: &bytes) }
        try self.init(bytes: bytes)
    }

    /// Bytes that are known to be an address.
    private init(valid components: some Sequence<Component>) {
        var bytes: [UInt8] = []
        for component in components { component.append(to: &bytes) }
        self.bytes = bytes
    }

    /// The parts, outermost first.
    public var components: [Component] { (try? Self.components(of: self.bytes)) ?? [] }

    /// This address, and behind it another one.
    public func appending(_ other: Multiaddress) throws(MultiaddressError) -> Multiaddress {
        try Multiaddress(bytes: self.bytes + other.bytes)
    }

    /// This address, and behind it a peer.
    public func appending(_ peer: PeerID) throws(MultiaddressError) -> Multiaddress {
        try Multiaddress(self.components + [Component(.p2p, peer.bytes)])
    }

    /// The peer that the address ends with.
    public var peerID: PeerID? {
        guard let last = self.components.last, last.protocol == .p2p else { return nil }
        return try? PeerID(bytes: last.value)
    }

    /// The address without the peer that it ends with; the same if there is none, or nothing else.
    public var withoutPeerID: Multiaddress {
        let components = self.components
        guard components.count > 1, components.last?.protocol == .p2p else { return self }
        return Multiaddress(valid: components.dropLast())
    }

    /// Whether the address leads over another peer.
    public var isRelayed: Bool { self.components.contains { $0.protocol == .p2pCircuit } }

    // MARK: - Bytes

    private static func components(of bytes: [UInt8]) throws(MultiaddressError) -> [Component] {
        var reader = ByteReader(bytes)
        var components: [Component] = []
        while !reader.isAtEnd {
            guard components.count < Self.maximumComponents else { throw .tooDeep }
            let code = try Self.varint(&reader)
            guard let known = MultiaddressProtocol.of(code: code) else {
                components.append(Component(code: code, value: Array(reader.rest())))
                break
            }
            let count: UInt64
            switch known.size {
            case .fixed(let size): count = UInt64(size)
            case .prefixed: count = try Self.varint(&reader)
            }
            guard count <= reader.count, let value = try? reader.bytes(Int(count)) else { throw .truncated }
            components.append(Component(code: code, value: Array(value)))
        }
        return components
    }

    private static func varint(_ reader: inout ByteReader) throws(MultiaddressError) -> UInt64 {
        do {
            return try UnsignedVarint.read(from: &reader)
        } catch {
            throw error == .truncated ? .truncated : .varint(error)
        }
    }

    private static func check(_ components: [Component]) throws(MultiaddressError) {
        guard !components.isEmpty else { throw .empty }
        var peers: Set<[UInt8]> = []
        var relays = 0
        for component in components {
            guard let known = component.protocol else { break }
            try known.check(component.value)
            switch known {
            case .p2p: guard peers.insert(component.value).inserted else { throw .cyclic }
            case .p2pCircuit:
                relays += 1
                guard relays == 1 else { throw .cyclic }
            default: break
            }
        }
    }

    // MARK: - Text

    /// Reads `/protocol/value/…`; a slash at the end is allowed.
    public init(text: String) throws(MultiaddressError) {
        // Texts are at most this much longer than bytes: three characters for an escaped one, and the names.
        guard text.utf8.count <= 4 * Self.maximumSize else { throw .tooLong(text.utf8.count) }
        guard text.hasPrefix("/") else { throw text.isEmpty ? .empty : .badText }
        var rest = text.dropFirst()
        while rest.hasSuffix("/") { rest = rest.dropLast() }
        var components: [Component] = []
        while !rest.isEmpty {
            guard components.count < Self.maximumComponents else { throw .tooDeep }
            components.append(try Self.component(&rest))
        }
        try self.init(components)
    }

    private static func component(_ rest: inout Substring) throws(MultiaddressError) -> Component {
        let name = Self.word(&rest)
        if name.hasPrefix(Self.unknownPrefix) {
            guard let code = UInt64(name.dropFirst(Self.unknownPrefix.count), radix: 16), code <= UInt64.max >> 1,
                MultiaddressProtocol.of(code: code) == nil, let value = Hex.decode(rest)
            else { throw .badText }
            rest = ""
            return Component(code: code, value: value)
        }
        guard let known = MultiaddressProtocol.of(name: name) else { throw .unknownProtocol(String(name)) }
        switch known.form {
        case .nothing: return Component(known)
        case .path:
            // A path has slashes of its own, so it takes the rest.
            let path = "/" + rest
            rest = ""
            return Component(known, try known.value(of: path[...]))
        default:
            guard !rest.isEmpty else { throw .badText }
            return Component(known, try known.value(of: Self.word(&rest)))
        }
    }

    private static func word(_ rest: inout Substring) -> Substring {
        let word = rest.prefix { $0 != "/" }
        rest = rest.dropFirst(word.count).dropFirst()
        return word
    }

    public var description: String {
        var text = ""
        for component in self.components {
            guard let known = component.protocol else {
                text += "/\(Self.unknownPrefix)\(String(component.code, radix: 16))"
                if !component.value.isEmpty { text += "/\(Hex.encode(component.value))" }
                break
            }
            text += "/\(known.name)"
            switch known.form {
            case .nothing: break
            case .path: text += known.text(of: component.value)
            default: text += "/\(known.text(of: component.value))"
            }
        }
        return text
    }
}
