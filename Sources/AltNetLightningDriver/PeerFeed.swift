// SPDX-License-Identifier: MIT

internal import AltNetAlternativeAddresses
internal import AltNetBase
internal import AltNetDriverKit
internal import AltNetKeys
internal import AltNetLightning
internal import AltNetLightningAttachment
internal import AltNetPeerRecords
internal import Logging
internal import Synchronization

/// Tells the peer store where Lightning nodes are, as far as this driver hears of it beside their own records: what peers
/// gave to us alone, and what the attached node knows from gossip.
actor PeerFeed {
    /// How long it holds. What is still true by then has been told again.
    private static let lifetime = Duration.seconds(7 * 86_400)
    /// How often the attached node is asked about a peer that stays connected.
    private static let interval = Duration.seconds(86_400)
    /// How often is looked for peers to ask about, and how many are asked about each time, so that a node with many
    /// peers has other things to do as well.
    private static let round = (every: Duration.seconds(10), peers: 20)
    /// The most peers of an attached node that are asked about: as many as the attachments tell of.
    static let maximumPeers = 10_000
    /// From where gossip comes is not known: all of it shares one place in the store.
    private static let gossip = NewsOrigin(networkGroup: "gossip")

    /// The most peers whose alternative addresses wait to be told of: as many as give us some.
    static let maximumWaiting = AlternativeAddresses.maximumReceived
    /// The most peers whose alternative addresses are told of at once: two pieces of news for each.
    static let maximumGifts = 50

    /// What peers gave us, until it is told of: of each peer the last word.
    private struct Gifts {
        var waiting: [NodeID: AlternativeAddressBook.Gift] = [:]
        var isTelling = false
        /// Whether something was left out since there was room last.
        var isFull = false
    }

    private let gifts = Mutex(Gifts())
    private let book: OrchestratorBook
    private let logger = Logger(label: "peer feed")
    /// The peers that are connected, and when they are asked about next.
    private var due: [NodeID: ContinuousClock.Instant] = [:]
    private var isRefused = false

    init(_ book: OrchestratorBook) {
        self.book = book
    }

    /// A peer gave us an address of its own that nobody else knows, in place of an earlier one, or took it back. The
    /// store tells it to nobody.
    ///
    /// Does not wait for the store: the peer's next message is behind this one.
    nonisolated func given(_ gift: AlternativeAddressBook.Gift) {
        let isFirst = self.gifts.withLock { gifts in
            guard gifts.waiting[gift.peer] != nil || gifts.waiting.count < Self.maximumWaiting else {
                if !gifts.isFull { self.logger.warning("the peer store is too slow for alternative addresses") }
                gifts.isFull = true
                return false
            }
            gifts.waiting[gift.peer] = gift
            defer { gifts.isTelling = true }
            return !gifts.isTelling
        }
        // One at a time, so that the last word is told last.
        if isFirst { Task { await self.tellGifts() } }
    }

    private func tellGifts() async {
        while true {
            let some = self.gifts.withLock { gifts in
                let some = gifts.waiting.values.prefix(Self.maximumGifts)
                for gift in some { gifts.waiting[gift.peer] = nil }
                gifts.isTelling = !some.isEmpty
                gifts.isFull = false
                return Array(some)
            }
            guard !some.isEmpty else { return }
            await self.tell(some.flatMap(Self.news))
        }
    }

    /// The new address comes before the earlier one goes, and both in one transaction: a peer of whom nothing was left
    /// would have to find room anew.
    private static func news(of gift: AlternativeAddressBook.Gift) -> [PeerNews] {
        guard let peer = PeerID(gift.peer) else { return [] }
        let place = gift.address?.multiaddress
        let former = PeerNews.withdrawn(peer, source: .altAddr, except: place, use: .lightning)
        guard let place else { return [former] }
        return [.addresses(peer, [place], source: .altAddr, lifetime: Self.lifetime, use: .lightning), former]
    }

    /// The attached node is connected with a peer, or no more.
    func attached(_ node: NodeID, isConnected: Bool) {
        guard isConnected else {
            self.due[node] = nil
            return
        }
        if self.due[node] == nil, self.due.count < Self.maximumPeers { self.due[node] = .now }
    }

    /// Asks the attached node about its peers until the task is cancelled.
    func run(_ attachment: any LightningAttachment) async {
        while !Task.isCancelled {
            await self.ask(attachment)
            try? await Task.sleep(for: Self.round.every)
        }
    }

    /// Asks about some of the peers whose turn it is.
    func ask(_ attachment: any LightningAttachment) async {
        let now = ContinuousClock.now
        let nodes = self.due.filter { $0.value <= now }.sorted { $0.value < $1.value }.prefix(Self.round.peers)
        var news: [PeerNews] = []
        for (node, _) in nodes {
            // It may have left while another one was asked about.
            guard self.due[node] != nil else { continue }
            self.due[node] = now + Self.interval
            do {
                let addresses = try await attachment.announcedAddresses(of: node).compactMap(\.multiaddress)
                guard let peer = PeerID(node), !addresses.isEmpty else { continue }
                news.append(
                    .addresses(
                        peer, addresses, source: .bolt7, lifetime: Self.lifetime, toldBy: Self.gossip, use: .lightning))
            } catch {
                self.logger.debug("the Lightning node does not tell of a peer", metadata: ["reason": "\(error)"])
            }
        }
        if !news.isEmpty { await self.tell(news) }
    }

    private func tell(_ news: [PeerNews]) async {
        do {
            _ = try await self.book.learn(news)
            self.isRefused = false
        } catch {
            // Once, not for each of them.
            guard !self.isRefused else { return }
            self.isRefused = true
            self.logger.warning("the peer store does not answer", metadata: ["reason": "\(error)"])
        }
    }
}
