// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDialing
internal import AltNetObjects
internal import AltNetPeerRecords
internal import Configuration

extension Settings {
    /// Honest drivers stay far below; a number above is a slip of the finger.
    private static let messagesPerSecondRange = 1...1_000_000
    /// Enough for a message at the lower end; no link of ours is faster than the upper one.
    private static let bytesPerSecondRange = 65_536...1_000_000_000_000
    /// The most bytes of a user agent (BIP 14, as Bitcoin Core bounds it).
    private static let maximumUserAgentLength = 256

    /// Puts a driver together.
    func driver(
        _ name: String,
        _ schema: Schema,
        ownNode: String
    ) throws(ConfigurationError) -> DaemonConfiguration.Driver {
        let table = Schema.drivers.appending(name)
        let start = table.appending("start")
        if let word = self.text(start), !DriverOrigin.words.contains(word) {
            throw self.notAmong(DriverOrigin.words, start, word)
        }
        let origin = schema.origins[name] ?? .external
        let program = try self.program(origin, table.appending("program"))
        let settings: [String: DaemonConfiguration.DriverSetting] =
            switch origin.kind {
            case .bitcoin: try self.bitcoinSettings(table, ownNode: name == "bitcoin" ? ownNode : nil)
            case .lightning: try self.lightningSettings(table)
            case .libp2p: try self.libp2pSettings(table)
            case .punch: try self.punchSettings(table)
            case .other: self.freeSettings(table.appending("settings"), schema)
            }
        return DaemonConfiguration.Driver(
            name: name,
            program: program,
            isEnabled: self.flag(table.appending("enabled")) ?? true,
            traffic: try self.traffic(table.appending("traffic")),
            messagesPerSecond: try self.number(
                table.appending("messages_per_second"),
                default: DaemonConfiguration.Driver.defaultMessagesPerSecond,
                in: Self.messagesPerSecondRange
            ),
            bytesPerSecond: try self.number(
                table.appending("bytes_per_second"),
                default: DaemonConfiguration.Driver.defaultBytesPerSecond,
                in: Self.bytesPerSecondRange
            ),
            settings: settings
        )
    }

    /// The program to start.
    private func program(_ origin: DriverOrigin, _ path: SettingPath) throws(ConfigurationError) -> String? {
        switch origin {
        case .program(""): throw self.invalid(path, "must not be empty")
        case .program(let program): return program.contains("/") ? try self.absolute(program, path) : program
        case .external:
            guard self.text(path) == nil else {
                throw self.invalid(path, "must not be there when something else starts the driver")
            }
            return nil
        }
    }

    private func traffic(_ path: SettingPath) throws(ConfigurationError) -> Set<ObjectKind>? {
        guard let names = self.texts(path) else { return nil }
        let all = ObjectKind.allCases.map(\.rawValue)
        guard !names.isEmpty else {
            throw self.invalid(path, "must name a kind of object; `enabled = false` stops a driver")
        }
        var kinds: Set<ObjectKind> = []
        for name in names {
            guard let kind = ObjectKind(rawValue: name) else { throw self.notAmong(all, path, name) }
            kinds.insert(kind)
        }
        return kinds.count == all.count ? nil : kinds
    }

    // MARK: - The drivers of ours

    private func bitcoinSettings(
        _ table: SettingPath,
        ownNode: String?
    ) throws(ConfigurationError) -> [String: DaemonConfiguration.DriverSetting] {
        var settings = try self.streamSettings(table) { HostAndPort.isValid($0) ? nil : "host:port" }
        // A proxy is there to reach others, and does not reach this machine.
        if let ownNode, self.texts(table.appending("connect")) == nil, settings["proxy"] == nil {
            settings["connect"] = .texts([ownNode])
        }
        if let serves = self.flag(table.appending("serve_blocks")) { settings["serve_blocks"] = .flag(serves) }
        let path = table.appending("user_agent")
        if let text = self.text(path) {
            guard text.utf8.count <= Self.maximumUserAgentLength, text.utf8.allSatisfy({ (0x20...0x7e).contains($0) })
            else {
                throw self.invalid(path, "must be at most \(Self.maximumUserAgentLength) printable ASCII characters")
            }
            settings["user_agent"] = .text(text)
        }
        return settings
    }

