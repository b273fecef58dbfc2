// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDriverProtocol
internal import AltNetHolePunch
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
    static let firstRetry: Duration = .seconds(1)
    private static let longestRetry: Duration = .seconds(60)

    private enum Rotation {
        case scheduled, demanded
    }

    /// An endpoint between two keys.
    struct Generation: Sendable {
        let place: Int
        let number: UInt64
        let key: EndpointKeyFile.Key?
        let file: EndpointKeyFile
    }

    let settings: PunchSettings
    private let directory: String
    let port: UInt16
    private let network = StreamNetwork()
    private let logger = Logger(label: "coordination")
    private let accept: Accept
    private var rotations: [AsyncStream<Rotation>.Continuation] = []
    private var nextGeneration: UInt64 = 1
    /// The latest generation of each place.
    private var latest: [Int: UInt64] = [:]
    /// The keys that are in use and on the disk, by generation.
    var keys: [UInt64: String] = [:]
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
    func save(_ key: String, of generation: Generation) -> Bool {
        guard self.isLatest(generation) else { return false }
        do throws(DriverSetupError) {
            try generation.file.save(EndpointKeyFile.Key(text: key, since: Self.now))
            self.keys[generation.number] = key
            return true
        } catch {
            self.logger.warning("a coordination endpoint is not used", metadata: ["reason": "\(error)"])
            return false
        }
    }

    private func isLatest(_ generation: Generation) -> Bool { self.latest[generation.place] == generation.number }

    func isUp(_ generation: Generation, _ endpoint: CoordinationEndpoint?) {
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

    func listen(on address: HostAndPort, _ generation: Generation) async throws -> StreamListener {
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

    func take(_ held: HeldConnection, _ generation: Generation) {
        guard let endpoint = self.endpoint(of: generation) else { return held.connection.abort() }
        self.accept(held, endpoint)
    }

    func failed(_ what: Logger.Message, _ reason: String) {
        self.logger.warning(what, metadata: ["reason": "\(UntrustedText(reason))"])
    }

    /// Runs `body` until it ends or the generation is retired.
    static func run(
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

    /// Brings an endpoint up again and again, with pauses, until the task is cancelled. One that was replaced before it
    /// had a key gets none.
    func repeating(_ generation: Generation, _ body: @Sendable () async -> Void) async {
        var pause = Self.firstRetry
        while !Task.isCancelled, self.keys[generation.number] != nil || self.isLatest(generation) {
            let began = MonotonicInstant.now
            await body()
            self.isUp(generation, nil)
            if MonotonicInstant.now - began > Self.longestRetry { pause = Self.firstRetry }
            try? await Task.sleep(for: pause)
            pause = min(pause * 2, Self.longestRetry)
        }
    }
}
