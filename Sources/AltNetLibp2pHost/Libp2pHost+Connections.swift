// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetLibp2p
public import AltNetPeerRecords
internal import AltNetTransport
internal import Logging
internal import Synchronization

/// Somebody waits for a connection; whoever comes first decides.
final class LinkPromise: Sendable {
    private enum State {
        case open
        case awaited(CheckedContinuation<Libp2pLink, any Error>)
        case resolved(Result<Libp2pLink, any Error>)
    }

    private let state = Mutex(State.open)

    /// Says how it went; later calls do nothing. `false` when somebody else was first.
    @discardableResult
    func resolve(_ result: Result<Libp2pLink, any Error>) -> Bool {
        // Resumed when the lock is free: whoever cancels the waiting task holds a lock of it, and comes here.
        let (isFirst, waiting) = self.state.withLock { state -> (Bool, CheckedContinuation<Libp2pLink, any Error>?) in
            switch state {
            case .open:
                state = .resolved(result)
                return (true, nil)
            case .awaited(let continuation):
                state = .resolved(result)
                return (true, continuation)
            case .resolved: return (false, nil)
            }
        }
        waiting?.resume(with: result)
        return isFirst
    }

    /// Waits; once.
    func value() async throws -> Libp2pLink {
        try await withCheckedThrowingContinuation { continuation in
            let result = self.state.withLock { state -> Result<Libp2pLink, any Error>? in
                if case .resolved(let result) = state { return result }
                state = .awaited(continuation)
                return nil
            }
            if let result { continuation.resume(with: result) }
        }
    }
}

/// What an accepted socket talks to, from the moment on at which it has a slot.
final class Inbound: Sendable {
    private let made = Mutex<LinkCore?>(nil)

    var core: LinkCore? { self.made.withLock { $0 } }

    func set(_ core: LinkCore) {
        self.made.withLock { $0 = core }
    }
}

extension Libp2pHost {
    /// One attempt at one address: connected, encrypted, and the peer has proved who it is. Cancelling it closes what was
    /// opened. The peer book hears how it went.
    ///
    /// - Parameter sources: who stands behind the address. A name that leads into this machine or a private network is
    ///   dialled only when the operator does: anybody may have named it, to make us knock at our own doors.
    public func attempt(
        _ peer: PeerID, at address: Multiaddress, sources: AddressSources = []
    ) async throws -> Libp2pLink {
        guard peer != self.peer else { throw LinkFailure.ourselves }
        let target = try SocketTarget.of(address, hasProxy: self.configuration.proxy != nil)
        let slot = try self.slot(isInbound: false, for: address)
        let core = self.core(.dialer(expecting: peer))
        let promise = LinkPromise()
        let started = self.run(core, slot: slot, at: address, promise: promise) {
            let connection = try await self.network.connect(
                to: target, proxy: self.configuration.proxy,
                allows: SocketTarget.check(of: address, takesPrivate: sources.contains(.user))
            ) { core.onSocket($0) }
            core.start(on: connection)
        }
        guard started else { throw LinkFailure.limit("the host has shut down") }
        return try await withTaskCancellationHandler {
            try await promise.value()
        } onCancel: {
            if promise.resolve(.failure(CancellationError())) { core.close() }
        }
    }

    /// What takes the next inbound connection.
    ///
    /// - Parameter made: where the connection is kept.
    func receiver(_ made: Inbound = Inbound()) -> (
        onEvent: @Sendable (StreamConnection.Event) -> Void, onConnection: @Sendable (StreamConnection) -> Void
    ) {
        return (
            onEvent: { made.core?.onSocket($0) },
            onConnection: { connection in
                guard let address = SocketTarget.multiaddress(connection.remote) else { return connection.abort() }
                do {
                    let slot = try self.slot(isInbound: true, for: address)
                    // Not before there is a slot: keys are made for each, and strangers decide how many connections come.
                    let core = self.core(.listener)
                    made.set(core)
                    let started = self.run(core, slot: slot, at: address, promise: nil) { core.start(on: connection) }
                    if !started { connection.close() }
                } catch {
                    self.logger.debug("refusing a connection from \(address): \(error)")
                    connection.abort()
                }
            }
        )
    }

    func slot(isInbound: Bool, for address: Multiaddress) throws -> ConnectionSlots.Slot {
        let (result, displaced) = self.state.withLock {
            state -> (Result<ConnectionSlots.Slot, LinkFailure>, LinkCore?) in
            let result = state.slots.take(isInbound: isInbound, from: address, self.configuration)
            guard case .failure = result, isInbound,
                let group = state.slots.groupToMakeRoom(for: address, self.configuration),
                let (number, idlest) = state.running.filter({ $0.value.slot.group == group && !$0.value.isDisplaced })
                    .min(by: { $0.value.core.lastHeard < $1.value.core.lastHeard })
            else { return (result, nil) }
            state.slots.displace(idlest.slot)
            state.running[number]?.isDisplaced = true
            return (state.slots.take(isInbound: true, from: address, self.configuration), idlest.core)
        }
        displaced?.close(.limit("it made room for a connection from a network that has fewer"))
        return try result.get()
    }

    private func core(_ role: Libp2pConnection.Role) -> LinkCore {
        let served = self.state.withLock { Set($0.handlers.keys) }
        let configuration = Libp2pConnection.Configuration(
            role: role, key: self.key, served: served, limits: self.configuration.limits)
        return LinkCore(configuration, entropy: Self.entropy(), writeTimeout: self.configuration.writeTimeout)
    }