    private func lightningSettings(
        _ table: SettingPath
    ) throws(ConfigurationError) -> [String: DaemonConfiguration.DriverSetting] {
        var settings = try self.streamSettings(table) {
            Self.isLightningPeer($0) || Self.isLightningKey($0) || Self.isLightningRoute($0)
                ? nil : "pubkey@host:port, pubkey, directed:pubkey/pubkey or onion:pubkey/pubkey"
        }
        if let file = try self.filePath(table.appending("key_file")) { settings["key_file"] = .text(file) }
        if let messages = self.flag(table.appending("messages")) { settings["messages"] = .flag(messages) }
        let lnd = table.appending("lnd")
        if let address = self.text(lnd) {
            guard HostAndPort.isValid(address) else { throw self.notOfForm("host:port", lnd, address) }
            settings["lnd"] = .text(address)
        }
        for key in ["lnd_certificate", "lnd_macaroon"] {
            if let file = try self.filePath(table.appending(key)) { settings[key] = .text(file) }
        }
        for name in ["announce", "announce_bitcoin"] {
            // The driver says what is wrong with a single one.
            if let texts = self.texts(table.appending(name)), !texts.isEmpty { settings[name] = .texts(texts) }
        }
        let services = table.appending("announce_bitcoin_services")
        if self.number(services) != nil {
            settings["announce_bitcoin_services"] = .number(try self.number(services, default: 0, in: 0...Int.max))
        }
        if let stages = try self.dialStages(table) { settings["dial"] = .texts(stages) }
        let rate = table.appending("message_rate")
        if self.number(rate) != nil {
            settings["message_rate"] = .number(try self.number(rate, default: 1, in: 1...1000))
        }
        return try settings.merging(self.alternativeSettings(table)) { $1 }
    }

    /// The stages of a driver's dial policy, if it has one of its own.
    private func dialStages(_ table: SettingPath) throws(ConfigurationError) -> [String]? {
        let dial = table.appending("dial")
        guard let stages = self.texts(dial), !stages.isEmpty else { return nil }
        do throws(DialPolicyError) {
            _ = try DialPolicy(setting: stages)
        } catch {
            throw self.invalid(dial, error.description)
        }
        return stages
    }

    private func libp2pSettings(
        _ table: SettingPath
    ) throws(ConfigurationError) -> [String: DaemonConfiguration.DriverSetting] {
        var settings: [String: DaemonConfiguration.DriverSetting] = [:]
        for name in ["connect", "listen", "announce"] {
            let path = table.appending(name)
            guard let texts = self.texts(path), !texts.isEmpty else { continue }
            for text in texts {
                let address: Multiaddress
                do throws(MultiaddressError) {
                    address = try Multiaddress(text: text)
                } catch {
                    throw self.invalid(path, "has \(Readable.quoted(text)): \(error)")
                }
                guard name != "connect" || address.peerID != nil else {
                    throw self.invalid(path, "must end with /p2p/ and a peer id, unlike \(Readable.quoted(text))")
                }
            }
            settings[name] = .texts(texts)
        }
        let proxy = table.appending("proxy")
        if let address = self.text(proxy) {
            guard HostAndPort.isValid(address) else { throw self.notOfForm("host:port", proxy, address) }
            settings["proxy"] = .text(address)
        }
        if let file = try self.filePath(table.appending("key_file")) { settings["key_file"] = .text(file) }
        if let stages = try self.dialStages(table) { settings["dial"] = .texts(stages) }
        let dht = table.appending("dht")
        if let mode = self.text(dht) {
            let modes = ["client", "server", "off"]
            guard modes.contains(mode) else { throw self.notAmong(modes, dht, mode) }
            settings["dht"] = .text(mode)
        }
        let name = table.appending("dht_protocol")
        if let text = self.text(name) {
            guard text.hasPrefix("/"), text.utf8.count <= 100, text.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
            else { throw self.invalid(name, "must begin with / and have at most 100 printable characters") }
            settings["dht_protocol"] = .text(text)
        }
        let foreign = table.appending("loopback_is_foreign")
        if let isForeign = self.flag(foreign) { settings["loopback_is_foreign"] = .flag(isForeign) }
        return settings
    }

