// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetPeerRecords

/// From bytes to streams, layer by layer.
extension Libp2pConnection {
    mutating func take(_ bytes: ArraySlice<UInt8>, now: MonotonicInstant) throws(Libp2pFailure) {
        var rest = bytes
        switch self.state {
        case .closed: return
        case .securityDialer(var dialer):
            let agreed = try Self.negotiated { () throws(MultistreamError) in
                try dialer.onBytes(&rest, output: &self.output)
            }
            self.state = agreed == nil ? .securityDialer(dialer) : .handshake
            guard agreed != nil else { return }
            try self.secured { (channel, output) throws(NoiseError) in try channel.start(&output) }
        case .securityListener(var listener):
            let agreed = try Self.negotiated { () throws(MultistreamError) in
                try listener.onBytes(&rest, output: &self.output) { $0 == ProtocolName.noise }
            }
            self.state = agreed == nil ? .securityListener(listener) : .handshake
            guard agreed != nil else { return }
        case .handshake, .muxerDialer, .muxerListener, .open: break
        }
        guard !rest.isEmpty else { return }
        var events: [SecureChannel.Event] = []
        do throws(NoiseError) {
            events = try self.channel.onBytes(rest, output: &self.output)
        } catch { throw .noise(error) }
        for event in events {
            switch event {
            case .secured(let peer, let key, let muxers): self.onSecured(peer, key, muxers: muxers, now: now)
            case .plaintext(let plaintext): try self.takePlaintext(plaintext[...], now: now)
            }
        }
    }

    private mutating func onSecured(_ peer: PeerID, _ key: PeerPublicKey, muxers: [String], now: MonotonicInstant) {
        self.directives.append(.secured(peer, key))
        if self.configuration.namesMuxer, muxers.contains(ProtocolName.yamux) { return self.establish(now: now) }
        switch self.configuration.role {
        case .dialer:
            let dialer = MultistreamDialer([ProtocolName.yamux])
            dialer.start(&self.plaintext)
            self.state = .muxerDialer(dialer)
        case .listener:
            self.state = .muxerListener(MultistreamListener())
        }
    }

    private mutating func establish(now: MonotonicInstant) {
        self.state = .open
        self.idleSince = now
        self.directives.append(.established)
    }

    private mutating func takePlaintext(_ bytes: ArraySlice<UInt8>, now: MonotonicInstant) throws(Libp2pFailure) {
        var rest = bytes
        switch self.state {
        case .muxerDialer(var dialer):
            let agreed = try Self.negotiated { () throws(MultistreamError) in
                try dialer.onBytes(&rest, output: &self.plaintext)
            }
            self.state = .muxerDialer(dialer)
            guard agreed != nil else { return }
            self.establish(now: now)
        case .muxerListener(var listener):
            let agreed = try Self.negotiated { () throws(MultistreamError) in
                try listener.onBytes(&rest, output: &self.plaintext) { $0 == ProtocolName.yamux }
            }
            self.state = .muxerListener(listener)
            guard agreed != nil else { return }
            self.establish(now: now)
        default: break
        }
        guard case .open = self.state, !rest.isEmpty else { return }
        var events: [Yamux.Event] = []
        do throws(YamuxError) {
            events = try self.yamux.onBytes(rest, now: now)
        } catch { throw .yamux(error) }
        for event in events { try self.onEvent(event, now: now) }
    }

    private mutating func secured(
        _ body: (inout SecureChannel, inout [UInt8]) throws(NoiseError) -> Void
    ) throws(Libp2pFailure) {
        do throws(NoiseError) {
            try body(&self.channel, &self.output)
        } catch { throw .noise(error) }
    }

    private static func negotiated(
        _ body: () throws(MultistreamError) -> String?
    ) throws(Libp2pFailure) -> String? {
        do throws(MultistreamError) {
            return try body()
        } catch { throw .negotiation(error) }
    }
}
