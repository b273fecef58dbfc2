// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetDriverKit
internal import AltNetDriverProtocol
internal import AltNetKeys
internal import AltNetLightning
internal import AltNetPeerRecords
internal import AltNetPeerStore
internal import AltNetTransport
internal import FoundationEssentials
internal import Logging

/// What the operator wants others to know of where our nodes are.
struct NodeAnnouncement: Hashable, Sendable {
    /// Where the Lightning node is reached; none: where it listens.
    var lightning: [LightningAddress] = []
    var bitcoin: [BitcoinEndpoint] = []
    /// Whether the addresses at which we listen may be told. Not behind a proxy, which is there to hide them; and not
    /// beside a hidden service, which the same record would tie to this machine.
    var tellsListeners = true

    /// Takes `announce`, `announce_bitcoin` and `announce_bitcoin_services`.
    init(_ settings: inout DriverSettings, isProxied: Bool) throws(DriverSetupError) {
        self.tellsListeners = !isProxied
        for text in try settings.texts("announce") {
            do throws(LightningAddressError) {
                self.lightning.append(try LightningAddress(text: text))
            } catch {
                throw DriverSetupError("announce: \(UntrustedText(text)): \(error)")
            }
        }
        let services = try settings.number("announce_bitcoin_services", in: 0...Int.max) ?? 0
        for text in try settings.texts("announce_bitcoin") {
            do throws(BitcoinEndpointError) {
                self.bitcoin.append(try BitcoinEndpoint(text: text, services: UInt64(services)))
            } catch {
                throw DriverSetupError("announce_bitcoin: \(UntrustedText(text)): \(error)")
            }
        }
        if self.bitcoin.contains(where: { $0.multiaddress?.reach == .overlay }) { self.tellsListeners = false }
        let count = self.lightning.count + self.bitcoin.count
        guard count <= NodeAddressRecord.maximumAddresses else {
            throw DriverSetupError(
                "announce and announce_bitcoin have \(count) addresses, and a record holds "
                    + "\(NodeAddressRecord.maximumAddresses)")
        }
        for address in self.lightning.map(\.multiaddress) + self.bitcoin.map(\.multiaddress) {
            guard let address, !address.isAmbiguous, !address.isNobodys else {
                throw DriverSetupError(
                    "announce and announce_bitcoin are for addresses that lead to this machine from everywhere, unlike "
                        + (address.map { "\($0)" } ?? "some of them"))
            }
        }
    }

    var isEmpty: Bool { self.lightning.isEmpty && self.bitcoin.isEmpty }

    /// The Lightning addresses to sign.
    ///
    /// - Parameter listening: the addresses that lead to our listeners, of which those are told that lead here from
    ///   everywhere.
    func lightning(listening: Set<LightningAddress>) -> [LightningAddress] {
        guard self.lightning.isEmpty, self.tellsListeners else { return self.lightning }
        let room = NodeAddressRecord.maximumAddresses - self.bitcoin.count
        return Array(
            listening.filter { [.global, .overlay].contains($0.multiaddress?.reach ?? .nowhere) }
                .sorted { $0.text < $1.text }.prefix(room))
    }
}

/// Signs where our Bitcoin and Lightning nodes are, and tells the orchestrator, which tells others as far as the operator
/// allows.
actor OwnNodeRecord {
    /// How often the addresses of this machine are looked at.
    static let lookInterval = Duration.seconds(600)
    /// How long a record stands before it is signed anew, so that nobody forgets it who hears of it once a week.
    static let renewal = Duration.seconds(86_400)

    private let key: PeerPrivateKey
    private let chain: BlockHash
    private let announcement: NodeAnnouncement
    private let logger = Logger(label: "node record")
    private var sequence: RecordSequence
    private var told: (lightning: [LightningAddress], at: ContinuousClock.Instant)?

    init(
        _ key: NodePrivateKey, network: Network, announcement: NodeAnnouncement, directory: String
    ) throws(DriverSetupError) {
        self.key = PeerPrivateKey(key)
        self.chain = network.chainHash
        self.announcement = announcement
        do throws(PeerStoreError) {
            self.sequence = try RecordSequence(directory: directory)
        } catch {
            throw DriverSetupError(error.description)
        }
    }

    /// Works until the task is cancelled.
    func run(listening: [HostAndPort], _ book: OrchestratorBook) async {
        while !Task.isCancelled {
            await self.tell(
                self.announcement.lightning(listening: OwnHosts.read().addresses(of: listening)), book)
            try? await Task.sleep(for: Self.lookInterval)
        }
    }

    private func tell(_ lightning: [LightningAddress], _ book: OrchestratorBook) async {
        if let told, told.lightning == lightning, told.at + Self.renewal > .now { return }
        // Without an address there is something to say only to those who have an earlier record.
        guard !lightning.isEmpty || !self.announcement.bitcoin.isEmpty || self.sequence.lastIssued > 0 else { return }
        do {
            let now = WallClockTime(milliseconds: Int64(Date().timeIntervalSince1970 * 1_000))
            let record = try NodeAddressRecord(
                peer: self.key.peerID, sequence: try self.sequence.next(now: now), chain: self.chain,
                bitcoin: self.announcement.bitcoin, lightning: lightning
            ).sealed(by: self.key)
            let outcomes = try await book.learn([.record(envelope: record.envelope, source: .link)])
            if case .refused(let refusal)? = outcomes.first {
                self.logger.warning("the record of our nodes was refused", metadata: ["reason": "\(refusal)"])
            }
            self.told = (lightning, .now)
        } catch {
            self.logger.warning("the record of our nodes could not be told", metadata: ["reason": "\(error)"])
        }
    }
}