    /// Tor's control port and its password, for drivers that have onion services.
    func takeTorControl(
        _ table: SettingPath, _ settings: inout [String: DaemonConfiguration.DriverSetting]
    ) throws(ConfigurationError) {
        let control = table.appending("tor_control")
        if let text = self.text(control) {
            guard text.hasPrefix("unix:/") || HostAndPort.isValid(text) else {
                throw self.notOfForm("host:port or unix:/path", control, text)
            }
            settings["tor_control"] = .text(text)
        }
        if let file = try self.filePath(table.appending("tor_control_password_file")) {
            settings["tor_control_password_file"] = .text(file)
        }
    }

    /// The settings of alternative addresses. No sentence shows an address: it would end up in a log.
    private func alternativeSettings(
        _ table: SettingPath
    ) throws(ConfigurationError) -> [String: DaemonConfiguration.DriverSetting] {
        var settings: [String: DaemonConfiguration.DriverSetting] = [:]
        let peers = table.appending("alt_addr_peers")
        if let texts = self.texts(peers), !texts.isEmpty {
            for text in texts where !Self.isPeerWithChannel(text) {
                throw self.notOfForm("pubkey or pubkey@channel_id", peers, text)
            }
            settings["alt_addr_peers"] = .texts(texts)
        }
        for name in ["alt_listen", "alt_announce"] {
            let path = table.appending(name)
            guard let texts = self.texts(path), !texts.isEmpty else { continue }
            for (index, text) in texts.enumerated()
            where !HostAndPort.isValidRange(text, mayBeAnyPort: name == "alt_listen") {
                throw self.invalid(path, "must have the form host:port or host:port-port in entry \(index + 1)")
            }
            settings[name] = .texts(texts)
        }
        try self.takeTorControl(table, &settings)
        for name in ["alt_addr_private", "alt_addr_log"] {
            if let flag = self.flag(table.appending(name)) { settings[name] = .flag(flag) }
        }
        return settings
    }

    /// Whether a text is a node's public key in hexadecimal, perhaps with an `@` and the identity of a channel.
    private static func isPeerWithChannel(_ text: String) -> Bool {
        let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        guard let key = Hex.decode(parts[0]), key.count == 33, key[0] == 2 || key[0] == 3 else { return false }
        guard parts.count == 2 else { return true }
        return Hex.decode(parts[1]).map { $0.count == 32 && $0.contains { $0 != 0 } } ?? false
    }

    /// `connect`, `listen`, `proxy` and `serve_only`, which both drivers of ours have.
    ///
    /// - Parameter form: What a remote must look like when it does not.
    private func streamSettings(
        _ table: SettingPath,
        form: (String) -> String?
    ) throws(ConfigurationError) -> [String: DaemonConfiguration.DriverSetting] {
        var settings: [String: DaemonConfiguration.DriverSetting] = [:]
        let connect = table.appending("connect")
        if let remotes = self.texts(connect) {
            for remote in remotes {
                if let form = form(remote) { throw self.notOfForm(form, connect, remote) }
            }
            if !remotes.isEmpty { settings["connect"] = .texts(remotes) }
        }
        let listen = table.appending("listen")
        if let addresses = self.texts(listen) {
            for address in addresses where !HostAndPort.isValid(address, mayBeAnyPort: true) {
                throw self.notOfForm("host:port", listen, address)
            }
            if !addresses.isEmpty { settings["listen"] = .texts(addresses) }
        }
        let proxy = table.appending("proxy")
        if let address = self.text(proxy) {
            guard HostAndPort.isValid(address) else { throw self.notOfForm("host:port", proxy, address) }
            settings["proxy"] = .text(address)
        }
        if let isServing = self.flag(table.appending("serve_only")) { settings["serve_only"] = .flag(isServing) }
        return settings
    }

