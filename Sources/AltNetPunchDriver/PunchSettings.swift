// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDriverKit
internal import AltNetDriverProtocol
internal import AltNetTorControl
internal import AltNetTransport

/// The settings of `altnet-punch`, beside those of every driver over byte streams.
struct PunchSettings: Sendable {
    /// Where others arrange a connection with us.
    enum Place: Hashable, Sendable {
        case tor
        case i2p
        /// An address of this machine; told to nobody.
        case direct(HostAndPort)
    }

    /// What a punched connection is for.
    enum Use: String, Sendable {
        /// A link of the driver's.
        case links
        /// A connection of the node.
        case node
    }

    /// An overlay each, and some addresses for networks of one's own.
    private static let maximumPlaces = 4
    /// The most witnesses that the configuration names: several times as many as one check asks.
    static let maximumWitnesses = 64
    /// The longest password of Tor's control port that is read, in bytes.
    private static let maximumPassword = 1024

    var places: [Place] = []
    var torControl: TorControlPort?
    var torPassword: String?
    /// Tor's SOCKS port, for what we coordinate with others.
    var socks: HostAndPort?
    /// I2P's SAM bridge.
    var sam: HostAndPort?
    var witnesses: [HostAndPort] = []
    var minimumWitnesses = 3
    var predictsPort = false
    /// How many peers may connect to us at a time; 0 for none.
    var offer = 0
    var use = Use.links
    /// Whether the connection may stay on the coordination endpoint when nothing else succeeds. Not by itself: whoever
    /// knows the endpoint can then talk to it as to a node, and compare.
    var relays = false
    var mapsPorts = true
    var usesIPv6 = true
    /// Where others may check their NAT.
    var answersChecks: HostAndPort?
    /// How long a coordination endpoint lives.
    var rotation: Duration = .seconds(24 * 3600)
    /// For networks without the Internet's addresses: laboratories and tests.
    var allowsPrivate = false

    init(_ settings: inout DriverSettings) throws(DriverSetupError) {
        self.torControl = try Self.torControl(try settings.text("tor_control"))
        if let path = try settings.text("tor_control_password_file") { self.torPassword = try Self.password(path) }
        self.socks = try Self.address("socks", &settings)
        self.sam = try Self.address("sam", &settings)
        for text in try settings.texts("coordination") { try self.addPlace(text) }
        for text in try settings.texts("witnesses") {
            guard let witness = HostAndPort(text), witness.port != 0 else {
                throw DriverSetupError("witnesses: \(UntrustedText(text)) is not of the form host:port")
            }
            self.witnesses.append(witness)
        }
        guard self.witnesses.count <= Self.maximumWitnesses else {
            throw DriverSetupError("there are more than \(Self.maximumWitnesses) witnesses")
        }
        self.minimumWitnesses = try settings.number("minimum_witnesses", in: 2...16) ?? 3
        self.predictsPort = try settings.flag("predict_port") ?? false
        self.offer = try settings.number("offer", in: 0...125) ?? 0
        if let text = try settings.text("use") {
            guard let use = Use(rawValue: text) else { throw DriverSetupError("use must be links or node") }
            self.use = use
        }
        self.relays = try settings.flag("relay") ?? false
        self.mapsPorts = try settings.flag("map_ports") ?? true
        self.usesIPv6 = try settings.flag("ipv6") ?? true
        self.answersChecks = try Self.address("answer_checks", &settings, mayBeAnyPort: true)
        let hours = try settings.number("rotate_hours", in: 1...8760) ?? 24
        self.rotation = .seconds(hours * 3600)
        self.allowsPrivate = try settings.flag("allow_private_addresses") ?? false
        guard self.offer == 0 || !self.places.isEmpty else {
            throw DriverSetupError("offer needs coordination: somewhere to arrange the connections")
        }
    }

    private mutating func addPlace(_ text: String) throws(DriverSetupError) {
        let place: Place
        switch text {
        case "tor":
            guard self.torControl != nil else { throw DriverSetupError("coordination over tor needs tor_control") }
            place = .tor
        case "i2p":
            guard self.sam != nil else { throw DriverSetupError("coordination over i2p needs sam") }
            place = .i2p
        default:
            guard text.hasPrefix("direct:"), let address = HostAndPort(String(text.dropFirst("direct:".count))) else {
                throw DriverSetupError("coordination: \(UntrustedText(text)) is not tor, i2p or direct:host:port")
            }
            place = .direct(address)
        }
        guard !self.places.contains(place) else { throw DriverSetupError("coordination names \(text) twice") }
        guard self.places.count < Self.maximumPlaces else {
            throw DriverSetupError("coordination has more than \(Self.maximumPlaces) entries")
        }
        self.places.append(place)
    }

    private static func address(
        _ name: String, _ settings: inout DriverSettings, mayBeAnyPort: Bool = false
    ) throws(DriverSetupError) -> HostAndPort? {
        guard let text = try settings.text(name) else { return nil }
        guard let address = HostAndPort(text), mayBeAnyPort || address.port != 0 else {
            throw DriverSetupError("\(name): \(UntrustedText(text)) is not of the form host:port")
        }
        return address
    }

    private static func torControl(_ text: String?) throws(DriverSetupError) -> TorControlPort? {
        guard let text else { return nil }
        if text.hasPrefix("unix:/") { return .unix(path: String(text.dropFirst("unix:".count))) }
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
