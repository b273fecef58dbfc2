// SPDX-License-Identifier: MIT

internal import AltNetKeys
internal import AltNetLightning
internal import AltNetOnion

// How much an onion message has room for. All of it depends on the rounded number of nodes only, because the end sees
// how long messages are and how much room is asked for.
extension OnionMessages {
    /// The numbers of nodes to which routes are rounded up. Up to five, messages that are not long still fit into the
    /// onion that most onions are.
    static let roundedCounts = [5, 10, OnionMessages.maximumNodes]

    /// The number of nodes that a route of `hops` nodes shows to its end.
    static func roundedHops(_ hops: Int) -> Int {
        Self.roundedCounts.first { hops <= $0 } ?? Self.maximumNodes
    }

    /// The longest message to the last of `hops` nodes or a few more, in bytes, in the large onion of 32,834 bytes.
    public static func maximumPayload(hops: Int) -> Int {
        self.payload(hops: hops, in: OnionPacket.largePayloadsSize)
    }

    /// The longest message to the last of `hops` nodes or a few more, in bytes, with which the onion still has the
    /// 1,366 bytes that most onions have; 0 for more than five nodes.
    public static func ordinaryPayload(hops: Int) -> Int {
        self.payload(hops: hops, in: OnionPacket.standardPayloadsSize)
    }

    /// The longest answer over the way back from the last of `hops` nodes or a few more, in bytes.
    public static func maximumReply(hops: Int) -> Int {
        guard (1...Self.maximumNodes).contains(hops) else { return 0 }
        let hops = Self.roundedHops(hops)
        let data = Self.record(2, Self.replyData)
        let between = OnionPacket.size(ofPayload: data)
        return Self.field(in: OnionPacket.largePayloadsSize - (hops - 1) * between, beside: data)
    }

    private static func payload(hops: Int, in size: Int) -> Int {
        guard (1...Self.maximumNodes).contains(hops) else { return 0 }
        let hops = Self.roundedHops(hops)
        let between = OnionPacket.size(ofPayload: Self.record(4, Self.nextNodeData + RouteBlinding.overhead))
        let replyPath = 2 * NodeID.size + 1 + hops * (NodeID.size + 2 + Self.replyData)
        let others = Self.record(2, replyPath) + Self.record(4, RouteBlinding.overhead)
        return Self.field(in: size - (hops - 1) * between, beside: others)
    }

    /// Data that name the next node: type, length and identity.
    private static let nextNodeData = 2 + NodeID.size

    /// What each node of a way back finds, encrypted. Data that name the next node and data that bring our secret
    /// differ in length by one byte, and padding takes two at least.
    private static let replyData = RouteBlinding.overhead + Self.nextNodeData + 2

    private static func record(_ type: UInt64, _ length: Int) -> Int {
        Self.bigSize(type) + Self.bigSize(UInt64(length)) + length
    }

    /// The longest frame in the last payload, for which `size` bytes of the onion are left, beside other records.
    private static func field(in size: Int, beside others: Int) -> Int {
        let fits = { (length: Int) in
            OnionPacket.size(ofPayload: others + Self.record(Self.fieldType, length)) <= size
        }
        // Lengths take one or three bytes, twice: so the guess is at most four bytes too short.
        let least =
            size - OnionPacket.size(ofPayload: 0x1_0000) + 0x1_0000 - others - Self.record(Self.fieldType, 253) + 253
        guard least >= 0 else { return 0 }
        return (least...(least + 6)).last(where: fits) ?? 0
    }

    private static func bigSize(_ value: UInt64) -> Int {
        var bytes: [UInt8] = []
        bytes.appendBigSize(value)
        return bytes.count
    }
}
