// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetHeaderSync

/// Which transactions that remotes hand to us reach the operator's node, as a value.
///
/// The point of such a transaction is that nobody knows who sent it: nothing here keeps, logs or counts which link
/// brought which. A link has a rate, and that is all that is known of it.
struct TransactionRelay: Sendable {
    /// What became of a transaction.
    enum Outcome: String, Hashable, Sendable, CaseIterable {
        /// The node has taken it, and relays it.
        case accepted
        /// The node had it already.
        case known
        /// The node does not want it.
        case rejected
        /// It is no transaction, or none of a size that is relayed.
        case malformed
        /// The same bytes came before.
        case duplicate
        /// More came than may, over its link or over all.
        case limited
        /// As many wait for the node as may.
        case busy
        /// The operator does not allow it.
        case notAllowed = "not-allowed"
        /// There is no node, it does not answer, or it is downloading the chain.
        case noNode = "no-node"
        /// The node could not be asked.
        case failed
    }

    /// What waits for the node.
    struct Waiting: Hashable, Sendable {
        let bytes: [UInt8]
        let identifiers: TransactionIdentifiers
    }

    /// Transactions that wait for the node: 6.4 MB at most. Asking it about one takes milliseconds.
    static let maximumWaiting = 16
    /// Transactions that are remembered, so that copies of one cost the node nothing: some minutes of the highest rate.
    static let maximumRemembered = 1000
    /// What one link may bring: a person's wallet sends a few at once, and seldom.
    static let linkBurst = 8
    static let linkPerSecond = 1
    /// What all links together may bring: a tenth of what a node hears from its peers, which it bears well.
    static let burst = 8
    static let perSecond = 8

    private var links: [LinkID: TokenBucket] = [:]
    private var all: TokenBucket
    private var waiting: [Waiting] = []
    private var remembered: Set<BlockHash> = []
    /// The remembered ones, the oldest first from `oldest` on.
    private var order: [BlockHash] = []
    private var oldest = 0
    /// What became of all transactions since the start.
    private(set) var counts: [Outcome: UInt64] = [:]

    init(now: MonotonicInstant) {
        self.all = TokenBucket(burst: Self.burst, perSecond: Self.perSecond, now: now)
    }

    /// A remote handed a transaction to us.
    ///
    /// - Returns: why it goes no further; `nil` when it waits for the node now.
    mutating func onTransaction(_ bytes: [UInt8], over link: LinkID, now: MonotonicInstant) -> Outcome? {
        let outcome = self.judge(bytes, over: link, now: now)
        if let outcome { self.note(outcome) }
        return outcome
    }

    private mutating func judge(_ bytes: [UInt8], over link: LinkID, now: MonotonicInstant) -> Outcome? {
        // The link's own share first: it must not use up what belongs to all.
        let fresh = TokenBucket(burst: Self.linkBurst, perSecond: Self.linkPerSecond, now: now)
        guard self.links[link, default: fresh].take(now: now), self.all.take(now: now) else { return .limited }
        guard let identifiers = try? TransactionCheck.identify(bytes) else { return .malformed }
        // Not by its txid: whoever sends it first with spoiled witnesses would keep the true one out.
        guard !self.remembered.contains(identifiers.witnessID) else { return .duplicate }
        guard self.waiting.count < Self.maximumWaiting else { return .busy }
        self.remember(identifiers.witnessID)
        self.waiting.append(Waiting(bytes: bytes, identifiers: identifiers))
        return nil
    }

    /// The next one for the node.
    mutating func next() -> Waiting? { self.waiting.isEmpty ? nil : self.waiting.removeFirst() }

    /// What became of one that was given out.
    ///
    /// - Parameter isFinal: whether the same bytes would come to the same; otherwise they may be tried again.
    mutating func onOutcome(_ outcome: Outcome, of transaction: Waiting, isFinal: Bool) {
        self.note(outcome)
        if !isFinal { self.remembered.remove(transaction.identifiers.witnessID) }
    }

    /// One that was not even looked at.
    mutating func note(_ outcome: Outcome) { self.counts[outcome, default: 0] += 1 }

    mutating func onLinkClosed(_ link: LinkID) { self.links[link] = nil }

    private mutating func remember(_ id: BlockHash) {
        self.remembered.insert(id)
        guard self.order.count == Self.maximumRemembered else { return self.order.append(id) }
        self.remembered.remove(self.order[self.oldest])
        self.remembered.insert(id)
        self.order[self.oldest] = id
        self.oldest = (self.oldest + 1) % Self.maximumRemembered
    }
}
