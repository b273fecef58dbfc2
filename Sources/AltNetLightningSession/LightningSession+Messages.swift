// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetKeys
internal import AltNetLightning
internal import AltNetNoise
internal import AltNetObjects

// The handshake, `init` and the control messages.
extension LightningSession {
    mutating func handle(
        _ steps: [NoiseHandshake.Directive],
        now: MonotonicInstant,
        _ directives: inout [LinkDirective]
    ) {
        for step in steps {
            switch step {
            case .write(let bytes):
                directives.append(.write(bytes))
            case .established(let transport):
                guard transport.remote != self.configuration.privateKey.publicKey else {
                    return self.close(.selfConnection, "the caller is this node", &directives)
                }
                guard self.configuration.admits?(transport.remote) ?? true else {
                    return self.refuseOutsider("the caller is not admitted here", &directives)
                }
                self.transport = transport
                self.phase = .awaitingInit
                self.setupDeadline = now + self.configuration.initTimeout
                self.send([.initialization(self.ownInit)], &directives)
            case .failed(let error) where self.configuration.isPrivate:
                self.refuseOutsider("the handshake failed: \(error)", &directives)
            case .failed(.badVersion(let act, let version)):
                let detail = "\(NoiseError.badVersion(act, version: version))"
                self.close(.protocolViolation, detail, &directives)
            case .failed(let error):
                self.close(.authenticationFailed, "the handshake failed: \(error)", &directives)
            }
        }
    }

    /// Ends a connection without telling the other side anything: at once, or on a private endpoint when it is as late
    /// as for everyone else.
    private mutating func refuseOutsider(_ detail: String, _ directives: inout [LinkDirective]) {
        if self.configuration.isPrivate {
            self.phase = .silent
        } else {
            self.close(.authenticationFailed, detail, &directives)
        }
    }

    private var ownInit: InitMessage {
        let carriesObjects = self.configuration.features.offers(BitcoinOverLightning.featureBit)
        return InitMessage(
            features: self.configuration.features,
            networks: [self.configuration.network.chainHash],
            servedObjects: carriesObjects ? self.configuration.serves : nil,
            takesStreams: carriesObjects && self.configuration.takesStreams
        )
    }

    /// Reads all complete messages that have arrived.
    mutating func readMessages(now: MonotonicInstant, _ directives: inout [LinkDirective]) {
        while self.phase == .awaitingInit || self.phase == .open {
            let message: [UInt8]?
            do throws(NoiseError) {
                message = try self.transport?.receive.next()
            } catch {
                return self.close(.authenticationFailed, "\(error)", &directives)
            }
            guard let message else { return }
            self.read(message, now: now, &directives)
        }
    }

    /// Reads one decrypted message.
    mutating func read(_ message: [UInt8], now: MonotonicInstant, _ directives: inout [LinkDirective]) {
        do throws(LightningMessageError) {
            try self.handle(LightningMessage(decoding: message), now: now, &directives)
        } catch {
            self.close(.protocolViolation, "\(error)", &directives)
        }
    }

    /// One decrypted message has arrived.
    mutating func handle(
        _ message: LightningMessage,
        now: MonotonicInstant,
        _ directives: inout [LinkDirective]
    ) {
        guard case .open = self.phase else {
            switch message {
            case .initialization(let message):
                self.handle(message, now: now, &directives)
            case .error(let notice) where notice.concernsConnection:
                self.close(.remoteError, "the peer reports: \(notice.text)", &directives)
            case .warning:
                // Stock software may say so before it gives up on us; the reason is all that is left to learn.
                break
            case .error, .ping, .pong, .bitcoin, .stream, .relayed, .other:
                self.close(.protocolViolation, "the first message is not init", &directives)
            }
            return
        }
        switch message {
        case .initialization:
            self.close(.protocolViolation, "a second init message", &directives)
        case .error(let notice):
            // BOLT 1: an error about a channel that does not exist is ignored, and we have no channels.
            guard notice.concernsConnection else { return }
            self.close(.remoteError, "the peer reports: \(notice.text)", &directives)
        case .warning, .other:
            break
        case .ping(let pongLength, _):
            self.handlePing(pongLength: pongLength, now: now, &directives)
        case .pong(let length):
            if !self.keepAlive.onPong(length: length) {
                self.close(.protocolViolation, "a pong of \(length) bytes that no ping asked for", &directives)
            }
        case .bitcoin(let message):
            // Where the feature was not negotiated, the type belongs to somebody else and is odd: ignored.
            if self.peerServes != nil { self.handle(message, now: now, &directives) }
        case .stream(let number, let message):
            if self.peerServes != nil { self.handleStream(number, message, now: now, &directives) }
        case .relayed(let type, let body):
            self.handleRelayed(type, body, &directives)
        }
    }

