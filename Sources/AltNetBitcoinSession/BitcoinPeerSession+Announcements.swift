// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetObjects

extension BitcoinPeerSession {
    /// Tells the other side.
    ///
    /// A tip goes out as a `headers` message with the one header, whether or not the other side has sent `sendheaders`
    /// (BIP 130 would have an `inv` in that case). Two reasons, both in Bitcoin Core 31's `net_processing.cpp`,
    /// for sessions that serve no blocks:
    ///
    /// - Core starts a headers sync of its own only with peers that claim to serve blocks (`SendMessages`,
    ///   `CanServeBlocks`), which we do not, and it does not send `sendheaders` before that sync is done
    ///   (`MaybeSendSendHeaders`). But any `headers` message whose first header does not connect makes it send us
    ///   `getheaders` (`ProcessHeadersMessage`, `HandleUnconnectingHeaders`): from inbound and outbound peers alike,
    ///   in initial block download too, at most once in two minutes while it has no answer
    ///   (`MaybeSendGetHeaders`). Only while it imports or reindexes does it ignore headers. From there on the sync
    ///   continues as long as our answers have 2000 headers each. It fetches no blocks with witnesses from peers
    ///   without the service bit for them (`CanServeWitnesses`).
    /// - An `inv` offers the block itself, which we do not have.
    ///
    /// Where we do serve blocks, only the first announcement is a `headers` message without being asked for.
    mutating func announce(_ announcement: ObjectAnnouncement) {
        guard case .established = self.stage else { return }
        switch announcement {
        case .tip(let header, _):
            let offersBlock = self.configuration.serves.contains(.blocks)
            if self.server.peerPrefersHeaders || !self.server.hasAnnounced || !offersBlock {
                self.write(.headers(header.bytes))
            } else {
                self.write(.inv([P2PInventory(type: P2PInventory.block, hash: header.hash)]))
            }
            self.server.hasAnnounced = true
        case .addresses(let addresses):
            // Without BIP 155 only some networks can be told of, and an empty message tells nothing.
            let tellable = self.server.peerWantsAddressV2 ? addresses : addresses.filter(P2PMessage.fitsAddr)
            guard !tellable.isEmpty else { return }
            let some = Array(tellable.prefix(P2PMessage.maximumAddresses))
            self.write(self.server.peerWantsAddressV2 ? .addrv2(some) : .addr(some))
        case .transaction:
            // Relay to strangers needs a broadcast that does not betray the sender: another driver's work.
            break
        case .peerRecord(let record):
            if self.exchangesRecords { self.write(.newpeerrec(record)) }
        }
    }

    /// Headers that answer nothing: the other side's new tip, or an answer after its deadline, which is dropped.
    mutating func receiveUnsolicited(headers: [UInt8]) {
        let count = headers.count / BlockHeader.size
        guard (1...BitcoinPeerLimits.announcedHeaders).contains(count),
            let tip = BlockHeader(bytes: headers.suffix(BlockHeader.size))
        else { return }
        // The protocol does not tell the height of a header: 0 stands for "not told".
        self.outbox.append(.announcement(.tip(header: tip, height: 0)))
    }

    /// Addresses that nobody asked for, as many as the budget allows.
    mutating func receiveUnsolicited(addresses: [NodeAddress], now: MonotonicInstant) {
        let count = self.unneeded.takeAddresses(addresses.count, now: now)
        guard count > 0 else { return }
        self.outbox.append(.announcement(.addresses(Array(addresses.prefix(count)))))
    }

    /// An `inv` names a block without its header. A `getheaders` without locator asks for the header of its `stop`
    /// alone, which comes back as an announcement: no locator to remember, one header to receive, and the slot for our
    /// own requests stays free. Of several blocks the last is the highest. A peer that does not know this form sends
    /// nothing or a run from the first block on, and neither does harm.
    mutating func receive(inventory: [P2PInventory]) {
        guard let block = inventory.last(where: \.isBlock), block.hash != self.client.lastProbe else { return }
        self.client.lastProbe = block.hash
        self.write(.getheaders(locator: [], stop: block.hash))
    }
}
