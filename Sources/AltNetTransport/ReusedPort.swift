// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import Glibc

/// A local TCP port that several connections and a listener of ours share, by `SO_REUSEADDR` and `SO_REUSEPORT`.
///
/// Behind a NAT that maps endpoint-independently (RFC 4787, section 4.1), all of them have the same outside address and
/// port. The port is held as long as this value lives, also while no connection uses it: the system gives it to nobody
/// else, and connections that ended before do not stand in the way.
public final class ReusedPort: Sendable {
    /// The local address, with the port that the system chose for port 0.
    public let address: HostAndPort
    let endpoint: SocketEndpoint
    private let holder: Int32

    /// Reserves a port.
    ///
    /// - Parameter local: numeric; `0.0.0.0` or `::` for the address that the way to each remote asks for, port 0 for
    ///   one that the system chooses.
    public init(_ local: HostAndPort) throws(SocketFailure) {
        guard let wanted = SocketEndpoint(local) else {
            throw SocketFailure("binding to \(local), which is not an IP address,", code: 0)
        }
        let socket = try OwnedSocket.sharing(wanted)
        guard let bound = socket.local else { throw SocketFailure("learn the port of a socket") }
        self.endpoint = bound
        self.address = bound.text
        self.holder = socket.release()
    }

    deinit {
        _ = OwnedSocket(adopting: self.holder)
    }

    public var port: UInt16 { self.endpoint.port }
}
