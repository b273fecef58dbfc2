// SPDX-License-Identifier: MIT

internal import AltNetConfiguration
internal import AltNetDriverProtocol
internal import AltNetObjects
internal import AltNetTransport
internal import NIOCore

// Ports for one connection of the node over one link: a punched connection is one stream, and the node's.
extension Splicer {
    /// The name under which such connections are reported; no port of the configuration can have it.
    static let lentName = "(punched)"
    /// How long the node may take to connect after it was told to.
    private static let patience: Duration = .seconds(30)
    /// The most ports that wait for the node at once: more connections than these are not punched in so short a time.
    private static let maximumLent = 8
    private static let loopback = HostAndPort(host: "127.0.0.1", port: 0)

    /// Opens a loopback port whose first connection travels over a link; it closes after that, or when nobody comes.
    ///
    /// - Throws: when the link takes no streams, when too many ports wait, or what the system says.
    func lend(_ link: DriverLink, of driver: String) async throws -> HostAndPort {
        let key = LinkKey(driver: driver, number: link)
        guard self.links[key]?.description.peer.takesStreams == true else {
            throw LendingError("the connection carries no streams")
        }
        guard self.lent.count < Self.maximumLent else {
            throw LendingError("\(Self.maximumLent) connections wait for the node already")
        }
        if self.ports[Self.lentName] == nil {
            self.addPort(DaemonConfiguration.Splice.Port(name: Self.lentName, listen: "", driver: driver))
        }
        let listener = try await SpliceSockets.listen(at: Self.loopback) { connection in
            Task { await self.take(connection, over: key) }
        }
        guard let port = listener.localAddress?.port.flatMap(UInt16.init(exactly:)), self.lent[key] == nil else {
            try? await listener.close()
            throw LendingError("no port could be opened")
        }
        self.lent[key] = listener
        Task {
            try? await Task.sleep(for: Self.patience)
            self.withdraw(key, listener)
        }
        return HostAndPort(host: Self.loopback.host, port: port)
    }

    private func take(_ connection: SpliceConnection, over link: LinkKey) {
        guard let listener = self.lent.removeValue(forKey: link) else { return connection.drop() }
        Task { try? await listener.close() }
        self.open(connection, over: link, at: Self.lentName)
    }

    private func withdraw(_ link: LinkKey, _ listener: any Channel) {
        guard self.lent[link] === listener else { return }
        self.lent[link] = nil
        Task { try? await listener.close() }
    }
}

/// Why a link cannot be given to the node, in one sentence.
struct LendingError: Error, Hashable, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
