// SPDX-License-Identifier: MIT

internal import AltNetAlternativeAddresses
internal import AltNetKeys
internal import AltNetLightning
internal import AltNetLightningAttachment
internal import AltNetTransport

/// Has the attached node call peers that left at the alternative addresses that they gave us. The original addresses are
/// the node's own business: it dials them in any case.
actor AttachedCaller {
    private struct Call {
        let task: Task<Void, Never>
        /// Whether the node is connecting now: then the outcome is awaited, because it tells whether the address is good.
        var isConnecting = false
        /// Whether the peer came back while the node was connecting, by this call or in another way.
        var isBack = false
    }

    /// The longest pause between two attempts: ten minutes.
    private static let longestPause = Duration.seconds(600)

    private let attachment: any LightningAttachment
    private let firstPause: Duration
    /// `nil` from the end on: a call that is still under way must not hold the book's file.
    private var book: AlternativeAddressBook?
    /// One for each peer that has left and gave us an address, of which the book bounds the number.
    private var calls: [NodeID: Call] = [:]

    /// - Parameter firstPause: before the first attempt; it doubles with each.
    init(_ attachment: any LightningAttachment, book: AlternativeAddressBook, firstPause: Duration) {
        self.attachment = attachment
        self.book = book
        self.firstPause = firstPause
    }

    func peer(_ peer: NodeID, isConnected: Bool) {
        guard self.attachment.abilities.contains(.connecting), self.book != nil else { return }
        if self.calls[peer]?.isConnecting == true {
            self.calls[peer]?.isBack = isConnected
            return
        }
        self.calls.removeValue(forKey: peer)?.task.cancel()
        guard !isConnected else { return }
        let task = Task {
            await self.call(peer)
            // One that was cancelled has left its place already, maybe to another.
            if !Task.isCancelled { self.calls[peer] = nil }
        }
        self.calls[peer] = Call(task: task)
    }

    func stop() {
        self.book = nil
        for call in self.calls.values { call.task.cancel() }
        self.calls = [:]
    }

    /// Calls until the peer is back, or has no alternative address any more.
    private func call(_ peer: NodeID) async {
        var pause = self.firstPause
        while await self.address(of: peer) != nil {
            try? await Task.sleep(for: pause)
            guard !Task.isCancelled, let address = await self.address(of: peer), !Task.isCancelled,
                let remote = HostAndPort(address.text)
            else { return }
            pause = min(pause * 2, Self.longestPause)
            self.calls[peer]?.isConnecting = true
            let result = await self.connect(to: peer, at: remote)
            guard !Task.isCancelled else { return }
            self.calls[peer]?.isConnecting = false
            if let result { self.book?.dialled(peer, at: address, result) }
            if result == .reached || self.calls[peer]?.isBack == true { return }
        }
    }

    /// What the attempt says about the address; `nil` when it was the node that failed.
    private func connect(to peer: NodeID, at remote: HostAndPort) async -> AlternativeAddresses.DialResult? {
        do throws(AttachmentError) {
            try await self.attachment.connect(to: peer, host: remote.host, port: remote.port)
            // The node has shaken hands with the peer itself.
            return .reached
        } catch {
            switch error {
            case .peerUnreachable, .timedOut: return .notReached
            default: return nil
            }
        }
    }

    /// Not the routes, which are for peers that the operator wants to be connected with.
    private func address(of peer: NodeID) async -> LightningAddress? {
        await self.book?.snapshot().received.first { $0.peer == peer }?.address
    }
}