    private static func entropy() -> NoiseEntropy {
        var system = SystemRandomNumberGenerator()
        let bytes = (0..<NoiseEntropy.size).map { _ in UInt8.random(in: .min ... .max, using: &system) }
        guard let entropy = NoiseEntropy(bytes) else { preconditionFailure("the size is the one that is asked for") }
        return entropy
    }

    /// Runs a connection in a task of its own, to its end; `false` when the host has shut down.
    private func run(
        _ core: LinkCore, slot: ConnectionSlots.Slot, at address: Multiaddress, promise: LinkPromise?,
        start: @escaping @Sendable () async throws -> Void
    ) -> Bool {
        self.state.withLock { state in
            guard !state.isShutDown else {
                state.slots.release(slot)
                return false
            }
            state.nextNumber += 1
            let number = state.nextNumber
            let task = Task {
                // Who gives an attempt up does not wait for the system's time-out; its slot does.
                let connecting = Task {
                    do {
                        try await start()
                    } catch {
                        core.close(.network(NetworkFailure.describe(error)))
                    }
                }
                let slot = await self.follow(core, slot: slot, at: address, promise: promise)
                let ended = self.state.withLock { $0.running.removeValue(forKey: number) }
                Task {
                    await connecting.value
                    self.state.withLock { $0.slots.release(slot, wasDisplaced: ended?.isDisplaced ?? false) }
                }
            }
            state.running[number] = Running(core: core, slot: slot, task: task)
            return true
        }
    }

    /// Carries out what a connection says, until it ends; gives the slot, in which the peer is noted.
    private func follow(
        _ core: LinkCore, slot: ConnectionSlots.Slot, at address: Multiaddress, promise: LinkPromise?
    ) async -> ConnectionSlots.Slot {
        let begun = MonotonicInstant.now
        var slot = slot
        var link: Libp2pLink?
        var isEstablished = false
        // What a handler does is of no use without its stream; news is.
        await withDiscardingTaskGroup { news in
            await withDiscardingTaskGroup { handlers in
                for await event in core.events {
                    switch event {
                    case .secured(let peer, let key): link = self.onSecured(core, &slot, peer, key, address)
                    case .established:
                        guard let link else { continue }
                        isEstablished = true
                        self.onEstablished(link)
                        promise?.resolve(.success(link))
                        let latency = MonotonicInstant.now - begun
                        news.addTask { await self.introduce(link, latency: latency) }
                    case .accepted(let id, let name):
                        guard let link else { continue }
                        let stream = Libp2pStream(link: link, id: id, protocolName: name)
                        guard let handler = self.state.withLock({ $0.handlers[name] }) else { continue }
                        handlers.addTask { await handler(stream, link.peer) }
                    case .closed(let reason):
                        let wasWanted = promise?.resolve(.failure(reason)) ?? false
                        if isEstablished, let link { self.onClosed(link, reason) }
                        if wasWanted, !isEstablished, case .dialer(let peer?) = core.role, reason.isOfAddress {
                            let network = self.localNetworks.network(of: address)
                            news.addTask { await self.learn([.failed(peer, address.withoutPeerID, on: network)]) }
                        }
                    }
                }
                handlers.cancelAll()
            }
        }
        if isEstablished, let link { await self.dialer.onEnded(link) }
        return slot
    }

    /// Tells of a new connection whoever has to know, and asks the peer who it is.
    private func introduce(_ link: Libp2pLink, latency: Duration) async {
        if link.isInbound {
            await self.tellDialer(ofInbound: link)
        } else {
            await self.learn([.connected(link.peer, link.address.withoutPeerID, latency: latency, on: link.network)])
        }
        await self.identify(link)
    }

    private func onSecured(
        _ core: LinkCore, _ slot: inout ConnectionSlots.Slot, _ peer: PeerID, _ key: PeerPublicKey,
        _ address: Multiaddress
    ) -> Libp2pLink? {
        guard peer != self.peer else {
            core.close(.ourselves)
            return nil
        }
        guard self.state.withLock({ $0.slots.identify(&slot, as: peer, self.configuration) }) else {
            core.close(.limit("peer \(peer) has \(self.configuration.maximumPerPeer) connections, which is the limit"))
            return nil
        }
        return Libp2pLink(
            core: core, peer: peer, key: key, isInbound: slot.isInbound, address: address,
            place: LinkPlace(
                address, socket: core.socket, isInbound: slot.isInbound, self.configuration, self.localNetworks))
    }

    private func onEstablished(_ link: Libp2pLink) {
        self.state.withLock { $0.links[link.peer, default: []].append(link) }
        self.logger.debug("connected with \(link.peer) at \(link.address)")
        self.tell(.connected(link))
    }

    private func onClosed(_ link: Libp2pLink, _ reason: LinkFailure) {
        self.state.withLock { state in
            state.links[link.peer]?.removeAll { $0 === link }
            if state.links[link.peer]?.isEmpty == true { state.links[link.peer] = nil }
        }
        self.forgetObserver(link)
        self.logger.debug("the connection with \(link.peer) has ended: \(reason)")
        self.tell(.disconnected(link, reason))
    }

    /// Tells the peer book; what it refuses is said in the log.
    func learn(_ news: [PeerNews]) async {
        do {
            for outcome in try await self.book.learn(news) {
                if case .refused(let refusal) = outcome { self.logger.debug("the peer store refused news: \(refusal)") }
            }
        } catch {
            self.logger.warning("the peer store does not answer: \(error)")
        }
        await self.tellDialer(of: news)
    }
}
