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
    /// `addr_recv`: where the sender sees its reader, which is how a reader behind a NAT learns its outside address.
    /// Unchecked.
    public var receiver: P2PAddressField
    /// `addr_from`: where the sender says that it is. Nobody uses it, and Bitcoin Core leaves it empty since 0.21.
    public var sender: P2PAddressField
    /// A random number by which a node recognises its own connections; 0 when absent.
    public var nonce: UInt64
    /// BIP 14: what the sender calls itself; unchecked bytes, to be shown through `UntrustedText` only.
    public var userAgent: [UInt8]
    /// The height of the sender's best block, as it says.
    public var startHeight: Int32
    /// BIP 37: whether the sender wants to be told of transactions.
    public var relay: Bool

    /// A message from its fields.
    public init(
        protocolVersion: Int32,
        services: UInt64,
        time: Int64,
        nonce: UInt64,
        userAgent: [UInt8],
        startHeight: Int32,
        relay: Bool,
        receiver: P2PAddressField = .empty,
        sender: P2PAddressField = .empty
    ) {
        self.protocolVersion = protocolVersion
        self.services = services
        self.time = time
        self.nonce = nonce
        self.userAgent = userAgent
        self.startHeight = startHeight
        self.relay = relay
        self.receiver = receiver
        self.sender = sender
    }

    /// Reads what there is. As in Bitcoin Core, everything after the receiver's address may be missing (an old
    /// client is to be refused for its version, not for a short message) and bytes after the last field are ignored
    /// (they are how the message has grown so far).
    init(reader: inout P2PPayloadReader) throws(P2PPayloadError) {
        self.protocolVersion = try reader.integer()
        self.services = try reader.integer()
        self.time = try reader.integer()
        self.receiver = try P2PAddressField(reader: &reader)
        self.sender = .empty
        self.nonce = 0
        self.userAgent = []
        self.startHeight = 0
        self.relay = true
        if !reader.isAtEnd {
            self.sender = try P2PAddressField(reader: &reader)
            self.nonce = try reader.integer()
        }
        if !reader.isAtEnd {
            self.userAgent = Array(try reader.bytes(try reader.count(limit: Self.maximumUserAgentLength)))
        }
        if !reader.isAtEnd { self.startHeight = try reader.integer() }
        if !reader.isAtEnd { self.relay = try reader.integer(UInt8.self) != 0 }
    }

    /// Appends the payload.
    func append(to bytes: inout [UInt8]) {
        bytes.appendLittleEndian(self.protocolVersion)
        bytes.appendLittleEndian(self.services)
        bytes.appendLittleEndian(self.time)
        self.receiver.append(to: &bytes)
        self.sender.append(to: &bytes)
        bytes.appendLittleEndian(self.nonce)
        let agent = self.userAgent.prefix(Self.maximumUserAgentLength)
        bytes.appendCompactSize(UInt64(agent.count))
        bytes.append(contentsOf: agent)
        bytes.appendLittleEndian(self.startHeight)
        bytes.append(self.relay ? 1 : 0)
    }
}
