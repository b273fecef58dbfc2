// SPDX-License-Identifier: MIT

internal import AltNetBase

/// The search for a router's UPnP (UPnP Device Architecture 2.0, section 1.3).
enum SSDP {
    static let group: [UInt8] = [239, 255, 255, 250]
    static let port: UInt16 = 1900
    /// The largest datagram that is read.
    static let maximumSize = 2_048
    /// What is searched for: the devices of both versions, and the service itself for routers that announce no more.
    static let targets = [
        "urn:schemas-upnp-org:device:InternetGatewayDevice:2", "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
        "urn:schemas-upnp-org:service:WANIPConnection:1",
    ]

    /// The searches, one for each target. Answers are spread over one second.
    static var searches: [[UInt8]] {
        self.targets.map { target in
            Array(
                ("M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\n"
                    + "ST: \(target)\r\n\r\n").utf8)
        }
    }

    /// Reads an answer; `nil` for what answers something else.
    ///
    /// - Throws: ``PortMappingError/elsewhere(_:)`` when the description is not on the router itself.
    static func location(_ datagram: [UInt8], gateway: [UInt8]) throws(PortMappingError) -> GatewayURL? {
        guard datagram.count <= Self.maximumSize else { return nil }
        guard let (status, fields) = try? HTTPReply.head(datagram[...]), status == 200, let target = fields["st"],
            Self.targets.contains(target), let location = fields["location"]
        else { return nil }
        return try GatewayURL(location, gateway: gateway)
    }
}

/// An address on the router: no name, no other machine, no encryption, as UPnP has it.
struct GatewayURL: Hashable, Sendable {
    /// The longest path.
    static let maximumPath = 1_024

    /// The router's: four bytes.
    let address: [UInt8]
    let port: UInt16
    /// From the first slash on.
    let path: String

    /// Reads a whole URL.
    init(_ text: String, gateway: [UInt8]) throws(PortMappingError) {
        guard text.lowercased().hasPrefix("http://") else { throw .elsewhere(UntrustedText(text)) }
        let rest = text.dropFirst(7)
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        let parts = authority.split(separator: ":", omittingEmptySubsequences: false)
        guard let host = parts.first, IPAddressText.ipv4(host) == gateway else {
            throw .elsewhere(UntrustedText(text))
        }
        let port: UInt16
        switch parts.count {
        case 1: port = 80
        case 2:
            guard let number = UInt16(parts[1]), number > 0 else { throw .malformed(.upnp, "a URL's port is none") }
            port = number
        default: throw .malformed(.upnp, "a URL has too many colons")
        }
        let path = rest.dropFirst(authority.count)
        try self.init(gateway: gateway, port: port, path: path.hasPrefix("/") ? String(path) : "/\(path)")
    }

    /// Reads a reference, which may be relative to this URL (RFC 3986, section 5.2, without `..`).
    func resolve(_ reference: String) throws(PortMappingError) -> GatewayURL {
        if reference.contains("://") { return try GatewayURL(reference, gateway: self.address) }
        guard !reference.hasPrefix("//") else { throw .elsewhere(UntrustedText(reference)) }
        if reference.hasPrefix("/") {
            return try GatewayURL(gateway: self.address, port: self.port, path: reference)
        }
        let folder = self.path.lastIndex(of: "/").map { String(self.path[...$0]) } ?? "/"
        return try GatewayURL(gateway: self.address, port: self.port, path: folder + reference)
    }

    private init(gateway: [UInt8], port: UInt16, path: String) throws(PortMappingError) {
        guard path.utf8.count <= Self.maximumPath, path.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw .malformed(.upnp, "a URL's path is too long, or has other characters than printable ones")
        }
        self.address = gateway
        self.port = port
        self.path = path
    }

    var authority: String { "\(IPAddressText.text(ipv4: self.address)):\(self.port)" }

    /// Asks for a document.
    var get: [UInt8] {
        Array(
            "GET \(self.path) HTTP/1.1\r\nHost: \(self.authority)\r\nConnection: close\r\nAccept: text/xml\r\n\r\n".utf8
        )
    }
}
