// SPDX-License-Identifier: MIT

/// A protocol of a multiaddr, by its code in the multicodec table.
public struct MultiaddressProtocol: Hashable, Sendable {
    /// How many bytes of value follow the code.
    enum Size: Hashable, Sendable {
        case fixed(Int)
        /// A varint with the length comes first.
        case prefixed
    }

    /// What the bytes of a value are, and how they are written as text.
    enum Form: Hashable, Sendable {
        case nothing, ip4, ip6, port, cidr, name, peerID, onion, onion3, garlic32, garlic64, path, escaped, hash

        var size: Size {
            switch self {
            case .nothing: .fixed(0)
            case .ip4: .fixed(4)
            case .ip6: .fixed(16)
            case .port: .fixed(2)
            case .cidr: .fixed(1)
            case .onion: .fixed(12)
            case .onion3: .fixed(37)
            case .name, .peerID, .garlic32, .garlic64, .path, .escaped, .hash: .prefixed
            }
        }
    }

    public let code: UInt64
    public let name: String
    let form: Form

    private init(_ code: UInt64, _ name: String, _ form: Form = .nothing) {
        self.code = code
        self.name = name
        self.form = form
    }

    /// The code says everything.
    public static func == (left: Self, right: Self) -> Bool { left.code == right.code }

    public func hash(into hasher: inout Hasher) { hasher.combine(self.code) }

    public static let ip4 = Self(4, "ip4", .ip4)
    public static let tcp = Self(6, "tcp", .port)
    public static let ip6 = Self(41, "ip6", .ip6)
    public static let ip6zone = Self(42, "ip6zone", .name)
    public static let dns = Self(53, "dns", .name)
    public static let dns4 = Self(54, "dns4", .name)
    public static let dns6 = Self(55, "dns6", .name)
    public static let dnsaddr = Self(56, "dnsaddr", .name)
    public static let udp = Self(273, "udp", .port)
    public static let p2pCircuit = Self(290, "p2p-circuit")
    public static let unix = Self(400, "unix", .path)
    public static let p2p = Self(421, "p2p", .peerID)
    public static let onion3 = Self(445, "onion3", .onion3)
    public static let garlic64 = Self(446, "garlic64", .garlic64)
    public static let garlic32 = Self(447, "garlic32", .garlic32)
    public static let tls = Self(448, "tls")
    public static let sni = Self(449, "sni", .name)
    public static let quicV1 = Self(461, "quic-v1")
    public static let ws = Self(477, "ws")
    public static let wss = Self(478, "wss")
    public static let httpPath = Self(481, "http-path", .escaped)

    /// All that are understood. Those without a name of their own here are read and written, and nothing else is done
    /// with them: a code that is not in the table makes the rest of an address unreadable.
    static let all: [Self] = [
        .ip4, .tcp, .ip6, .ip6zone, .dns, .dns4, .dns6, .dnsaddr, .udp, .p2pCircuit, .unix, .p2p, .onion3, .garlic64,
        .garlic32, .tls, .sni, .quicV1, .ws, .wss, .httpPath,
        Self(33, "dccp", .port), Self(43, "ipcidr", .cidr), Self(132, "sctp", .port), Self(275, "p2p-webrtc-star"),
        Self(276, "p2p-webrtc-direct"), Self(277, "p2p-stardust"), Self(280, "webrtc-direct"), Self(281, "webrtc"),
        Self(301, "udt"), Self(302, "utp"), Self(443, "https"), Self(444, "onion", .onion), Self(454, "noise"),
        Self(460, "quic"), Self(465, "webtransport"), Self(466, "certhash", .hash), Self(479, "p2p-websocket-star"),
        Self(480, "http"),
    ]

    /// At the index of its code: addresses are taken apart very often.
    private static let table: [Self?] = {
        var table = [Self?](repeating: nil, count: 512)
        for known in Self.all { table[Int(known.code)] = known }
        return table
    }()

    private static let forms: [Form?] = Self.table.map { $0?.form }

    private static let byName = Dictionary(uniqueKeysWithValues: Self.all.map { ($0.name, $0) })
        .merging(["ipfs": .p2p]) { first, _ in first }

    /// The protocol of a code; `nil` for those that are not understood.
    public static func of(code: UInt64) -> Self? {
        code < UInt64(Self.table.count) ? Self.table[Int(code)] : nil
    }

    /// The form of a code's value; `nil` for those that are not understood.
    static func form(of code: UInt64) -> Form? {
        code < UInt64(Self.forms.count) ? Self.forms[Int(code)] : nil
    }

    /// The protocol of a name; `ipfs` is the former name of `p2p`.
    public static func of(name: some StringProtocol) -> Self? { Self.byName[String(name)] }
}
