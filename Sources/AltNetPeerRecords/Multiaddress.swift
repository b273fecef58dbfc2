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
    }

    /// The wire form.
    public let bytes: [UInt8]

    /// Takes the wire form.
    public init(bytes: some Collection<UInt8>) throws(MultiaddressError) {
        guard bytes.count <= Self.maximumSize else { throw .tooLong(bytes.count) }
        try self.init(checking: Array(bytes))
    }

    /// For our own store: bytes that were checked before they were written down. Anything else breaks what an address
    /// promises.
    package init(checkedBefore bytes: [UInt8]) {
        self.bytes = bytes
    }

    public init(_ components: [Component]) throws(MultiaddressError) {
        guard components.count <= Self.maximumComponents else { throw .tooDeep }
        var bytes: [UInt8] = []
        for component in components {
            UnsignedVarint.append(component.code, to: &bytes)
            switch MultiaddressProtocol.form(of: component.code)?.size {
            case .fixed(let size):
                // Of another size, it would be read as the beginning or the end of another part.
                guard component.value.count == size else { throw .badValue(component.protocol?.name ?? "") }
            case .prefixed: UnsignedVarint.append(UInt64(component.value.count), to: &bytes)
            case nil: break
            }
            bytes.append(contentsOf: component.value)
        }
        guard bytes.count <= Self.maximumSize else { throw .tooLong(bytes.count) }
        try self.init(checking: bytes)
    }

    private init(checking bytes: [UInt8]) throws(MultiaddressError) {
        try Self.check(bytes)
        self.bytes = bytes
    }

    /// Bytes that are known to be an address.
    private init(valid bytes: ArraySlice<UInt8>) {
        self.bytes = Array(bytes)
    }

    /// The parts, outermost first, where they lie in the bytes.
    var parts: Parts { Parts(self.bytes) }

    /// The parts, outermost first.
    public var components: [Component] {
        var components: [Component] = []
        var parts = self.parts
        while let part = parts.following() { components.append(Component(code: part.code, value: Array(part.value))) }
        return components
    }

    /// This address, and behind it another one.
    public func appending(_ other: Multiaddress) throws(MultiaddressError) -> Multiaddress {
        try Multiaddress(bytes: self.bytes + other.bytes)
    }

    /// This address, and behind it a peer.
    public func appending(_ peer: PeerID) throws(MultiaddressError) -> Multiaddress {
        var bytes = self.bytes
        UnsignedVarint.append(Code.p2p, to: &bytes)
        UnsignedVarint.append(UInt64(peer.bytes.count), to: &bytes)
        return try Multiaddress(bytes: bytes + peer.bytes)
    }

    /// The peer that the address ends with.
    public var peerID: PeerID? {
        self.lastPart.flatMap { $0.code == Code.p2p ? try? PeerID(bytes: $0.value) : nil }
    }

    /// The address without the peer that it ends with; the same if there is none, or nothing else.
    public var withoutPeerID: Multiaddress {
        guard let last = self.lastPart, last.code == Code.p2p, last.start > 0 else { return self }
        return Multiaddress(valid: self.bytes[..<last.start])
    }

    /// Whether the address leads over another peer.
    public var isRelayed: Bool {
        var parts = self.parts
        while let part = parts.following() {
            if part.code == Code.p2pCircuit { return true }
        }
        return false
    }

    private var lastPart: Part? {
        var parts = self.parts
        var last: Part?
        while let part = parts.following() { last = part }
        return last
    }

    private static func check(_ bytes: [UInt8]) throws(MultiaddressError) {
        guard !bytes.isEmpty else { throw .empty }
        var parts = Parts(bytes)
        var count = 0
        var peers: [ArraySlice<UInt8>] = []
        var relays = 0
        while let part = try parts.next() {
            count += 1
            guard count <= Self.maximumComponents else { throw .tooDeep }
            guard let form = part.form else { continue }
            // A path has no end in a text, so that nothing can follow it.
            guard form.accepts(part.value), form != .path || parts.isAtEnd else {
                throw .badValue(MultiaddressProtocol.of(code: part.code)?.name ?? "")
            }
            switch part.code {
            case Code.p2p:
                guard !peers.contains(part.value) else { throw .cyclic }
                peers.append(part.value)
            case Code.p2pCircuit:
                relays += 1
                guard relays == 1 else { throw .cyclic }
            default: break
            }
        }
    }
}

extension Multiaddress {
    /// The codes that decide something, as constants: they are compared very often.
    enum Code {
        static let ip4: UInt64 = 4
        static let tcp: UInt64 = 6
        static let ip6: UInt64 = 41
        static let ip6zone: UInt64 = 42
        static let dns: UInt64 = 53
        static let dns4: UInt64 = 54
        static let dns6: UInt64 = 55
        static let dnsaddr: UInt64 = 56
        static let udp: UInt64 = 273
        static let p2pCircuit: UInt64 = 290
        static let p2p: UInt64 = 421
        static let onion3: UInt64 = 445
        static let garlic64: UInt64 = 446
        static let garlic32: UInt64 = 447
        static let tls: UInt64 = 448
        static let sni: UInt64 = 449
        static let quicV1: UInt64 = 461
        static let ws: UInt64 = 477
        static let wss: UInt64 = 478
    }

    /// One protocol and its value, where it lies in the address.
    struct Part {
        let code: UInt64
        /// `nil` when the code is not understood: the value is then everything that follows.
        let form: MultiaddressProtocol.Form?
        /// Where the code begins.
        let start: Int
        /// Without its length.
        let value: ArraySlice<UInt8>
    }

    /// Takes an address apart without copying.
    struct Parts {
        private let bytes: ArraySlice<UInt8>
        private var index = 0

        init(_ bytes: [UInt8]) {
            self.bytes = bytes[...]
        }

        var isAtEnd: Bool { self.index == self.bytes.endIndex }

        mutating func next() throws(MultiaddressError) -> Part? {
            guard !self.isAtEnd else { return nil }
            let start = self.index
            let code = try self.varint()
            guard let form = MultiaddressProtocol.form(of: code) else {
                defer { self.index = self.bytes.endIndex }
                return Part(code: code, form: nil, start: start, value: self.bytes[self.index...])
            }
            let count: UInt64
            switch form.size {
            case .fixed(let size): count = UInt64(size)
            case .prefixed: count = try self.varint()
            }
            guard count <= UInt64(self.bytes.endIndex - self.index) else { throw .truncated }
            let valueStart = self.index
            self.index += Int(count)
            return Part(code: code, form: form, start: start, value: self.bytes[valueStart..<self.index])
        }

        /// The same in an address that exists, which is well-formed.
        mutating func following() -> Part? {
            (try? self.next()) ?? nil
        }

        private mutating func varint() throws(MultiaddressError) -> UInt64 {
            do {
                return try UnsignedVarint.read(self.bytes, at: &self.index)
            } catch {
                throw error == .truncated ? .truncated : .varint(error)
            }
        }
    }
}
