// SPDX-License-Identifier: MIT

internal import AltNetAlternativeAddresses
internal import AltNetBase
internal import AltNetKeys
internal import AltNetLightning
internal import AltNetObjects
internal import AltNetStreamDriver
internal import AltNetTransport
internal import Synchronization

/// One attempt to reach a peer at the address that it gave us alone.
final class AlternativeDial: DialAttempt {
    private let book: AlternativeAddressBook
    private let peer: NodeID
    private let address: LightningAddress
    private let isDecided = Mutex(false)

    init(_ book: AlternativeAddressBook, _ peer: NodeID, at address: LightningAddress) {
        self.book = book
        self.peer = peer
        self.address = address
    }

    func proven() {
        if self.decide() { self.book.dialled(self.peer, at: self.address, .reached) }
    }

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

    /// A connection, the attempt that is to be proven, and whether it leads to the alternative.
    ///
    /// - Parameter original: connects to the peer where everybody does.
    func connect(
        to peer: NodeID, _ dialer: LinkDialer,
        original: () async throws -> (connection: StreamConnection, dial: (any DialAttempt)?)
    ) async throws -> (connection: StreamConnection, dial: (any DialAttempt)?, isAlternative: Bool) {
        var failure: DisconnectReason?
        for route in await self.book.routes(to: peer) {
            switch route {
            case .original:
                let (connection, dial) = try await original()
                return (connection, dial, false)
            case .alternative(let address):
                do throws(DisconnectReason) {
                    let connection = try await self.connect(to: address, dialer)
                    return (connection, AlternativeDial(self.book, peer, at: address), true)
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
        let remote: HostAndPort
        do {
            remote = try await LightningPlace.remote(
                of: address, isProxied: dialer.proxy != nil, takesPrivate: self.takesPrivate)
        } catch {
            throw Self.failure(error.description)
        }
        do {
            return try await dialer.connect(to: remote)
        } catch {
            let through = dialer.proxy.map { " through the proxy \($0)" } ?? ""
            throw Self.failure(NetworkFailure.describeWithoutAddress(error) + through)
        }
    }

    private static func failure(_ why: String) -> DisconnectReason {
        DisconnectReason(.unreachable, "the alternative address does not work: \(why)")
    }
}
