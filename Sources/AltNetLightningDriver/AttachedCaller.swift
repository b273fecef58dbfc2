// SPDX-License-Identifier: MIT

internal import AltNetAlternativeAddresses
internal import AltNetKeys
internal import AltNetLightning
internal import AltNetLightningAttachment
internal import AltNetTransport

/// Has the attached node call peers that left at the alternative addresses that they gave us. The original addresses are
/// the node's own business: it dials them in any case.
actor AttachedCaller {
    /// The pauses between two attempts: doubling, from a time in which most peers come back by themselves to ten minutes.
    private static let firstPause = Duration.seconds(5)
    private static let longestPause = Duration.seconds(600)

    private let attachment: any LightningAttachment
    private let book: AlternativeAddressBook
    private var calls: [NodeID: Task<Void, Never>] = [:]

    init(_ attachment: any LightningAttachment, book: AlternativeAddressBook) {
        self.attachment = attachment
        self.book = book
    }

    func peer(_ peer: NodeID, isConnected: Bool) {
        guard self.attachment.abilities.contains(.connecting) else { return }
        self.calls.removeValue(forKey: peer)?.cancel()
        if !isConnected { self.calls[peer] = Task { await self.call(peer) } }
    }

    func stop() {
        for call in self.calls.values { call.cancel() }
        self.calls = [:]
    }

    private func call(_ peer: NodeID) async {
        var pause = Self.firstPause
        while true {
            try? await Task.sleep(for: pause)
            guard !Task.isCancelled else { return }
            pause = min(pause * 2, Self.longestPause)
            var hasAlternative = false
            for route in await self.book.routes(to: peer) {
                guard case .alternative(let address) = route, let remote = HostAndPort(address.text) else { continue }
                hasAlternative = true
                do throws(AttachmentError) {
                    try await self.attachment.connect(to: peer, host: remote.host, port: remote.port)
                    // The node has shaken hands with the peer itself.
                    return self.book.dialled(peer, at: address, .reached)
                } catch {
                    self.book.dialled(peer, at: address, .notReached)
                }
            }
            guard hasAlternative else { return }
        }
    }
}
