// SPDX-License-Identifier: MIT

internal import AltNetAlternativeAddresses
internal import AltNetBase
internal import AltNetKeys
internal import AltNetLightning
internal import AltNetObjects
internal import AltNetStreamDriver
internal import AltNetTransport
internal import Dispatch
internal import Synchronization

/// One attempt to reach a peer at the address that it gave us. It has worked when the peer's `init` is there: the end
/// of the handshake proves to the caller who answers, but not that it lets the caller in.
final class AlternativeDial: Sendable {
    private let book: AlternativeAddressBook
    private let peer: NodeID
    private let address: LightningAddress
    private let isDecided = Mutex(false)

    init(_ book: AlternativeAddressBook, _ peer: NodeID, at address: LightningAddress) {
        self.book = book
        self.peer = peer
        self.address = address
    }

    /// The peer is there and speaks with us.
    func proven() {
        if self.decide() { self.book.dialled(self.peer, at: self.address, .reached) }
    }

    /// The link is over, proven or not. Must be called in the task that ran the link: when that was cancelled, it is we
    /// who broke the attempt off, as when the target is removed or the driver stops, and nothing is known of the peer.
    func ended() {
        if self.decide(), !Task.isCancelled { self.book.dialled(self.peer, at: self.address, .notProven) }
    }

    private func decide() -> Bool {
        self.isDecided.withLock { isDecided in
            defer { isDecided = true }
            return !isDecided
        }
    }
}

/// Dials a peer at its alternative address first, and at the original where that is called for.
struct AlternativeDialer: Sendable {
    let book: AlternativeAddressBook
    let takesPrivate: Bool

    /// A connection, and the attempt that it belongs to when it leads to the alternative.
    func connect(
        to peer: NodeID, original: HostAndPort, _ dialer: LinkDialer
    ) async throws -> (connection: StreamConnection, dial: AlternativeDial?) {
        var failure: DisconnectReason?
        for route in await self.book.routes(to: peer) {
            switch route {
            case .original: return (try await dialer.connect(to: original), nil)
            case .alternative(let address):
                do throws(DisconnectReason) {
                    let connection = try await self.connect(to: address, dialer)
                    return (connection, AlternativeDial(self.book, peer, at: address))
                } catch {
                    // Nobody wants the peer any more: nothing failed, and no other address is to be shown for it.
                    guard !Task.isCancelled else { throw DisconnectReason(.requested, "the target was removed") }
                    self.book.dialled(peer, at: address, .notReached)
                    failure = error
                }
            }
        }
        throw failure ?? DisconnectReason(.unreachable, "there is no address to dial")
    }

    /// Connects without a word about where to.
    private func connect(
        to address: LightningAddress, _ dialer: LinkDialer
    ) async throws(DisconnectReason) -> StreamConnection {
        let remote = try await self.remote(address, isProxied: dialer.proxy != nil)
        do {
            return try await dialer.connect(to: remote)
        } catch {
            let through = dialer.proxy.map { " through the proxy \($0)" } ?? ""
            throw Self.failure(NetworkFailure.describeWithoutAddress(error) + through)
        }
    }

    /// What to connect to. A name is resolved here, so that it cannot lead into a private range; not through a proxy,
    /// which resolves it elsewhere. Onion services are no matter of DNS (RFC 7686).
    private func remote(
        _ address: LightningAddress, isProxied: Bool
    ) async throws(DisconnectReason) -> HostAndPort {
        let remote = HostAndPort(host: address.hostText, port: address.port)
        switch address.host {
        case .torV3 where !isProxied: throw Self.failure("it is an onion service, which needs Tor as the proxy")
        case .name where !isProxied && !self.takesPrivate:
            let found = await Self.resolve(address.hostText)
            guard let first = found.first else { throw Self.failure("its name cannot be resolved") }
            let resolved = found.compactMap { try? LightningAddress(text: HostAndPort(host: $0, port: 1).description) }
            guard resolved.count == found.count, !resolved.contains(where: \.isPrivate) else {
                throw Self.failure("its name leads into a private range")
            }
            return HostAndPort(host: first, port: address.port)
        case .ipv4, .ipv6, .torV3, .name: return remote
        }
    }

    private static func failure(_ why: String) -> DisconnectReason {
        DisconnectReason(.unreachable, "the alternative address does not work: \(why)")
    }

    /// The numeric addresses of a name; none when there is none.
    private static func resolve(_ name: String) async -> [String] {
        await withCheckedContinuation { continuation in
            // The system's resolver blocks.
            DispatchQueue.global().async { continuation.resume(returning: HostNameLookup.addresses(of: name)) }
        }
    }
}
