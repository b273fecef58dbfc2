// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetHolePunch
internal import AltNetSAM
internal import AltNetTorControl
internal import AltNetTransport
internal import Logging

extension CoordinationEndpoints {
    /// A peer needs one stream, and one more when its first was lost.
    private static let protection = OnionProtection(streamsPerCircuit: 2, hasPuzzles: true)

    // MARK: - Tor

    func serveTor(_ generation: Generation, until retirement: AsyncStream<Duration>) async {
        guard let control = self.settings.torControl else { return }
        self.keys[generation.number] = generation.key?.text
        await Self.run(until: retirement) {
            await self.repeating(generation) {
                do {
                    let listener = try await self.listen(on: HostAndPort(host: "127.0.0.1", port: 0), generation)
                    if let port = listener.address?.port {
                        await self.serveTor(generation, at: control, port)
                    }
                    await listener.close()
                } catch {
                    await self.failed(
                        "no port on loopback for the coordination endpoint", NetworkFailure.describe(error))
                }
            }
        }
        self.keys[generation.number] = nil
        self.isUp(generation, nil)
    }

    /// Runs until the service cannot be used.
    private func serveTor(_ generation: Generation, at control: TorControlPort, _ port: UInt16) async {
        let service = OnionService(
            name: "coordination", key: self.keys[generation.number], virtualPort: self.port,
            target: .loopback(port: port), protection: Self.protection)
        let services = OnionServices(at: control, password: self.settings.torPassword, services: [service])
        let (failure, fail) = AsyncStream<Duration>.makeStream(bufferingPolicy: .bufferingNewest(1))
        await Self.run(until: failure) {
            await services.run { event in
                if await !self.handle(event, generation) { fail.yield(.zero) }
            }
        }
    }

    /// Whether the service is of use, or will be.
    private func handle(_ event: OnionServices.Event, _ generation: Generation) -> Bool {
        switch event {
        case .up(_, let serviceID, let newKey):
            if let newKey, !self.save(newKey, of: generation) { return false }
            do {
                self.isUp(generation, try CoordinationEndpoint("\(serviceID).onion:\(self.port)"))
                return true
            } catch {
                self.failed("Tor gave the coordination endpoint a name that is none", "\(error)")
                return false
            }
        case .refused(_, let error):
            self.failed("Tor refuses the coordination endpoint", "\(error)")
            return false
        case .down(let error, let pause):
            self.isUp(generation, nil)
            self.failed("the coordination endpoint in Tor is down", "\(error); it is tried again in \(pause)")
            return true
        }
    }

    // MARK: - I2P

    func serveI2P(_ generation: Generation, until retirement: AsyncStream<Duration>) async {
        guard let address = self.settings.sam else { return }
        let bridge = SAMBridge(at: address)
        self.keys[generation.number] = generation.key?.text
        await Self.run(until: retirement) {
            await self.repeating(generation) {
                do throws(SAMError) {
                    try await self.serveI2P(generation, at: bridge)
                } catch {
                    await self.failed("the coordination endpoint in I2P is down", "\(error)")
                }
            }
        }
        self.keys[generation.number] = nil
        self.isUp(generation, nil)
    }

    /// Runs until the session is over.
    private func serveI2P(_ generation: Generation, at bridge: SAMBridge) async throws(SAMError) {
        let known = try self.keys[generation.number].map { (text) throws(SAMError) in try I2PPrivateKey(text) }
        let session = SharedSession(try await SAMSession.open(at: bridge, key: known))
        guard known != nil || self.save(session.session.key.text, of: generation) else { return }
        self.isUp(generation, .i2p(hash: session.session.address.hash))
        await self.accept(session, generation)
    }

    /// Accepts until the session is over.
    private func accept(_ session: SharedSession, _ generation: Generation) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { for await _ in session.ended {} }
            group.addTask {
                while !Task.isCancelled {
                    let inbox = EventInbox()
                    do throws(SAMError) {
                        let stream = try await session.session.accept { inbox.receive($0) }
                        let connection = KeepingConnection(stream, keeping: session)
                        await self.take(HeldConnection(connection: connection, inbox: inbox), generation)
                    } catch {
                        // The router ends single requests, too; without a pause this would go round and round.
                        try? await Task.sleep(for: Self.firstRetry)
                    }
                }
            }
            await group.next()
            group.cancelAll()
        }
    }
}

/// An I2P session that stays while somebody accepts from it, or has a stream of it: routers end a session's streams with
/// it, and what was arranged before keys were replaced goes on.
private final class SharedSession: Sendable {
    let session: SAMSession
    /// Finishes when the router has ended the session.
    let ended: AsyncStream<Void>

    init(_ session: SAMSession) {
        self.session = session
        let (ended, continuation) = AsyncStream<Void>.makeStream()
        self.ended = ended
        // Ends at the latest when the session is closed. Calling it off would close the session.
        Task {
            _ = await session.waitForEnd()
            continuation.finish()
        }
    }

    deinit {
        self.session.close()
    }
}