    func notOfForm(_ form: String, _ path: SettingPath, _ text: String) -> ConfigurationError {
        self.invalid(path, "must have the form \(form), unlike \(Readable.quoted(text))")
    }

    /// Whether a text is a node's public key in hexadecimal, an `@` and an address.
    private static func isLightningPeer(_ text: String) -> Bool {
        let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        return parts.count == 2 && Self.isLightningKey(parts[0]) && HostAndPort.isValid(String(parts[1]))
    }

    /// Whether a text can be a node's public key in hexadecimal.
    private static func isLightningKey(_ text: some StringProtocol) -> Bool {
        guard let key = Hex.decode(text) else { return false }
        return key.count == 33 && (key[0] == 2 || key[0] == 3)
    }

    /// Whether a text names nodes in a row, for messages that they pass on; the driver checks the keys.
    private static func isLightningRoute(_ text: String) -> Bool {
        guard let prefix = ["directed:", "onion:"].first(where: text.hasPrefix) else { return false }
        return text.dropFirst(prefix.count).split(separator: "/", omittingEmptySubsequences: false).allSatisfy(
            Self.isLightningKey)
    }

    // MARK: - The drivers of others

    private func freeSettings(_ table: SettingPath, _ schema: Schema) -> [String: DaemonConfiguration.DriverSetting] {
        var settings: [String: DaemonConfiguration.DriverSetting] = [:]
        for path in schema.freeKeys(in: table) {
            let setting: DaemonConfiguration.DriverSetting? =
                switch schema.kind(of: path) {
                case .text: self.text(path).map { .text($0) }
                case .texts: self.texts(path).map { .texts($0) }
                case .number: self.number(path).map { .number($0) }
                case .flag: self.flag(path).map { .flag($0) }
                case .real, nil: nil
                }
            settings[path.name] = setting
        }
        return settings
    }
}

/// The form of network addresses. Whether a name resolves is the driver's business.
enum HostAndPort {
    /// The longest domain name (RFC 1035, section 2.3.4).
    private static let maximumHostLength = 253

    /// Whether a text is `host:port` or `host:first-last`.
    static func isValidRange(_ text: String, mayBeAnyPort: Bool) -> Bool {
        guard let colon = text.lastIndex(of: ":"), let hyphen = text[colon...].firstIndex(of: "-") else {
            return Self.isValid(text, mayBeAnyPort: mayBeAnyPort)
        }
        let last = text[text.index(after: hyphen)...]
        guard let first = UInt16(text[text.index(after: colon)..<hyphen]), let last = UInt16(last) else { return false }
        return first <= last && Self.isValid(String(text[..<hyphen]))
    }

    /// Whether a text is `host:port` or `[ipv6]:port`. Port 0 stands for any that is free.
    static func isValid(_ text: String, mayBeAnyPort: Bool = false) -> Bool {
        guard let colon = text.lastIndex(of: ":") else { return false }
        var host = text[..<colon]
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]") && host.count > 2
        if isBracketed { host = host.dropFirst().dropLast() }
        let digits = text[text.index(after: colon)...]
        guard (1...5).contains(digits.utf8.count), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let port = UInt16(digits), mayBeAnyPort || port > 0
        else { return false }
        return !host.isEmpty && host.utf8.count <= Self.maximumHostLength
            && host.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                // IPv6, and the zone of a link-local address.
                case UInt8(ascii: ":"), UInt8(ascii: "%"): isBracketed
                default: false
                }
            }
            && isBracketed == host.contains(":")
    }
}