    private mutating func handle(
        _ message: InitMessage,
        now: MonotonicInstant,
        _ directives: inout [LinkDirective]
    ) {
        guard let transport = self.transport else { return }
        // From here on the other side may be told what is wrong.
        self.phase = .open
        let network = self.configuration.network
        guard message.networks.isEmpty || message.networks.contains(network.chainHash) else {
            return self.close(.wrongNetwork, "the peer is not interested in \(network.rawValue)", &directives)
        }
        // What BOLT 9 assigns asks nothing of a node without channels; beyond that we understand what we offer.
        let offered = self.configuration.features
        let understood = LightningFeatures.assigned.union(offered.bits.map { $0 & ~1 })
        if let bit = message.features.firstUnknownCompulsoryBit(understood: understood) {
            return self.close(.protocolViolation, "the peer requires feature \(bit), which is unknown", &directives)
        }
        if let missing = message.features.missingDependency {
            return self.close(
                .protocolViolation,
                "the peer offers feature \(missing.feature) without \(missing.needs)",
                &directives
            )
        }
        self.open(transport.remote, features: message.features, message, now: now, &directives)
    }

    /// Both sides have introduced themselves. `message` is the peer's `init`, where we have seen it.
    mutating func open(
        _ remote: NodeID,
        features: LightningFeatures,
        _ message: InitMessage?,
        now: MonotonicInstant,
        _ directives: inout [LinkDirective]
    ) {
        self.phase = .open
        let offered = self.configuration.features
        let feature = BitcoinOverLightning.featureBit
        if offered.offers(feature), features.offers(feature) {
            self.peerServes = message?.servedObjects ?? Set(ObjectKind.allCases)
            self.peerTakesStreams = message?.takesStreams ?? false
        }
        self.negotiated = Set(
            LightningMessage.RelayedType.allCases.filter { type in
                type.featureBit.map { offered.offers($0) && features.offers($0) } ?? true
            })
        self.setupDeadline = nil
        self.keepAlive = KeepAlive(
            interval: self.configuration.pingInterval,
            timeout: self.configuration.pongTimeout,
            now: now
        )
        self.limits = Limits(now: now)
        let peer = LinkPeer(
            identity: remote.description,
            agent: UntrustedText(""),
            claimedHeight: nil,
            serves: self.peerServes ?? [],
            takesStreams: self.peerTakesStreams,
            takesMessages: Set(self.negotiated.map(\.rawValue))
        )
        directives.append(.established(peer))
    }

    /// A message that the driver deals with. Where its feature was not negotiated, it belongs to somebody else: BOLT 1
    /// says what becomes of it.
    private mutating func handleRelayed(
        _ type: LightningMessage.RelayedType,
        _ body: ArraySlice<UInt8>,
        _ directives: inout [LinkDirective]
    ) {
        if self.negotiated.contains(type) {
            directives.append(.message(LightningMessage.relayed(type, body: body).encoded))
        } else if type.rawValue.isMultiple(of: 2) {
            let detail = "\(LightningMessageError.unknownEvenType(type.rawValue))"
            self.close(.protocolViolation, detail, &directives)
        }
    }

    private mutating func handlePing(
        pongLength: UInt16,
        now: MonotonicInstant,
        _ directives: inout [LinkDirective]
    ) {
        guard pongLength < LightningMessage.pongLengthLimit else { return }
        guard self.limits.receivedPings.take(now: now) else {
            return self.close(.limitExceeded, "more pings than \(Self.pings.perSecond) a second", &directives)
        }
        self.send([.pong(length: pongLength)], &directives)
    }

    /// Encrypts messages into one piece, or hands each over as it is to the node that encrypts for us.
    mutating func send(_ messages: [LightningMessage], _ directives: inout [LinkDirective]) {
        guard self.attached == nil else {
            // The control messages of the connection are the node's own.
            for case .bitcoin(let message) in messages {
                directives.append(.write(LightningMessage.bitcoin(message).encoded))
            }
            return
        }
        var output: [UInt8] = []
        for message in messages {
            do throws(NoiseError) {
                try self.transport?.send.seal(message.encoded, into: &output)
            } catch {
                preconditionFailure("a message of ours is too long: \(error)")
            }
        }
        if !output.isEmpty { directives.append(.write(output)) }
    }
}
