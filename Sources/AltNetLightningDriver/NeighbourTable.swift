// SPDX-License-Identifier: MIT

internal import AltNetKeys
internal import AltNetLightning
internal import AltNetLightningRelay
internal import Synchronization

/// The nodes that messages can be handed to now.
///
/// With one node there may be two connections for a while, as when both sides have dialled: the newest is used.
final class NeighbourTable: Sendable {
    private struct State {
        var neighbours: [NodeID: [Neighbour]] = [:]
        /// The nodes by their connections.
        var nodes: [UInt64: NodeID] = [:]
    }

    private let state = Mutex(State())

    func add(_ neighbour: Neighbour, of node: NodeID) {
        self.state.withLock { state in
            state.neighbours[node, default: []].append(neighbour)
            state.nodes[neighbour.id] = node
        }
    }

    /// Forgets a connection; gives its node if there is no other connection with that.
    func remove(_ id: UInt64) -> NodeID? {
        self.state.withLock { state in
            guard let node = state.nodes.removeValue(forKey: id) else { return nil }
            state.neighbours[node]?.removeAll { $0.id == id }
            guard state.neighbours[node]?.isEmpty ?? true else { return nil }
            state.neighbours[node] = nil
            return node
        }
    }

    /// The node at the other end of a connection.
    func node(of id: UInt64) -> NodeID? {
        self.state.withLock { $0.nodes[id] }
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
        self.state.withLock { $0.neighbours[node]?.last { $0.takes.contains(type) } }
    }
}
