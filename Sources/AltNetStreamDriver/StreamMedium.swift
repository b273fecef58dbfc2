// SPDX-License-Identifier: MIT

public import AltNetDriverKit
public import AltNetDriverProtocol
public import AltNetObjects
public import AltNetTransport

/// What distinguishes one driver over byte streams from another: how its targets read, and which protocol it speaks.
///
/// Most media are done with the first half. The second half, which has defaults, is for a medium that has something to
/// do across its links.
public protocol StreamMedium: Sendable {
    associatedtype Session: LinkSession
    associatedtype Target: Sendable

    var capabilities: DriverCapabilities { get }
    /// What the medium calls us; empty where it has no name for us.
    var identity: String { get }
    /// Reads a target as people write it, or says what is wrong with the text.
    func parse(_ target: String) throws(DriverSetupError) -> Target
    /// Connects to a target, with a new session for the connection.
    func dial(_ target: Target, _ dialer: LinkDialer) async throws -> DialedLink<Session>
    /// A new session with whoever connected to us.
    func inboundSession() -> Session
    /// The same for a protocol that tells the other side where it was seen.
    ///
    /// - Parameter remote: the other end of the socket, which may be a proxy's; `nil` when it is gone already.
    func inboundSession(from remote: HostAndPort?) -> Session
    /// How an address that we listen on is told to others.
    func listeningText(_ address: HostAndPort) -> String
    /// A session is over.
    func sessionEnded(_ session: Session)
    /// The best chain's height changed, as the orchestrator counts.
    func heightChanged(to height: UInt32)

    /// Works beside the driver until the task is cancelled, with links of the medium's own making.
    ///
    /// - Throws: what ends the driver; see ``Driver/run(_:)``.
    func run(_ links: LinkAcceptor<Session>) async throws
    /// A link stands. Its messages come after this.
    func linkOpened(_ link: MediumLink, _ peer: LinkPeer) async
    /// A link that stood is gone.
    func linkClosed(_ link: MediumLink) async
    /// A link's session gave a ``LinkDirective/message(_:)``. The link waits until this returns.
    func received(_ message: [UInt8], over link: MediumLink) async
    /// The operator wants something of the driver: one of the operations that its capabilities name.
    func perform(_ operation: String, _ body: [UInt8]) async throws(OperationFailure) -> [UInt8]
}

extension StreamMedium {
    public func inboundSession(from remote: HostAndPort?) -> Session { self.inboundSession() }
    public func run(_ links: LinkAcceptor<Session>) async throws {}
    public func linkOpened(_ link: MediumLink, _ peer: LinkPeer) async {}
    public func linkClosed(_ link: MediumLink) async {}
    public func received(_ message: [UInt8], over link: MediumLink) async {}
    public func perform(_ operation: String, _ body: [UInt8]) async throws(OperationFailure) -> [UInt8] {
        throw OperationFailure("this driver knows no operation \(operation)")
    }
}

/// Why an operation was not carried out, in a sentence for the operator.
public struct OperationFailure: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}

/// A connection that was just made, with its session.
public struct DialedLink<Session: LinkSession>: Sendable {
    public let connection: any LinkConnection
    public let session: Session
    /// What the link reveals about us, where that is not what the driver's capabilities say.
    public let exposure: DriverCapabilities.Exposure?
    /// What the remote is called towards people, where that is not the connection's address.
    public let remote: String?
    /// What an operation of the medium was told to connect to, where the link came of one.
    public let requested: String?

    public init(
        _ connection: any LinkConnection, _ session: Session, exposure: DriverCapabilities.Exposure? = nil,
        remote: String? = nil, requested: String? = nil
    ) {
        self.connection = connection
        self.session = session
        self.remote = remote
        self.requested = requested
        self.exposure = exposure
    }
}

/// Makes the connection of one link.
public struct LinkDialer: Sendable {
    private let network: StreamNetwork
    /// The SOCKS5 proxy that everything goes through, if there is one.
    public let proxy: HostAndPort?
    /// The orchestrator's peer store; nil when the medium's capabilities do not name peers.
    public let peers: OrchestratorBook?
    /// Takes what the connection brings, for connections that the medium makes itself.
    public let onEvent: @Sendable (StreamConnection.Event) -> Void

