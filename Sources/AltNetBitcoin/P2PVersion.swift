// SPDX-License-Identifier: MIT

internal import AltNetBase

/// The `version` message: what each side says of itself before anything else.
public struct P2PVersion: Hashable, Sendable {
    /// A user agent longer than this makes the message invalid: Bitcoin Core's MAX_SUBVERSION_LENGTH. In bytes.
    public static let maximumUserAgentLength = 256

    /// The version of the protocol that the sender speaks.
    public var protocolVersion: Int32
    /// The service bits that the sender offers.
    public var services: UInt64
    /// The sender's clock in seconds since 1970.
    public var time: Int64
    /// A random number by which a node recognises its own connections; 0 when absent.
    public var nonce: UInt64
    /// BIP 14: what the sender calls itself; unchecked bytes, to be shown through `UntrustedText` only.
    public var userAgent: [UInt8]
    /// The height of the sender's best block, as it says.
    public var startHeight: Int32
    /// BIP 37: whether the sender wants to be told of transactions.
    public var relay: Bool

    /// A message from its fields; both addresses are left empty on the wire.
    public init(
        protocolVersion: Int32,
        services: UInt64,
        time: Int64,
        nonce: UInt64,
        userAgent: [UInt8],
        startHeight: Int32,
        relay: Bool
    ) {
        self.protocolVersion = protocolVersion
        self.services = services
        self.time = time
        self.nonce = nonce
        self.userAgent = userAgent
        self.startHeight = startHeight
        self.relay = relay
    }

    /// Service bits, address and port of one side: a relic that nobody needs and that would tell our own address.
    private static let addressLength = 26

    /// Reads what there is. As in Bitcoin Core, everything after the receiver's address may be missing (an old
    /// client is to be refused for its version, not for a short message) and bytes after the last field are ignored
    /// (they are how the message has grown so far).
    init(reader: inout P2PPayloadReader) throws(P2PPayloadError) {
        self.protocolVersion = try reader.integer()
        self.services = try reader.integer()
        self.time = try reader.integer()
        _ = try reader.bytes(Self.addressLength)
        self.nonce = 0
        self.userAgent = []
        self.startHeight = 0
        self.relay = true
        if !reader.isAtEnd {
            _ = try reader.bytes(Self.addressLength)
            self.nonce = try reader.integer()
        }
        if !reader.isAtEnd {
            self.userAgent = Array(try reader.bytes(try reader.count(limit: Self.maximumUserAgentLength)))
        }
        if !reader.isAtEnd { self.startHeight = try reader.integer() }
        if !reader.isAtEnd { self.relay = try reader.integer(UInt8.self) != 0 }
    }

    /// Appends the payload. Both addresses are left empty: we do not tell where we are or whom we believe to talk to.
    func append(to bytes: inout [UInt8]) {
        bytes.appendLittleEndian(self.protocolVersion)
        bytes.appendLittleEndian(self.services)
        bytes.appendLittleEndian(self.time)
        bytes.append(contentsOf: repeatElement(0, count: Self.addressLength * 2))
        bytes.appendLittleEndian(self.nonce)
        let agent = self.userAgent.prefix(Self.maximumUserAgentLength)
        bytes.appendCompactSize(UInt64(agent.count))
        bytes.append(contentsOf: agent)
        bytes.appendLittleEndian(self.startHeight)
        bytes.append(self.relay ? 1 : 0)
    }
}
