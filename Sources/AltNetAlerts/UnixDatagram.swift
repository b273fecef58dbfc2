// SPDX-License-Identifier: MIT

internal import Glibc

/// One datagram to a Unix socket: what systemd's services take.
public enum UnixDatagram {
    /// Why nothing was sent: an `errno`.
    public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        public let code: Int32

        public var description: String { String(cString: strerror(self.code)) }

        /// Whether nobody listens there.
        public var isAbsent: Bool { [ENOENT, ECONNREFUSED, ENOTDIR].contains(self.code) }
    }

    /// Sends without waiting: a reader that is behind is an `EAGAIN`.
    ///
    /// - Parameter path: a path, or `@` and a name in the abstract namespace (`unix(7)`).
    public static func send(_ bytes: [UInt8], to path: String) throws(Failure) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var name = Array(path.utf8)
        let isAbstract = name.first == UInt8(ascii: "@")
        if isAbstract { name[0] = 0 }
        // A path ends with a zero byte; an abstract name does not.
        let room = MemoryLayout.size(ofValue: address.sun_path) - (isAbstract ? 0 : 1)
        guard !name.isEmpty, name.count <= room else { throw Failure(code: ENAMETOOLONG) }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        let length = MemoryLayout<sa_family_t>.size + name.count + (isAbstract ? 0 : 1)

        let descriptor = socket(
            AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw Failure(code: errno) }
        defer { close(descriptor) }
        while true {
            let sent = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                    sendto(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL), pointer, socklen_t(length))
                }
            }
            if sent == bytes.count { return }
            guard sent < 0, errno == EINTR else { throw Failure(code: sent < 0 ? errno : EMSGSIZE) }
        }
    }
}
