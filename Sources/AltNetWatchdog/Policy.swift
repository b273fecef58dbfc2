// SPDX-License-Identifier: MIT

/// What is to be done about an incident. Says so only; whoever carries it out asks the operator's permissions too.
public struct Policy: Hashable, Sendable {
    public enum Action: String, Hashable, Sendable, Codable, CaseIterable {
        /// Open links to further targets.
        case openLinks = "open-links"
        /// Give the node the headers that it misses.
        case feedHeaders = "feed-headers"
        /// Give the node the blocks that it misses.
        case feedBlocks = "feed-blocks"
        /// Give the node a peer that is reached through a link.
        case addSplicedPeer = "add-spliced-peer"
        /// Disconnect the node's peers that withhold.
        case dropPeers = "drop-peers"
        /// Tell people.
        case alert

        /// Whether it changes the operator's node. Only these are held back by a dry run.
        public var changesNode: Bool {
            switch self {
            case .openLinks, .alert: false
            case .feedHeaders, .feedBlocks, .addSplicedPeer, .dropPeers: true
            }
        }
    }

    /// An action that is due; a dry run is written down and not carried out.
    public struct Step: Hashable, Sendable {
        public var action: Action
        public var isDryRun: Bool

        public init(action: Action, isDryRun: Bool) {
            self.action = action
            self.isDryRun = isDryRun
        }
    }

    /// The actions for each kind, in the order in which they are taken. A kind that is missing gets none.
    public var table: [Incident.Kind: [Action]]
    /// Whether actions that change the node are only written down.
    public var dryRun: Bool

    public init(table: [Incident.Kind: [Action]], dryRun: Bool) {
        self.table = table
        self.dryRun = dryRun
    }

    /// Cheap and harmless things first; what changes the node's peers last. Kinds that no machine can mend only alert.
    public static let standard = Policy(
        table: [
            .linkBehind: [.openLinks, .alert],
            .nodeBehind: [.openLinks, .feedHeaders, .feedBlocks, .addSplicedPeer, .dropPeers, .alert],
            .staleTip: [.openLinks, .addSplicedPeer, .alert],
            .slowBlocks: [.openLinks, .addSplicedPeer, .alert],
            .competingBranches: [.openLinks, .alert],
            .deepReorganisation: [.openLinks, .alert],
            .withheldBlock: [.openLinks, .feedBlocks, .alert],
            .invalidBranch: [.alert],
            .concentration: [.openLinks, .alert],
            .clockSkew: [.alert],
            .implausibleTime: [.openLinks, .alert],
            .lateBlocks: [.openLinks, .alert],
            .nodeUnavailable: [.alert],
        ], dryRun: true)

    /// What is due for an incident that is open. An incident about a link is no reason to change the node.
    public func steps(for incident: Incident) -> [Step] {
        guard incident.closed == nil else { return [] }
        return (self.table[incident.kind] ?? [])
            .filter { !$0.changesNode || !incident.subject.isLink }
            .map { Step(action: $0, isDryRun: self.dryRun && $0.changesNode) }
    }
}
