// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetObjects

extension BitcoinPeerSession {
    mutating func beginHandshake(now: MonotonicInstant) {
        guard self.stage == .idle else { return }
        self.stage = .awaitingVersion(deadline: now + self.configuration.timeouts.handshake)
        switch self.configuration.direction {
        case .outbound: self.write(.version(self.ownVersion))
        case .inbound: break
        }
    }

    mutating func receiveInHandshake(
        _ received: P2PMessageDecoder.Received,
        now: MonotonicInstant
    ) throws(DisconnectReason) {
        switch (self.stage, received.message) {
        case (.awaitingVersion(let deadline), .version(let version)):
            try self.receive(version: version, deadline: deadline)
        case (.awaitingVerack(let version, _), .verack):
            self.establish(version, now: now)
        case (.awaitingVerack, .sendaddrv2):
            try self.tolerate(received, now: now)
            self.server.peerWantsAddressV2 = true
        case (.awaitingVerack, .sendheaders):
            try self.tolerate(received, now: now)
            self.server.peerPrefersHeaders = true
        case (.awaitingVerack(let version, _), .feature(let feature)):
            try self.tolerate(received, now: now)
            // Both sides must have said it: BIP 434's "feature coordination".
            if feature.name == P2PFeature.peerRecords.name {
                self.exchangesRecords = self.hasOfferedRecords(to: version)
            }
        default:
            // Anything before `version`, a second `version`, and anything but negotiation before `verack`: Bitcoin
            // Core ignores it all, and so do we, within the budget.
            try self.tolerate(received, now: now)
        }
    }

    func checkHandshakeDeadline(now: MonotonicInstant) throws(DisconnectReason) {
        switch self.stage {
        case .awaitingVersion(let deadline) where now >= deadline:
            throw DisconnectReason(.timedOut, "no version message in time")
        case .awaitingVerack(_, let deadline) where now >= deadline:
            throw DisconnectReason(.timedOut, "no verack in time")
        case .idle, .awaitingVersion, .awaitingVerack, .established, .closed: break
        }
    }

    private mutating func receive(version: P2PVersion, deadline: MonotonicInstant) throws(DisconnectReason) {
        guard version.protocolVersion >= BitcoinPeerLimits.minimumProtocolVersion else {
            throw DisconnectReason(
                .protocolViolation,
                "obsolete protocol version \(version.protocolVersion), expected at least "
                    + "\(BitcoinPeerLimits.minimumProtocolVersion)"
            )
        }
        let isOwn = version.nonce == self.configuration.nonce || self.configuration.ownNonces.contains(version.nonce)
        // Zero stands for "no number": it is nobody's.
        guard version.nonce == 0 || !isOwn else {
            throw DisconnectReason(.selfConnection, "the version message carries a nonce of our own")
        }
        switch self.configuration.direction {
        case .inbound: self.write(.version(self.ownVersion))
        case .outbound: break
        }
        if version.protocolVersion >= BitcoinPeerLimits.featureNegotiationVersion {
            self.write(.wtxidrelay)
            self.write(.sendaddrv2)
        }
        if self.hasOfferedRecords(to: version) { self.write(.feature(.peerRecords)) }
        self.write(.verack)
        self.stage = .awaitingVerack(version, deadline: deadline)
    }

    /// Whether the other side is told that we exchange records: never one that does not know how (BIP 434).
    private func hasOfferedRecords(to version: P2PVersion) -> Bool {
        self.offersRecords && version.protocolVersion >= P2PMessage.featureProtocolVersion
    }

    private mutating func establish(_ version: P2PVersion, now: MonotonicInstant) {
        self.stage = .established(version)
        self.decoder.maximumPayloadLength = P2PMessageHeader.maximumPayloadLength
        self.keepAlive.start(now: now)
        self.write(.sendheaders)
        // Headers, addresses and tips have no service bit: every node is taken to have them until it fails to answer.
        var serves: Set<ObjectKind> = [.headers, .addresses, .tips]
        if version.servesBlocks { serves.insert(.blocks) }
        if self.exchangesRecords { serves.insert(.peerRecords) }
        self.outbox.append(
            .established(
                LinkPeer(
                    identity: "",
                    agent: UntrustedText(version.userAgent),
                    claimedHeight: UInt32(exactly: version.startHeight),
                    clock: version.time,
                    serves: serves
                )
            )
        )
    }

    private var ownVersion: P2PVersion {
        P2PVersion(
            protocolVersion: self.offersRecords ? P2PMessage.featureProtocolVersion : P2PMessage.protocolVersion,
            services: self.configuration.services,
            time: self.configuration.wallClock.seconds,
            nonce: self.configuration.nonce,
            userAgent: Array(self.configuration.userAgent.utf8),
            startHeight: Int32(clamping: self.configuration.startHeight),
            // We want no transactions. A node that honours it also counts us among the cheap connections.
            relay: false,
            receiver: self.configuration.receiver
        )
    }
}

extension P2PVersion {
    /// NODE_NETWORK, or NODE_NETWORK_LIMITED of BIP 159, which has at least the last 288 blocks.
    var servesBlocks: Bool { self.services & (1 << 0 | 1 << 10) != 0 }
}

extension DisconnectReason {
    /// What is wrong with a stream of messages, said for people.
    init(_ error: P2PMessageError, expected network: Network) {
        switch error {
        case .wrongMagic(let magic):
            if let other = Network.allCases.first(where: { $0.magic == magic }) {
                self.init(.wrongNetwork, "expected \(network.rawValue), the other side is on \(other.rawValue)")
            } else {
                // A Bitcoin Core that connects to us tries BIP 324 first. Hanging up at once is what makes it come back
                // with the unencrypted transport.
                self.init(.protocolViolation, "expected a message's magic, got \(Hex.encode(magic))")
            }
        case .payloadTooLong(let command, let length, let limit):
            self.init(.limitExceeded, "\(command) of \(length) bytes, expected at most \(limit)")
        case .malformedCommand(let field):
            self.init(.protocolViolation, "expected a command of printable ASCII, got \(Hex.encode(field))")
        case .wrongChecksum(let command):
            self.init(.protocolViolation, "the checksum of \(command) does not fit its payload")
        case .malformedPayload(let command, let error):
            self.init(.protocolViolation, "malformed \(command): \(error.text)")
        }
    }
}

extension P2PPayloadError {
    fileprivate var text: String {
        switch self {
        case .bytes(.truncated(let needed, let available)): "expected \(needed) more bytes, got \(available)"
        case .bytes(.notMinimal): "a length is not in its shortest form"
        case .bytes(.tooLong(let length, let limit)): "expected a length of at most \(limit), got \(length)"
        case .bytes(.trailingBytes(let count)): "\(count) bytes after the last field"
        case .headerWithTransactions(let index): "header \(index) has a transaction count other than zero"
        case .wrongAddressLength(let networkID, let length):
            "an address of \(length) bytes does not fit network \(networkID)"
        case .notABoolean(let value): "expected 0 or 1, got \(value)"
        case .outOfRange(let value, let expected):
            "expected \(expected.lowerBound) to \(expected.upperBound), got \(value)"
        }
    }
}
