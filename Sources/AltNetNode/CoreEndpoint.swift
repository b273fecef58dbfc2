// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetBitcoin
internal import Glibc

/// Where Bitcoin Core answers JSON-RPC.
public struct CoreEndpoint: Hashable, Sendable, CustomStringConvertible {
    /// `http://host:port`, without a path.
    public let url: String
    /// The host without the brackets of an IPv6 address.
    let host: String

    /// The longest domain name (RFC 1035, section 2.3.4).
    static let maximumHostLength = 253

    /// The network's default port on loopback.
    public init(network: Network) {
        self.host = "127.0.0.1"
        self.url = "http://127.0.0.1:\(network.coreRPCPort)"
    }

    /// Reads `http://host[:port]` or `https://host[:port]`.
    ///
    /// A path is refused: the only paths that Core knows name wallets, and wallets are none of our business. Plain HTTP
    /// to another machine is refused unless `allowRemote`, because the password would cross the network for all to see.
    public init(url text: String, network: Network, allowRemote: Bool) throws(NodeError) {
        let name = UntrustedText(text).description
        let scheme: String
        if text.hasPrefix("http://") {
            scheme = "http"
        } else if text.hasPrefix("https://") {
            scheme = "https"
        } else {
            throw .refused("\(name) is no address of a node; write http://HOST:PORT")
        }
        var rest = text.dropFirst(scheme.count + 3)
        if rest.hasSuffix("/") { rest.removeLast() }
        guard !rest.contains("/") else {
            throw .refused("\(name) has a path; wallets are never used, so write \(scheme)://HOST:PORT alone")
        }
        guard !rest.contains("@") else {
            throw .refused("the node's address holds a user or password; set them as user and password instead")
        }
        guard let (host, port) = Self.parse(rest, defaultPort: network.coreRPCPort) else {
            throw .refused("\(name) is no address of a node; write \(scheme)://HOST:PORT")
        }
        guard scheme == "https" || allowRemote || Self.isLoopback(host) else {
            throw .refused(
                "\(name) is on another machine, and the password would travel there unencrypted; "
                    + "set allow_remote if the network between is yours alone, or use https")
        }
        self.host = host
        self.url = host.contains(":") ? "\(scheme)://[\(host)]:\(port)" : "\(scheme)://\(host):\(port)"
    }

    public var description: String { self.url }

    /// Whether a host written as text is this machine: `localhost`, 127.0.0.0/8 or ::1.
    static func isLoopback(_ host: String) -> Bool {
        if host == "localhost" { return true }
        var v6 = in6_addr()
        if inet_pton(AF_INET6, host, &v6) == 1 {
            return withUnsafeBytes(of: v6) { $0.dropLast().allSatisfy { $0 == 0 } && $0.last == 1 }
        }
        var v4 = in_addr()
        return inet_pton(AF_INET, host, &v4) == 1 && UInt32(bigEndian: v4.s_addr) >> 24 == 127
    }

    /// Takes `host`, `host:port` or `[ipv6]:port` apart; `nil` for anything else.
    static func parse(_ text: Substring, defaultPort: UInt16) -> (host: String, port: UInt16)? {
        let host: Substring
        let rest: Substring
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return nil }
            host = text[text.index(after: text.startIndex)..<end]
            rest = text[text.index(after: end)...]
            var address = in6_addr()
            guard inet_pton(AF_INET6, String(host), &address) == 1 else { return nil }
        } else {
            let colon = text.firstIndex(of: ":") ?? text.endIndex
            host = text[..<colon]
            rest = text[colon...]
            guard host.utf8.allSatisfy(Self.isHostCharacter) else { return nil }
        }
        guard !host.isEmpty, host.utf8.count <= Self.maximumHostLength else { return nil }
        if rest.isEmpty { return (String(host), defaultPort) }
        guard rest.hasPrefix(":"), let port = UInt16(rest.dropFirst()), port > 0 else { return nil }
        return (String(host), port)
    }

    private static func isHostCharacter(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}

extension Network {
    /// The port on which Bitcoin Core answers JSON-RPC unless told otherwise.
    var coreRPCPort: UInt16 {
        switch self {
        case .main: 8332
        case .testnet3: 18332
        case .testnet4: 48332
        case .signet: 38332
        case .regtest: 18443
        }
    }

    /// What `getblockchaininfo` calls the network.
    var coreChainName: String {
        switch self {
        case .main: "main"
        case .testnet3: "test"
        case .testnet4: "testnet4"
        case .signet: "signet"
        case .regtest: "regtest"
        }
    }

    /// Where Bitcoin Core writes its cookie file unless told otherwise, below the data directory.
    var coreCookieFile: String {
        switch self {
        case .main: ".cookie"
        case .testnet3: "testnet3/.cookie"
        case .testnet4, .signet, .regtest: "\(self.rawValue)/.cookie"
        }
    }
}
