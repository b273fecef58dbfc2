// SPDX-License-Identifier: MIT

internal import AltNetStreamDriver

/// A node that messages can be handed to without another in between.
struct Neighbour: Sendable {
    /// Tells two connections with one node apart.
    let id: UInt64
    /// The types of message that it takes.
    let takes: Set<UInt16>
    /// Whether a message would find room now.
    let hasRoom: @Sendable () -> Bool
    /// Hands a message on, type included; `false` when there is no room for it.
    let send: @Sendable ([UInt8]) -> Bool

    init(
        id: UInt64, takes: Set<UInt16>, hasRoom: @escaping @Sendable () -> Bool,
        send: @escaping @Sendable ([UInt8]) -> Bool
    ) {
        self.id = id
        self.takes = takes
        self.hasRoom = hasRoom
        self.send = send
    }

    /// The node at the other end of a link.
    init(_ link: MediumLink, takes: Set<UInt16>) {
        self.init(id: link.id, takes: takes, hasRoom: { link.hasRoom }, send: { link.send($0) })
    }
}
