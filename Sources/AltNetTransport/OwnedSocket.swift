// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import Glibc

/// Why the system refused something that was wanted of a socket.
public struct SocketFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was wanted, such as "bind to 0.0.0.0:8333".
    public let purpose: String
    /// The system's number for the reason; 0 where it has none.
    public let code: Int32

    init(_ purpose: String, code: Int32 = errno) {
        self.purpose = purpose
        self.code = code
    }

    public var description: String {
        self.code == 0
            ? "\(self.purpose) is not possible" : "cannot \(self.purpose): \(String(cString: strerror(self.code)))"
    }
}

/// An IP address and a port in the form that the socket interface takes.
struct SocketEndpoint: Hashable, Sendable {
    /// 4 or 16 bytes.
    let address: [UInt8]
    let port: UInt16

    /// `nil` when the host is not the text of an IP address.
    init?(_ text: HostAndPort) {
        guard let address = IPAddressText.ipv4(text.host) ?? IPAddressText.ipv6(text.host) else { return nil }
        self.address = address
        self.port = text.port
    }

    /// Reads what the system fills in; `nil` when it fails or the address is of another family.
    init?(_ fill: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { fill($0, &length) }
        }
        guard result >= 0 else { return nil }
        self.init(storage)
    }

    init?(_ storage: sockaddr_storage) {
        let bytes = withUnsafeBytes(of: storage) { Array($0) }
        // The port stands at the same place in both families, in network order.
        self.port = UInt16(bytes[2]) << 8 | UInt16(bytes[3])
        switch Int32(storage.ss_family) {
        case AF_INET: self.address = Array(bytes[4..<8])
        case AF_INET6: self.address = Array(bytes[8..<24])
        default: return nil
        }
    }

    var family: Int32 { self.address.count == 4 ? AF_INET : AF_INET6 }

    var text: HostAndPort {
        HostAndPort(
            host: self.address.count == 4
                ? IPAddressText.text(ipv4: self.address) : IPAddressText.text(ipv6: self.address),
            port: self.port)
    }

    func withSocketAddress<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var storage = sockaddr_storage()
        storage.ss_family = sa_family_t(self.family)
        withUnsafeMutableBytes(of: &storage) { bytes in
            bytes[2] = UInt8(self.port >> 8)
            bytes[3] = UInt8(self.port & 0xff)
            bytes[(self.family == AF_INET ? 4 : 8)...].copyBytes(from: self.address)
        }
        let length = self.family == AF_INET ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size
        return withUnsafePointer(to: storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(length)) }
        }
    }
}

/// A TCP socket that is closed when nobody has it any more: no way out of a function leaks it.
struct OwnedSocket: ~Copyable {
    let descriptor: Int32

    /// Takes over a descriptor.
    init(adopting descriptor: Int32) {
        self.descriptor = descriptor
    }

    /// A socket that does not block, bound to an address that other sockets may be bound to beside it.
    static func sharing(_ local: SocketEndpoint) throws(SocketFailure) -> OwnedSocket {
        let descriptor = socket(
            local.family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw SocketFailure("open a socket") }
        let socket = OwnedSocket(adopting: descriptor)
        // Both: SO_REUSEPORT lets several sockets of ours be bound and even listen at once, SO_REUSEADDR lets that
        // happen beside connections of the past that are in TIME_WAIT.
        try socket.set(SOL_SOCKET, SO_REUSEADDR, 1)
        try socket.set(SOL_SOCKET, SO_REUSEPORT, 1)
        if local.family == AF_INET6 { try socket.set(Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
        guard local.withSocketAddress({ bind(descriptor, $0, $1) }) == 0 else {
            throw SocketFailure("bind to \(local.text)")
        }
        return socket
    }

    deinit {
        _ = Glibc.close(self.descriptor)
    }

    /// Gives the descriptor away, and with it the duty to close it.
    consuming func release() -> Int32 {
        let descriptor = self.descriptor
        discard self
        return descriptor
    }

    func set(_ level: Int32, _ option: Int32, _ value: Int32) throws(SocketFailure) {
        var value = value
        let size = socklen_t(MemoryLayout<Int32>.size)
        guard setsockopt(self.descriptor, level, option, &value, size) == 0 else {
            throw SocketFailure("set option \(option) of a socket")
        }
    }

    /// Makes the end of the connection a reset.
    func resetOnClose() {
        var value = linger(l_onoff: 1, l_linger: 0)
        setsockopt(self.descriptor, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
    }

    /// Our end.
    var local: SocketEndpoint? {
        let descriptor = self.descriptor
        return SocketEndpoint { getsockname(descriptor, $0, $1) }
    }

    /// The other end; `nil` when it is gone already.
    var remote: SocketEndpoint? {
        let descriptor = self.descriptor
        return SocketEndpoint { getpeername(descriptor, $0, $1) }
    }

    /// What became of an attempt to connect; 0 when it stands.
    var pendingError: Int32 {
        var value: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(self.descriptor, SOL_SOCKET, SO_ERROR, &value, &size) == 0 ? value : errno
    }

    /// How many segments were sent again so far: of a socket that never stood, SYNs.
    var retransmissions: Int {
        var info = tcp_info()
        var size = socklen_t(MemoryLayout<tcp_info>.size)
        guard getsockopt(self.descriptor, Int32(IPPROTO_TCP), TCP_INFO, &info, &size) == 0 else { return 0 }
        return Int(info.tcpi_total_retrans)
    }
}
