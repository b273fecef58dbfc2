// SPDX-License-Identifier: MIT

/// What the operator chooses of the control interface.
public struct WebConfiguration: Hashable, Sendable {
    /// The Unix socket of the command line.
    public var socketPath: String
    /// Where HTTP is served on loopback; `nil` to serve the Unix socket only.
    public var listen: LoopbackAddress?
    /// Where the files with the tokens are written. Only the owner may enter it.
    public var tokenDirectory: String
    /// Lets `/metrics` be read without a token, for a Prometheus that runs as another user.
    public var metricsWithoutToken: Bool

    public init(
        socketPath: String, listen: LoopbackAddress?, tokenDirectory: String, metricsWithoutToken: Bool = false
    ) {
        self.socketPath = socketPath
        self.listen = listen
        self.tokenDirectory = tokenDirectory
        self.metricsWithoutToken = metricsWithoutToken
    }
}

/// An address that only programs on this machine reach, and a port.
public struct LoopbackAddress: Hashable, Sendable, CustomStringConvertible {
    /// Why a text is no such address, in one sentence.
    public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        public let description: String
    }

    /// `127.0.0.1` (or another of 127.0.0.0/8) or `::1`.
    public let host: String
    /// 0 lets the system choose.
    public let port: UInt16

    /// Reads `127.0.0.1:9733`, `[::1]:9733` or `localhost:9733`. Any other host is refused: the interface commands the
    /// daemon, it has no TLS, and nothing but the machine's own programs is meant to reach it.
    public init(_ text: String) throws(Failure) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            throw Failure(description: "must be an address and a port such as 127.0.0.1:9733, not \(text)")
        }
        let host = text[..<colon]
        switch host {
        case "localhost": self.host = "127.0.0.1"
        case "[::1]": self.host = "::1"
        case _ where Self.isLoopback(host): self.host = String(host)
        default:
            throw Failure(
                description:
                    "\(host) is not a loopback address: HTTP is served to this machine only; "
                    + "use 127.0.0.1, and an SSH tunnel or a reverse proxy with TLS from elsewhere")
        }
        self.port = port
    }

    init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    private static func isLoopback(_ host: Substring) -> Bool {
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127"
            && parts.allSatisfy { UInt8($0) != nil && String(UInt8($0) ?? 0) == $0 }
    }

    public var description: String {
        self.host.contains(":") ? "[\(self.host)]:\(self.port)" : "\(self.host):\(self.port)"
    }

    /// The address of the dashboard.
    var url: String { "http://\(self)" }

    /// What a client may call us in `Host` and `Origin`. A page on a domain that its owner points to loopback (DNS
    /// rebinding) says that domain's name instead.
    var names: Set<String> {
        [self.description, "localhost:\(self.port)", "127.0.0.1:\(self.port)", "[::1]:\(self.port)"]
    }
}
