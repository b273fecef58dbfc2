// SPDX-License-Identifier: MIT

internal import AltNetConfiguration
internal import AltNetHeaderSync
internal import AltNetNode
internal import AltNetObjects
internal import Logging

// Transactions that remotes hand to us go to the operator's node, which relays them, and to nobody else. No line of the
// log ties one to where it came from.

extension Orchestrator {
    /// A remote handed a transaction to us.
    func take(transaction bytes: [UInt8], over link: LinkID) {
        guard let node = self.parts.node, let state = self.node.state, state.reach == .reachable, !state.isSyncing
        else { return self.transactions.note(.noNode) }
        guard self.parts.nodeSettings.allow.contains(.transactions) else { return self.transactions.note(.notAllowed) }
        guard self.transactions.onTransaction(bytes, over: link, now: .system) == nil, self.handingIn == nil else {
            return
        }
        self.handingIn = Task { await self.handIn(to: node) }
    }

    /// Gives the node what waits for it, one after the other.
    private func handIn(to node: any NodeInterface) async {
        while !Task.isCancelled, let transaction = self.transactions.next() {
            let (outcome, isFinal) = await self.handIn(transaction.bytes, to: node)
            self.transactions.onOutcome(outcome, of: transaction, isFinal: isFinal)
        }
        self.handingIn = nil
    }

    private func handIn(
        _ transaction: [UInt8], to node: any NodeInterface
    ) async -> (outcome: TransactionRelay.Outcome, isFinal: Bool) {
        do throws(NodeError) {
            switch try await node.judge(transaction: transaction) {
            case .known: return (.known, true)
            case .missingInputs: return (.rejected, false)
            case .rejected(let reason):
                self.logger.debug("the node does not want a transaction", metadata: ["reason": "\(reason)"])
                return (.rejected, true)
            case .acceptable:
                try await node.perform(.sendTransaction(transaction), because: "a remote handed it to us to relay")
                self.logger.info("the node relays a transaction that a remote handed to us")
                return (.accepted, true)
            }
        } catch {
            if case .rejected = error { return (.rejected, false) }
            self.logger.warning("a transaction could not be given to the node", metadata: ["reason": "\(error)"])
            return (.failed, false)
        }
    }
}
