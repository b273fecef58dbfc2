// SPDX-License-Identifier: MIT

internal import AltNetKeys
internal import AltNetLightning
internal import AltNetLightningRelay
internal import Synchronization

/// The nodes that messages can be handed to now.
///
/// With one node there may be two connections for a while, as when both sides have dialled: the newest is used.
final class NeighbourTable: Sendable {
    private let nodes = Mutex<[NodeID: [Neighbour]]>([:])

    func add(_ neighbour: Neighbour, of node: NodeID) {
        self.nodes.withLock { $0[node, default: []].append(neighbour) }
    }

    /// Forgets a connection; `true` when it was the last one with its node.
    func remove(id: UInt64, of node: NodeID) -> Bool {
        self.nodes.withLock { nodes in
            guard nodes[node] != nil else { return false }
            nodes[node]?.removeAll { $0.id == id }
            guard nodes[node]?.isEmpty ?? true else { return false }
            nodes[node] = nil
            return true
        }
    }

    /// Whether a node can be handed a message of a type.
    func state(of node: NodeID, taking type: LightningMessage.RelayedType) -> NeighbourState {
        guard let neighbour = self.neighbour(node, taking: type.rawValue) else { return .absent }
        return neighbour.hasRoom() ? .ready : .busy
    }

    /// Hands a message, type included, to a node; `false` when it cannot be.
    @discardableResult
    func send(_ message: [UInt8], to node: NodeID) -> Bool {
        guard let high = message.first, let low = message.dropFirst().first else { return false }
        return self.neighbour(node, taking: UInt16(high) << 8 | UInt16(low))?.send(message) ?? false
    }

    private func neighbour(_ node: NodeID, taking type: UInt16) -> Neighbour? {
        self.nodes.withLock { $0[node]?.last { $0.takes.contains(type) } }
    }
}
