// SPDX-License-Identifier: MIT

internal import AltNetObjects

extension DaemonConfiguration {
    /// Hole punching: what the daemon itself does about it. The rest are settings of the driver.
    public struct Punch: Hashable, Sendable {
        /// How many links to peers behind NATs are made and kept without being asked for; 0: none.
        public var outbound: Int
        /// Whether offers of others are taken and passed on. Without it nothing is known of whom to connect to.
        public var relaysOffers: Bool

        /// The given values, and the defaults of the others.
        public init(outbound: Int = 0, relaysOffers: Bool = true) {
            self.outbound = outbound
            self.relaysOffers = relaysOffers
        }

        /// Bitcoin Core makes eight outbound connections that carry everything. More cost others, and protect nobody
        /// better.
        public static let outboundRange = 0...8
    }
}

extension DaemonConfiguration {
    /// Refuses drivers that are to serve blocks which nobody has.
    func checkServedBlocks(of drivers: [Driver], _ settings: Settings) throws(ConfigurationError) {
        for driver in drivers where driver.isEnabled && driver.settings["serve_blocks"] == .flag(true) {
            switch driver.program.map(DriverProgram.init) {
            case .bitcoin, .punch: break
            case .lightning, .libp2p, .other, nil: continue
            }
            let path = SettingPath("drivers", driver.name, "serve_blocks")
            guard self.node.kind != .embedded else {
                throw settings.invalid(path, "needs a node that has them: `node.kind` is `embedded`")
            }
            guard driver.traffic?.contains(.blocks) ?? true else {
                throw settings.invalid(path, "needs `blocks` in `traffic`")
            }
            guard driver.settings["use"] != .text("node") else {
                throw settings.invalid(path, "is for `use` = `links`: the node answers for itself")
            }
        }
    }

    /// Refuses punched connections for a node that cannot take them: each would be arranged with a stranger, and closed as
    /// soon as it stands.
    func checkPunchedConnections(of drivers: [Driver], _ settings: Settings) throws(ConfigurationError) {
        for driver in drivers
        where driver.isEnabled && driver.program.map(DriverProgram.init) == .punch
            && driver.settings["use"] == .text("node")
        {
            let use = SettingPath("drivers", driver.name, "use")
            if case .number(1...) = driver.settings["offer"], self.splice.accept == nil {
                throw settings.invalid(
                    use, "hands who connects to us to the node, which needs `splice.accept`, the address of the node")
            }
            let calls = self.punch.outbound > 0 || driver.settings["connect"] != nil
            guard !calls || (self.node.kind == .bitcoinCore && self.node.allow.contains(.peers)) else {
                throw settings.invalid(
                    use,
                    "has the node make the connections, which needs `node.kind` = `bitcoin-core` and `peers` in"
                        + " `node.allow`")
            }
        }
    }
}

extension Settings {
    func punch() throws(ConfigurationError) -> DaemonConfiguration.Punch {
        let table = SettingPath("punch")
        let (outbound, relaying) = (table.appending("outbound"), table.appending("relay_offers"))
        let punch = DaemonConfiguration.Punch(
            outbound: try self.number(outbound, default: 0, in: DaemonConfiguration.Punch.outboundRange),
            relaysOffers: self.flag(relaying) ?? true)
        guard punch.relaysOffers || punch.outbound == 0 else {
            throw self.invalid(outbound, "must be 0 while `punch.relay_offers` is false: nobody is known to connect to")
        }
        return punch
    }

    /// Witnesses are asked in different network groups, so that two are the fewest that can disagree; more than sixteen
    /// cost others without telling more.
    private static let witnessRange = 2...16
    /// The most punched inbound peers: as many connections as Bitcoin Core has by default.
    private static let offerRange = 0...125
    /// From an hour, in which a few peers can come, to a year.
    private static let rotationRange = 1...8760

    /// The settings of `altnet-punch`.
    func punchSettings(_ table: SettingPath) throws(ConfigurationError) -> [String: DaemonConfiguration.DriverSetting] {
        var settings: [String: DaemonConfiguration.DriverSetting] = [:]
        let connect = table.appending("connect")
        if let texts = self.texts(connect), !texts.isEmpty {
            for text in texts where !Self.isEndpoint(text) {
                throw self.notOfForm("name.onion:port, name.b32.i2p or direct:host:port", connect, text)
            }
            settings["connect"] = .texts(texts)
        }
        let coordination = table.appending("coordination")
        if let texts = self.texts(coordination), !texts.isEmpty {
            for text in texts where !Self.isCoordination(text) {
                throw self.notOfForm("tor, i2p or direct:host:port", coordination, text)
            }
            settings["coordination"] = .texts(texts)
        }
        try self.takeTorControl(table, &settings)
        for name in ["socks", "sam"] {
            let path = table.appending(name)
            guard let address = self.text(path) else { continue }
            guard HostAndPort.isValid(address) else { throw self.notOfForm("host:port", path, address) }
            settings[name] = .text(address)
        }
        let witnesses = table.appending("witnesses")
        if let texts = self.texts(witnesses), !texts.isEmpty {
            for text in texts where !HostAndPort.isValid(text) { throw self.notOfForm("host:port", witnesses, text) }
            settings["witnesses"] = .texts(texts)
        }
        let answering = table.appending("answer_checks")
        if let address = self.text(answering) {
            guard HostAndPort.isValid(address, mayBeAnyPort: true) else {
                throw self.notOfForm("host:port", answering, address)
            }
            settings["answer_checks"] = .text(address)
        }
        let use = table.appending("use")
        if let word = self.text(use) {
            let words = ["links", "node"]
            guard words.contains(word) else { throw self.notAmong(words, use, word) }
            settings["use"] = .text(word)
        }
        for (name, range) in [
            ("minimum_witnesses", Self.witnessRange), ("offer", Self.offerRange), ("rotate_hours", Self.rotationRange),
        ] {
            let path = table.appending(name)
            guard self.number(path) != nil else { continue }
            settings[name] = .number(try self.number(path, default: range.lowerBound, in: range))
        }
        let offer = table.appending("offer")
        if case .number(1...) = settings["offer"], settings["coordination"] == nil {
            throw self.invalid(offer, "needs `coordination`: somewhere to arrange the connections")
        }
        let places = self.texts(coordination) ?? []
        for (place, key) in [("tor", "tor_control"), ("i2p", "sam")]
        where places.contains(place) && settings[key] == nil {
            throw self.invalid(coordination, "has `\(place)`, which needs `\(key)`")
        }
        for name in ["predict_port", "relay", "map_ports", "ipv6", "serve_blocks", "allow_private_addresses"] {
            if let flag = self.flag(table.appending(name)) { settings[name] = .flag(flag) }
        }
        return settings
    }

    /// Whether a text has the form of an endpoint. Whether the name is one that can be is the driver's business.
    private static func isEndpoint(_ text: String) -> Bool {
        if text.hasPrefix("direct:") { return HostAndPort.isValid(String(text.dropFirst("direct:".count))) }
        return text.hasSuffix(".b32.i2p") || (HostAndPort.isValid(text) && text.contains(".onion:"))
    }

    private static func isCoordination(_ text: String) -> Bool {
        text == "tor" || text == "i2p"
            || (text.hasPrefix("direct:")
                && HostAndPort.isValid(String(text.dropFirst("direct:".count)), mayBeAnyPort: true))
    }
}
