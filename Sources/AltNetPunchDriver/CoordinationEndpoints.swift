// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDriverProtocol
internal import AltNetHolePunch
internal import AltNetSAM
internal import AltNetTorControl
internal import AltNetTransport
internal import Glibc
internal import Logging

/// Keeps our coordination endpoints up, and hands over who connects to them.
///
/// They share nothing with anything else of the node: each has a key of its own, which only ever stands in a file of
/// this driver, a listener of its own on loopback, and in I2P a session with tunnels of its own. The port is the
/// network's usual one, so that it tells nothing.
actor CoordinationEndpoints {
    /// Takes a connection that somebody made to an endpoint of ours.
    typealias Accept = @Sendable (HeldConnection, CoordinationEndpoint) -> Void

    /// Offers are forgotten after ten minutes, and who read one may still need some: for so long an endpoint that was
    /// replaced on schedule stays up. One that the operator replaces goes at once.
    static let overlap: Duration = .seconds(720)
    /// How much earlier or later than scheduled a key is replaced: else the hour of the day would tie an endpoint to
    /// the one before.
    static let jitter = 0.9...1.1
    /// The pause after a failure; it doubles up to ``longestRetry``.
    private static let firstRetry: Duration = .seconds(1)
    private static let longestRetry: Duration = .seconds(60)

    private enum Rotation {
        case scheduled, demanded
    }

    /// An endpoint between two keys.
    private struct Generation: Sendable {
        let place: Int
        let number: UInt64
        let key: EndpointKeyFile.Key?
        let file: EndpointKeyFile
    }

    private let settings: PunchSettings
    private let directory: String
    private let port: UInt16
    private let network = StreamNetwork()
    private let logger = Logger(label: "coordination")
    private let accept: Accept
    private var rotations: [AsyncStream<Rotation>.Continuation] = []
    private var nextGeneration: UInt64 = 1
    /// The latest generation of each place.
    private var latest: [Int: UInt64] = [:]
    /// What can be reached, by generation.
    private var up: [UInt64: CoordinationEndpoint] = [:]

    init(_ settings: PunchSettings, directory: String, port: UInt16, accept: @escaping Accept) {
        self.settings = settings
        self.directory = directory
        self.port = port
        self.accept = accept
    }

    /// The endpoints that others can use now, in the order of the settings, without those that were replaced.
    var current: [CoordinationEndpoint] {
        self.settings.places.indices.compactMap { self.latest[$0].flatMap { self.up[$0] } }
    }

    /// Runs until the task is cancelled.
    func run() async {
        await withDiscardingTaskGroup { group in
            for (index, place) in self.settings.places.enumerated() {
                switch place {
                case .direct(let address): group.addTask { await self.keep(address, index) }
                case .tor: group.addTask { await self.keep(index, "tor.key") { await self.serveTor($0, until: $1) } }
                case .i2p: group.addTask { await self.keep(index, "i2p.key") { await self.serveI2P($0, until: $1) } }
                }
            }
        }
    }

    /// Gives every endpoint a new key. What was arranged at the old ones goes on; nobody can come there any more.
    func rotate() {
        for continuation in self.rotations { continuation.yield(.demanded) }
    }

    // MARK: - Keys

    private func keep(
        _ place: Int, _ fileName: String, _ serve: @escaping @Sendable (Generation, AsyncStream<Duration>) async -> Void
    ) async {
        let file = EndpointKeyFile(path: "\(self.directory)/\(fileName)")
        let (requests, continuation) = AsyncStream<Rotation>.makeStream(bufferingPolicy: .bufferingNewest(1))
        self.rotations.append(continuation)
        await withDiscardingTaskGroup { group in
            var iterator = requests.makeAsyncIterator()
            while !Task.isCancelled {
                let generation: Generation
                do throws(DriverSetupError) {
                    generation = self.begin(place, file, try file.load())
                } catch {
                    // The file is the operator's to look at; the other endpoints go on.
                    return self.logger.error("a coordination endpoint has no key", metadata: ["reason": "\(error)"])
                }
                let (retirement, retire) = AsyncStream<Duration>.makeStream(bufferingPolicy: .bufferingNewest(1))
                group.addTask { await serve(generation, retirement) }
                let timer = Task {
                    try? await Task.sleep(for: self.lifetime(of: generation.key))
                    if !Task.isCancelled { continuation.yield(.scheduled) }
                }
                let rotation = await iterator.next()
                timer.cancel()
                guard let rotation else { break }
                file.remove()
                retire.yield(rotation == .demanded ? .zero : Self.overlap)
            }
            group.cancelAll()
        }
    }

    private func begin(_ place: Int, _ file: EndpointKeyFile, _ key: EndpointKeyFile.Key?) -> Generation {
        defer { self.nextGeneration += 1 }
        self.latest[place] = self.nextGeneration
        return Generation(place: place, number: self.nextGeneration, key: key, file: file)
    }

    private func lifetime(of key: EndpointKeyFile.Key?) -> Duration {
        let whole = self.settings.rotation * Double.random(in: Self.jitter)
        guard let key else { return whole }
        // A clock that was set back does not make a key live longer than a new one.
        return max(.zero, min(whole, whole - (Self.now - key.since)))
    }

    private static var now: WallClockTime { WallClockTime(seconds: Int64(time(nil))) }

    /// Writes a new key down before anybody hears of it.
    private func save(_ key: String, of generation: Generation) -> Bool {
        guard self.latest[generation.place] == generation.number else { return false }
        do throws(DriverSetupError) {
            try generation.file.save(EndpointKeyFile.Key(text: key, since: Self.now))
            return true
        } catch {
            self.logger.warning("a coordination endpoint is not used", metadata: ["reason": "\(error)"])
            return false
        }
    }

    private func isUp(_ generation: Generation, _ endpoint: CoordinationEndpoint?) {
        self.up[generation.number] = endpoint
    }

    private func endpoint(of generation: Generation) -> CoordinationEndpoint? { self.up[generation.number] }

    // MARK: - Direct

    private func keep(_ address: HostAndPort, _ place: Int) async {
        let generation = self.begin(place, EndpointKeyFile(path: ""), nil)
        var pause = Self.firstRetry
        while !Task.isCancelled {
            do {
                let listener = try await self.listen(on: address, generation)
                self.isUp(generation, listener.address.map { .direct(host: $0.host, port: $0.port) })
                while !Task.isCancelled { try? await Task.sleep(for: .seconds(86_400)) }
                return await listener.close()
            } catch {
                self.failed("cannot listen for coordination", NetworkFailure.describe(error))
            }
            try? await Task.sleep(for: pause)
            pause = min(pause * 2, Self.longestRetry)
        }
    }

    private func listen(on address: HostAndPort, _ generation: Generation) async throws -> StreamListener {
        try await self.network.listen(on: address) {
            let inbox = EventInbox()
            return (
                onEvent: { inbox.receive($0) },
                onConnection: { connection in
                    Task { await self.take(HeldConnection(connection: connection, inbox: inbox), generation) }
                }
            )
        }
    }

    private func take(_ held: HeldConnection, _ generation: Generation) {
        guard let endpoint = self.endpoint(of: generation) else { return held.connection.abort() }
        self.accept(held, endpoint)
    }

    private func failed(_ what: Logger.Message, _ reason: String) {
        self.logger.warning(what, metadata: ["reason": "\(UntrustedText(reason))"])
    }

    /// Runs `body` until it ends or the generation is retired.
    private static func run(
        until retirement: AsyncStream<Duration>, _ body: @escaping @Sendable () async -> Void
    ) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask(operation: body)
            group.addTask {
                for await delay in retirement {
                    try? await Task.sleep(for: delay)
                    break
                }
            }
            await group.next()
            group.cancelAll()
        }
    }

    // MARK: - Tor

    private func serveTor(_ generation: Generation, until retirement: AsyncStream<Duration>) async {
        guard let control = self.settings.torControl else { return }
        let listener: StreamListener
        do {
            listener = try await self.listen(on: HostAndPort(host: "127.0.0.1", port: 0), generation)
        } catch {
            return self.failed("no port on loopback for the coordination endpoint", NetworkFailure.describe(error))
        }
        if let port = listener.address?.port {
            let service = OnionService(
                name: "coordination", key: generation.key?.text, virtualPort: self.port, target: .loopback(port: port))
            let services = OnionServices(at: control, password: self.settings.torPassword, services: [service])
            await Self.run(until: retirement) { await services.run { await self.handle($0, generation) } }
        }
        self.isUp(generation, nil)
        await listener.close()
    }

    private func handle(_ event: OnionServices.Event, _ generation: Generation) {
        switch event {
        case .up(_, let serviceID, let newKey):
            if let newKey, !self.save(newKey, of: generation) { return }
            do {
                self.isUp(generation, try CoordinationEndpoint("\(serviceID).onion:\(self.port)"))
            } catch {
                self.failed("Tor gave the coordination endpoint a name that is none", "\(error)")
            }
        case .refused(_, let error): self.failed("Tor refuses the coordination endpoint", "\(error)")
        case .down(let error, let pause):
            self.isUp(generation, nil)
            self.failed("the coordination endpoint in Tor is down", "\(error); it is tried again in \(pause)")
        }
    }

    // MARK: - I2P

    private func serveI2P(_ generation: Generation, until retirement: AsyncStream<Duration>) async {
        guard let address = self.settings.sam else { return }
        let bridge = SAMBridge(at: address)
        await Self.run(until: retirement) {
            var text = generation.key?.text
            var pause = Self.firstRetry
            while !Task.isCancelled {
                let began = MonotonicInstant.now
                do throws(SAMError) {
                    let known = try text.map { (text) throws(SAMError) in try I2PPrivateKey(text) }
                    let session = try await SAMSession.open(at: bridge, key: known)
                    defer { session.close() }
                    if known == nil {
                        guard await self.save(session.key.text, of: generation) else { return }
                        text = session.key.text
                    }
                    await self.isUp(generation, .i2p(hash: session.address.hash))
                    await self.accept(session, generation)
                } catch {
                    await self.failed(
                        "the coordination endpoint in I2P is down", "\(error); it is tried again in \(pause)")
                }
                await self.isUp(generation, nil)
                guard !Task.isCancelled else { return }
                if MonotonicInstant.now - began > Self.longestRetry { pause = Self.firstRetry }
                try? await Task.sleep(for: pause)
                pause = min(pause * 2, Self.longestRetry)
            }
        }
        self.isUp(generation, nil)
    }

    /// Accepts until the session is over.
    private func accept(_ session: SAMSession, _ generation: Generation) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { _ = await session.waitForEnd() }
            group.addTask {
                while !Task.isCancelled {
                    let inbox = EventInbox()
                    do throws(SAMError) {
                        let stream = try await session.accept { inbox.receive($0) }
                        await self.take(HeldConnection(connection: stream, inbox: inbox), generation)
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
