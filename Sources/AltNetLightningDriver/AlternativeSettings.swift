// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDriverKit
internal import AltNetDriverProtocol
internal import AltNetKeys
internal import AltNetLightning
internal import AltNetTorControl
internal import AltNetTransport

/// The settings of alternative addresses: `alt_…` and `tor_…`.
struct AlternativeSettings: Sendable {
    /// A place to listen that only one peer, or the allowed ones, are told of.
    struct Listener: Sendable {
        let host: String
        /// One port, or a port for each peer.
        let ports: ClosedRange<UInt16>
        let isShared: Bool
        /// What is told instead; the ports correspond in order. `nil` for the address itself.
        let announced: (host: String, firstPort: UInt16)?
    }

    /// How many peers may be given addresses: each can cost a port, an onion service and ten records.
    static let maximumPeers = 100
    /// How many private listeners there may be. More addresses than a few need no list of their own.
    static let maximumListeners = 8
    /// The longest password of Tor's control port that is read, in bytes.
    private static let maximumPassword = 1024

    var peers: [NodeID] = []
    var channels: [NodeID: [UInt8]] = [:]
    var listeners: [Listener] = []
    var torControl: TorControlPort?
    var torPassword: String?
    var takesPrivate = false
    /// Whether addresses may be written to the log.
    var logsAddresses = false

    init(_ settings: inout DriverSettings) throws(DriverSetupError) {
        for text in try settings.texts("alt_addr_peers") { try self.addPeer(text) }
        let announced = try settings.texts("alt_announce")
        let listen = try settings.texts("alt_listen")
        guard announced.isEmpty || announced.count == listen.count else {
            throw DriverSetupError("alt_announce must have as many entries as alt_listen, in the same order")
        }
        guard listen.count <= Self.maximumListeners else {
            throw DriverSetupError("alt_listen has more than \(Self.maximumListeners) entries")
        }
        for (index, text) in listen.enumerated() {
            let told = announced.isEmpty ? nil : announced[index]
            self.listeners.append(try Self.listener(text, announced: told, number: index + 1))
        }
        self.torControl = try Self.torControl(try settings.text("tor_control"))
        if let path = try settings.text("tor_control_password_file") { self.torPassword = try Self.password(path) }
        self.takesPrivate = try settings.flag("alt_addr_private") ?? false
        self.logsAddresses = try settings.flag("alt_addr_log") ?? false
        guard self.peers.isEmpty == (self.listeners.isEmpty && self.torControl == nil) else {
            throw DriverSetupError(
                self.peers.isEmpty
                    ? "alt_listen and tor_control need alt_addr_peers: the peers that are given the addresses"
                    : "alt_addr_peers needs alt_listen or tor_control: an address to give")
        }
    }

    private mutating func addPeer(_ text: String) throws(DriverSetupError) {
        let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        guard let node = NodeID(hex: parts[0]) else {
            throw DriverSetupError(
                "alt_addr_peers: \(UntrustedText(text)) does not begin with a public key of 66 hexadecimal digits")
        }
        guard !self.peers.contains(node) else { throw DriverSetupError("alt_addr_peers names \(node) twice") }
        guard self.peers.count < Self.maximumPeers else {
            throw DriverSetupError("alt_addr_peers names more than \(Self.maximumPeers) peers")
        }
        self.peers.append(node)
        guard parts.count == 2 else { return }
        guard let channel = Hex.decode(parts[1]), channel.count == PeerAltAddr.channelIDSize,
            channel.contains(where: { $0 != 0 })
        else {
            throw DriverSetupError(
                "alt_addr_peers: the channel_id of \(node) must be 64 hexadecimal digits, not all of them zero")
        }
        self.channels[node] = channel
    }

    // MARK: - Addresses. No message shows one: they reach logs.

    private static func listener(
        _ text: String, announced: String?, number: Int
    ) throws(DriverSetupError) -> Listener {
        guard let (host, ports) = Self.hostAndPorts(text) else {
            throw DriverSetupError("entry \(number) of alt_listen is neither host:port nor host:port-port")
        }
        let isShared = !text.contains("-") || ports.count == 1
        guard isShared || ports.lowerBound > 0 else {
            throw DriverSetupError("entry \(number) of alt_listen begins its range at port 0")
        }
        var told: (host: String, firstPort: UInt16)?
        if let announced {
            guard let (host, range) = Self.hostAndPorts(announced), range.lowerBound > 0 else {
                throw DriverSetupError("entry \(number) of alt_announce is neither host:port nor host:port-port")
            }
            guard range.count == ports.count else {
                throw DriverSetupError("entry \(number) of alt_announce has not as many ports as that of alt_listen")
            }
            guard ports.lowerBound > 0 else {
                throw DriverSetupError(
                    "entry \(number) of alt_listen has port 0, and alt_announce cannot tell a port that is not known")
            }
            told = (host, range.lowerBound)
        }
        let listener = Listener(host: host, ports: ports, isShared: isShared, announced: told)
        // Port 0 becomes one that can be told when the system has chosen it.
        let example = listener.address(port: max(1, ports.lowerBound))
        guard let example else {
            throw DriverSetupError(
                "entry \(number) of alt_listen or alt_announce is no address that a peer can be told")
        }
        guard !Self.isWildcard(example) else {
            throw DriverSetupError(
                "entry \(number) of alt_listen stands for all interfaces; alt_announce must say what peers are told")
        }
        return listener
    }

    /// Reads `host:port` or `host:first-last`.
    private static func hostAndPorts(_ text: String) -> (String, ClosedRange<UInt16>)? {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let ports = text[text.index(after: colon)...].split(separator: "-", omittingEmptySubsequences: false)
        guard let first = ports.first, (1...2).contains(ports.count),
            let address = HostAndPort("\(text[..<colon]):\(first)")
        else { return nil }
        guard ports.count == 2 else { return (address.host, address.port...address.port) }
        guard let last = UInt16(ports[1]), last >= address.port else { return nil }
        return (address.host, address.port...last)
    }

    /// Whether an address stands for all interfaces.
    static func isWildcard(_ address: LightningAddress) -> Bool {
        switch address.host {
        case .ipv4(let bytes), .ipv6(let bytes): bytes.allSatisfy { $0 == 0 }
        case .torV3, .name: false
        }
    }

    private static func torControl(_ text: String?) throws(DriverSetupError) -> TorControlPort? {
        guard let text else { return nil }
        if text.hasPrefix("unix:/") { return .unix(path: String(text.dropFirst(5))) }
        guard let address = HostAndPort(text), address.port != 0 else {
            throw DriverSetupError("tor_control: \(UntrustedText(text)) is neither host:port nor unix:/path")
        }
        return .tcp(host: address.host, port: address.port)
    }

    private static func password(_ path: String) throws(DriverSetupError) -> String {
        let bytes = try SecretFile.read(path, maximumSize: Self.maximumPassword + 1)
        guard bytes.count <= Self.maximumPassword else {
            throw DriverSetupError("\(path) is longer than \(Self.maximumPassword) bytes")
        }
        return String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    }
}

extension AlternativeSettings.Listener {
    /// What peers are told when we listen at a port; `nil` where that is no address.
    func address(port: UInt16) -> LightningAddress? {
        let host = self.announced?.host ?? self.host
        let told = self.announced.map { $0.firstPort &+ (port &- self.ports.lowerBound) } ?? port
        return try? LightningAddress(text: HostAndPort(host: host, port: told).description)
    }
}
