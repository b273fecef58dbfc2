// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetConfiguration
internal import AltNetDriverHost
internal import AltNetDriverProtocol
internal import AltNetObjects
internal import AltNetTransport
internal import Logging
internal import NIOCore

/// Splices loopback ports to streams of links, so that an unmodified node gets peers over any link that carries
/// streams; and lets the streams that others open come out at the operator's own node, nowhere else.
///
/// It finds the link and the socket for each stream. What then flows is between ``SpliceConnection`` and the driver.
public actor Splicer {
    /// The most connections of one port: a link takes no more streams of ours.
    static let maximumPerPort = StreamLimits.maximumPerLink
    /// The most connections of all ports together, and the most streams of others: half each of the streams that one
    /// driver may have, so that neither side can take the other's place. Each holds at most two windows here.
    static let maximumConnections = DriverProtocol.maximumStreams / 2

    /// A link of a driver.
    struct LinkKey: Hashable {
        let driver: String
        let number: DriverLink
    }

    /// A stream of a link.
    struct Key: Hashable {
        let driver: String
        let link: DriverLink
        let id: StreamID
    }

    struct Link {
        let description: DriverLinkDescription
        /// The index of the next stream that we open.
        var next: UInt32 = 0
    }

    struct Port {
        let configuration: DaemonConfiguration.Splice.Port
        var listener: (any Channel)?
        var address: HostAndPort?
        var tally = Tally()
    }

    /// What a port, or the streams of others, have to show.
    struct Tally {
        var open: Set<Key> = []
        /// What streams that are gone have carried.
        var traffic = SpliceStream.Traffic()
        /// Why the last one that did not come to be did not.
        var problem: String?
    }

    let configuration: DaemonConfiguration.Splice
    private let logger: Logger
    private var host: DriverHost?
    private(set) var links: [LinkKey: Link] = [:]
    private(set) var ports: [String: Port] = [:]
    private(set) var accepted = Tally()
    /// Streams of others whose connection with our node is being made.
    private var connecting: Set<Key> = []
    /// Ports that wait for one connection each.
    var lent: [LinkKey: any Channel] = [:]
    private(set) var connections: [Key: (connection: SpliceConnection, port: String?)] = [:]
    private var isStopped = false

    init(_ configuration: DaemonConfiguration.Splice, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        for port in configuration.ports { self.ports[port.name] = Port(configuration: port) }
    }

    /// Opens the ports. One that cannot be opened is reported, and does not keep the daemon from its work.
    func start(host: DriverHost) async {
        self.host = host
        for (name, port) in self.ports.sorted(by: { $0.key < $1.key }) {
            // It has been checked with the rest of the configuration.
            guard let wanted = HostAndPort(port.configuration.listen) else { continue }
            do {
                let listener = try await SpliceSockets.listen(at: wanted) { connection in
                    Task { await self.accept(connection, at: name) }
                }
                let port = listener.localAddress?.port.flatMap(UInt16.init(exactly:)) ?? wanted.port
                let address = HostAndPort(host: wanted.host, port: port)
                self.ports[name]?.listener = listener
                self.ports[name]?.address = address
                self.logger.info("splice port open", metadata: ["splice": "\(name)", "address": "\(address)"])
            } catch {
                let problem = "cannot listen on \(wanted): \(NetworkFailure.describe(error))"
                self.note(problem, at: name, level: .error)
            }
        }
    }

    /// Closes the ports and ends all streams.
    func stop() async {
        self.isStopped = true
        for (connection, _) in self.connections.values { connection.cancel() }
        for port in self.ports.values { try? await port.listener?.close() }
        for listener in self.lent.values { try? await listener.close() }
    }

    func addPort(_ port: DaemonConfiguration.Splice.Port) {
        self.ports[port.name] = Port(configuration: port)
    }

    // MARK: - Questions

    /// The loopback address of a port that leads somewhere now: it listens, and a link of it takes streams.
    public func address(of name: String) -> String? {
        guard let port = self.ports[name], self.link(for: port.configuration) != nil else { return nil }
        return port.address?.description
    }

    /// The loopback addresses that lead somewhere now, in the order of their ports' names.
    public var usableAddresses: [String] { self.ports.keys.sorted().compactMap { self.address(of: $0) } }

    // MARK: - Links

    func opened(_ link: DriverLink, of driver: String, _ description: DriverLinkDescription) {
        self.links[LinkKey(driver: driver, number: link)] = Link(description: description)
    }

    func closed(_ link: DriverLink, of driver: String) {
        let gone = LinkKey(driver: driver, number: link)
        self.links[gone] = nil
        if let listener = self.lent.removeValue(forKey: gone) { Task { try? await listener.close() } }
        self.connecting = self.connecting.filter { $0.driver != driver || $0.link != link }
        for (key, entry) in self.connections where key.driver == driver && key.link == link {
            entry.connection.onLinkClosed()
        }
    }

    func detached(_ driver: String) {
        for key in self.links.keys where key.driver == driver { self.closed(key.number, of: driver) }
    }

    /// The link that a port's next connection takes: of those that take streams the one with the fewest of ours.
    func link(for port: DaemonConfiguration.Splice.Port) -> LinkKey? {
        let open = Dictionary(
            grouping: self.connections.keys.filter { $0.id.opener == .us },
            by: { LinkKey(driver: $0.driver, number: $0.link) }
        ).mapValues(\.count)
        return self.links
            .filter { key, link in
                key.driver == port.driver && link.description.peer.takesStreams && port.matches(link.description)
                    && open[key, default: 0] < StreamLimits.maximumPerLink && link.next <= StreamID.maximumIndex
            }
            .min {
                (open[$0.key, default: 0], $0.key.number.number) < (open[$1.key, default: 0], $1.key.number.number)
            }?
            .key
    }

    // MARK: - Streams that we open

    private func accept(_ connection: SpliceConnection, at name: String) {
        guard !self.isStopped, let port = self.ports[name] else { return connection.drop() }
        guard port.tally.open.count < Self.maximumPerPort else {
            connection.drop()
            return self.note("there are too many connections", at: name, level: .warning)
        }
        self.open(connection, over: self.link(for: port.configuration), at: name)
    }

    /// Opens a stream over a link for a connection of the node.
    func open(_ connection: SpliceConnection, over link: LinkKey?, at name: String) {
        let ours = self.connections.keys.count { $0.id.opener == .us }
        guard !self.isStopped, ours < Self.maximumConnections else {
            connection.drop()
            return self.note("there are too many connections", at: name, level: .warning)
        }
        guard let link, let index = self.links[link]?.next else {
            connection.drop()
            return self.note("no link that takes streams is open", at: name, level: .debug)
        }
        self.links[link]?.next = index + 1
        let key = Key(driver: link.driver, link: link.number, id: StreamID(.us, index))
        self.ports[name]?.tally.open.insert(key)
        self.run(connection, key, port: name)
    }

    private func run(_ connection: SpliceConnection, _ key: Key, port: String?) {
        self.connections[key] = (connection, port)
        connection.start { message, onSent in
            Task { await self.say(message, of: key, onSent) }
        } onFinished: {
            Task { await self.finished(key) }
        }
    }

    private func say(_ message: StreamMessage, of key: Key, _ onSent: @escaping @Sendable () -> Void) async {
        let refusal = await self.host?.send(
            message, of: key.id, over: key.link, to: key.driver, onWritten: onSent)
        if let refusal { self.connections[key]?.connection.onMessage(.refused(refusal)) }
    }

    private func finished(_ key: Key) {
        guard let (connection, port) = self.connections.removeValue(forKey: key) else { return }
        let stream = connection.stream
        if let port {
            self.ports[port]?.tally.open.remove(key)
            self.ports[port]?.tally.traffic += stream.traffic
            if stream.hasStood {
                self.ports[port]?.tally.problem = nil
            } else if let ending = stream.ending {
                self.note(ending, at: port, level: stream.refusal == nil ? .info : .warning)
            }
        } else {
            self.accepted.open.remove(key)
            self.accepted.traffic += stream.traffic
            self.accepted.problem = nil
        }
        self.logger.debug(
            "stream ended",
            metadata: [
                "splice": "\(port ?? "accept")", "driver": "\(key.driver)",
                "reason": "\(stream.ending ?? "both ended")",
                "sent": "\(stream.traffic.sent)", "received": "\(stream.traffic.received)",
            ])
    }

    // MARK: - What the other end says

    func heard(_ message: StreamMessage, of id: StreamID, over link: DriverLink, of driver: String) async {
        let key = Key(driver: driver, link: link, id: id)
        guard case .open(let purpose) = message else {
            // A reset may come while our own node has not answered yet.
            if case .reset = message { self.connecting.remove(key) }
            self.connections[key]?.connection.onMessage(message)
            return
        }
        guard let address = self.configuration.accept.flatMap({ HostAndPort($0) }) else {
            return await self.refuse(key, .notAccepted)
        }
        guard purpose == .bitcoinP2P else { return await self.refuse(key, .unsupported) }
        let theirs = self.connecting.count + self.accepted.open.count
        guard !self.isStopped, theirs < Self.maximumConnections else { return await self.refuse(key, .busy) }
        self.connecting.insert(key)
        Task { await self.connect(key, to: address) }
    }

    private func connect(_ key: Key, to address: HostAndPort) async {
        let connection: SpliceConnection
        do {
            connection = try await SpliceSockets.connect(to: address)
        } catch {
            self.accepted.problem = "cannot connect to \(address): \(NetworkFailure.describe(error))"
            self.logger.warning(
                "stream not accepted",
                metadata: ["driver": "\(key.driver)", "reason": "\(self.accepted.problem ?? "")"])
            if self.connecting.remove(key) != nil { await self.refuse(key, .unavailable) }
            return
        }
        guard self.connecting.remove(key) != nil, !self.isStopped else { return connection.drop() }
        self.accepted.open.insert(key)
        self.run(connection, key, port: nil)
    }

    private func refuse(_ key: Key, _ refusal: StreamRefusal) async {
        if refusal != .unavailable {
            self.logger.info(
                "stream refused", metadata: ["driver": "\(key.driver)", "reason": "\(refusal.ownReason)"])
            if refusal != .notAccepted { self.accepted.problem = refusal.ownReason }
        }
        _ = await self.host?.send(
            .refused(refusal), of: key.id, over: key.link, to: key.driver, onWritten: {})
    }

    private func note(_ problem: String, at port: String, level: Logger.Level) {
        self.ports[port]?.tally.problem = problem
        self.logger.log(level: level, "not spliced", metadata: ["splice": "\(port)", "reason": "\(problem)"])
    }
}
