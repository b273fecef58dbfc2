// SPDX-License-Identifier: MIT

public import AltNetDriverProtocol
public import AltNetObjects
public import AltNetTransport

/// What distinguishes one driver over byte streams from another: how its targets read, and which protocol it speaks.
public protocol StreamMedium: Sendable {
    associatedtype Session: LinkSession
    associatedtype Target: StreamTarget

    var capabilities: DriverCapabilities { get }
    /// What the medium calls us; empty where it has no name for us.
    var identity: String { get }
    /// Reads a target as people write it, or says what is wrong with the text.
    func parse(_ target: String) throws(DriverSetupError) -> Target
    /// A new session towards a target.
    func outboundSession(to target: Target) -> Session
    /// A new session with whoever connected to us.
    func inboundSession() -> Session
    /// How an address that we listen on is told to others.
    func listeningText(_ address: HostAndPort) -> String
    /// A session is over.
    func sessionEnded(_ session: Session)
    /// The best chain's height changed, as the orchestrator counts.
    func heightChanged(to height: UInt32)
}

/// Whom to connect to.
public protocol StreamTarget: Sendable {
    /// Where it is.
    var remote: HostAndPort { get }
}

extension HostAndPort: StreamTarget {
    public var remote: HostAndPort { self }
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
