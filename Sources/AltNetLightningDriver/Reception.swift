// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDriverProtocol
internal import AltNetKeys
internal import AltNetLightningRelay
internal import AltNetStreamDriver
internal import AltNetTransport
internal import FoundationEssentials

/// Takes what others, near or far, say to us over directed and onion messages: notes texts for the operator, and hands
/// everything else to one session that serves all of them together.
actor Reception {
    /// A text that somebody sent. Who, nobody here knows.
    struct Text: Sendable {
        let receivedAt: Date
        let carrier: RouteCarrier
        /// Who passed it on to us; the attached node, where that is who reads messages.
        let neighbour: NodeID
        let text: String
    }

    /// How many texts are kept, the latest: they are for an operator who looks, not for an archive.
    static let maximumTexts = 100
    /// The longest text that is taken, in bytes: what fits into a directed message to a neighbour.
    static let maximumText = 1255

    private let hub: MessageHub
    private let makeSession: @Sendable () -> LightningLink
    private var askers: MessageConnection?
    /// While the first connection is being made, who else needs it waits for the same.
    private var making: Task<MessageConnection?, Never>?
    private(set) var texts: [Text] = []

    init(hub: MessageHub, makeSession: @escaping @Sendable () -> LightningLink) {
        self.hub = hub
        self.makeSession = makeSession
    }

    /// Takes a message, and answers it over the hub at once or later.
    func take(
        _ payload: [UInt8], handle: UInt64, from neighbour: NodeID,
        links: LinkAcceptor<LightningLink>
    ) async {
        // What cannot be read is not answered: its sender does not speak this protocol.
        guard let frame = try? RelayFrame(decoding: payload) else { return await self.hub.forget(handle) }
        guard case .text(let bytes) = frame.content else {
            let connection = await self.connection(links)
            // A flood loses messages here; who waits for an answer asks again.
            if connection?.deliver(Self.bytes(of: handle) + payload) != true { await self.hub.forget(handle) }
            return
        }
        guard bytes.count <= Self.maximumText else { return await self.hub.forget(handle) }
        self.texts.append(
            Text(
                receivedAt: Date(), carrier: OnionMessages.owns(handle: handle) ? .onion : .directed,
                neighbour: neighbour,
                text: UntrustedText(bytes, maximumLength: Self.maximumText).description))
        if self.texts.count > Self.maximumTexts { self.texts.removeFirst() }
        await self.hub.answer(handle, RelayFrame(frame.requestID, .textTaken).encoded)
    }

    /// The connection to the session that serves everyone. It is made for the first message, so that a driver that is
    /// never asked shows no link that does nothing.
    private func connection(_ links: LinkAcceptor<LightningLink>) async -> MessageConnection? {
        if let askers { return askers }
        let making = self.making ?? Task { await self.makeConnection(links) }
        self.making = making
        return await making.value
    }

    private func makeConnection(_ links: LinkAcceptor<LightningLink>) async -> MessageConnection? {
        let (hub, session) = (self.hub, self.makeSession())
        await withCheckedContinuation { (made: CheckedContinuation<Void, Never>) in
            let once = ResumeOnce(made)
            Task {
                _ = await links.runLink { dialer in
                    let connection = dialer.messages(
                        remote: "directed and onion messages",
                        onWrite: { bytes in
                            var reader = ByteReader(bytes)
                            guard let handle = try? reader.bigEndian(UInt64.self) else { return }
                            let answer = Array(reader.rest())
                            // A handle alone says that there will be no answer.
                            if answer.isEmpty {
                                await hub.forget(handle)
                            } else {
                                await hub.answer(handle, answer)
                            }
                        })
                    await self.linkMade(connection)
                    once.resume()
                    return DialedLink(connection, session, exposure: DriverCapabilities.Exposure.none)
                }
                await self.linkEnded()
                once.resume()
            }
        }
        return self.askers
    }

    private func linkMade(_ connection: MessageConnection) {
        self.askers = connection
    }

    private func linkEnded() {
        self.askers = nil
        self.making = nil
    }

    private static func bytes(of handle: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendBigEndian(handle)
        return bytes
    }
}