    init(
        network: StreamNetwork, proxy: HostAndPort?, peers: OrchestratorBook? = nil,
        onEvent: @escaping @Sendable (StreamConnection.Event) -> Void
    ) {
        self.network = network
        self.proxy = proxy
        self.peers = peers
        self.onEvent = onEvent
    }

    /// Connects over TCP, through the proxy if there is one. May be called again after it failed.
    public func connect(to remote: HostAndPort) async throws -> StreamConnection {
        try await self.network.connect(to: remote, proxy: self.proxy, onEvent: self.onEvent)
    }

    /// A connection of messages that the medium carries itself.
    public func messages(
        remote: String, onWrite: @escaping @Sendable ([UInt8]) async throws -> Void,
        onClose: @escaping @Sendable () -> Void = {}
    ) -> MessageConnection {
        MessageConnection(remote: remote, onEvent: self.onEvent, onWrite: onWrite, onClose: onClose)
    }
}

/// Lets a medium run links that nobody dialled by a target.
public struct LinkAcceptor<Session: LinkSession>: Sendable {
    /// Makes a link once there is someone to take what its connection brings.
    public typealias Make = @Sendable (LinkDialer) async throws -> DialedLink<Session>

    let run: @Sendable (_ make: @escaping Make) async -> DisconnectReason
    let listen:
        @Sendable (
            HostAndPort, _ maximumLinks: Int, _ make: @escaping @Sendable (StreamConnection) -> DialedLink<Session>
        )
            async throws -> StreamListener
    /// The orchestrator's peer store; nil when the medium's capabilities do not name peers.
    public let peers: OrchestratorBook?
    /// Where the driver listens for everyone.
    public let listening: [HostAndPort]

    init(
        run: @escaping @Sendable (_ make: @escaping Make) async -> DisconnectReason,
        listen:
            @escaping @Sendable (
                HostAndPort, _ maximumLinks: Int, _ make: @escaping @Sendable (StreamConnection) -> DialedLink<Session>
            ) async throws -> StreamListener,
        peers: OrchestratorBook? = nil, listening: [HostAndPort] = []
    ) {
        self.run = run
        self.listen = listen
        self.peers = peers
        self.listening = listening
    }

    /// Runs a link until it ends, and says why it ended. It counts as one that the other side opened.
    public func runLink(_ make: @escaping Make) async -> DisconnectReason {
        await self.run(make)
    }

    /// Accepts connections at an address of the medium's own, which nobody is told, until the returned listener is
    /// closed. Beyond `maximumLinks` at a time, a connection is aborted at once.
    public func listen(
        on address: HostAndPort, maximumLinks: Int,
        _ make: @escaping @Sendable (StreamConnection) -> DialedLink<Session>
    ) async throws -> StreamListener {
        try await self.listen(address, maximumLinks, make)
    }
}

/// A link, as a medium sees it.
public struct MediumLink: Sendable, Identifiable {
    /// Never used twice in the life of a driver.
    public let id: UInt64
    /// The target as it was written; empty when the other side called.
    public let target: String
    let messages: MessageInbox
    let announce: @Sendable () -> Void

    /// Whether a message would find room now.
    public var hasRoom: Bool { self.messages.hasRoom }

    /// Gives the link's session a message for the other side; `false` when too many wait for it already.
    @discardableResult
    public func send(_ message: [UInt8]) -> Bool {
        self.messages.add(message, announce: self.announce)
    }
}

/// The settings that every driver over byte streams has.
public struct StreamSettings: Hashable, Sendable {
    /// Remotes to stay connected to.
    public var connect: [String]
    /// Addresses to accept connections at.
    public var listen: [HostAndPort]
    /// A SOCKS5 proxy for everything that goes out.
    public var proxy: HostAndPort?
    /// Whether we serve others and take nothing from them.
    public var servesOnly: Bool

    /// Takes `connect`, `listen`, `proxy` and `serve_only` from a driver's settings.
    public init(_ settings: inout DriverSettings) throws(DriverSetupError) {
        self.connect = try settings.texts("connect")
        self.listen = []
        self.servesOnly = try settings.flag("serve_only") ?? false
        for text in try settings.texts("listen") {
            guard let address = HostAndPort(text) else {
                throw DriverSetupError("listen: \(text) is not of the form host:port")
            }
            self.listen.append(address)
        }
        if let text = try settings.text("proxy") {
            guard let address = HostAndPort(text) else {
                throw DriverSetupError("proxy: \(text) is not of the form host:port")
            }
            self.proxy = address
        }
    }
}
