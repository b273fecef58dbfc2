// SPDX-License-Identifier: MIT

internal import Foundation

/// The TCP sockets of this network namespace, as proc_pid_net(5) lists them.
public struct SocketTable: Sendable {
    public struct Entry: Hashable, Sendable {
        public let localPort: UInt16
        public let remotePort: UInt16
        /// As in Linux's `tcp_states.h`.
        public let state: UInt8
        /// 0 when no process holds the socket any more.
        public let inode: UInt64

        public var isListening: Bool { self.state == 0x0A }
        public var isInTimeWait: Bool { self.state == 0x06 }
    }

    public let entries: [Entry]

    /// Reads the table of IPv4, or of IPv6.
    public static func read(ipv6: Bool = false) -> SocketTable {
        // Read to its end: it comes in pieces of a page, and `String(contentsOfFile:)` takes the first for all.
        let file = FileHandle(forReadingAtPath: ipv6 ? "/proc/self/net/tcp6" : "/proc/self/net/tcp")
        let bytes = (try? file?.readToEnd()) ?? Data()
        return SocketTable(
            entries: String(decoding: bytes, as: UTF8.self).split(separator: "\n").compactMap(Entry.init))
    }

    /// Whether somebody listens at that port, at whatever address.
    public static func isListening(_ port: UInt16, ipv6: Bool = false) -> Bool {
        Self.read(ipv6: ipv6).entries.contains { $0.isListening && $0.localPort == port }
    }
}

extension SocketTable.Entry {
    /// Number, local address and port, remote ones, state, queues, timer, retransmissions, user, timeout, inode.
    fileprivate init?(_ line: Substring) {
        let fields = line.split(separator: " ")
        guard fields.count > 9, let local = Self.port(fields[1]), let remote = Self.port(fields[2]),
            let state = UInt8(fields[3], radix: 16), let inode = UInt64(fields[9])
        else { return nil }
        (self.localPort, self.remotePort, self.state, self.inode) = (local, remote, state, inode)
    }

    private static func port(_ address: Substring) -> UInt16? {
        address.split(separator: ":").last.flatMap { UInt16($0, radix: 16) }
    }
}
