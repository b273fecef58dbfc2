// SPDX-License-Identifier: MIT

import AltNetTestKit
import Dispatch
import Glibc

/// A blocking TCP socket on loopback: what a node's socket is to the splicer.
final class LoopbackSocket: Sendable {
    /// Nothing here takes longer than this, unless it hangs.
    private static let patience = timeval(tv_sec: 60, tv_usec: 0)

    let descriptor: Int32

    private init(descriptor: Int32) throws {
        guard descriptor >= 0 else { throw Condition.Failure("socket: \(String(cString: strerror(errno)))") }
        self.descriptor = descriptor
        var patience = Self.patience
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &patience, socklen_t(MemoryLayout<timeval>.size))
        }
    }

    deinit { Glibc.close(self.descriptor) }

    static func listening() throws -> LoopbackSocket {
        let socket = try LoopbackSocket(descriptor: Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
        guard Self.withAddress(port: 0, { bind(socket.descriptor, $0, $1) }) == 0, listen(socket.descriptor, 64) == 0
        else { throw Condition.Failure("listen: \(String(cString: strerror(errno)))") }
        return socket
    }

    static func connected(to address: String) throws -> LoopbackSocket {
        let socket = try LoopbackSocket(descriptor: Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
        guard let port = address.split(separator: ":").last.flatMap({ UInt16($0) }),
            Self.withAddress(port: port, { connect(socket.descriptor, $0, $1) }) == 0
        else { throw Condition.Failure("connect to \(address): \(String(cString: strerror(errno)))") }
        return socket
    }

    /// `127.0.0.1:port` of a listening socket.
    var address: String {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(self.descriptor, $0, &length) }
        }
        return "127.0.0.1:\(UInt16(bigEndian: address.sin_port))"
    }

    func accept() async throws -> LoopbackSocket {
        try await Self.blocking { try LoopbackSocket(descriptor: Glibc.accept(self.descriptor, nil, nil)) }
    }

    /// Writes a number of ``Pattern`` blocks, beginning with the first.
    func send(_ pattern: Pattern, blocks: Int) async throws {
        try await Self.blocking {
            for index in 0..<blocks {
                var rest = pattern.block(index)[...]
                while !rest.isEmpty {
                    let count = rest.withUnsafeBytes {
                        Glibc.send(self.descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                    }
                    guard count > 0 else { throw Condition.Failure("send: \(String(cString: strerror(errno)))") }
                    rest = rest.dropFirst(count)
                }
            }
        }
    }

    /// Writes as much as goes without waiting longer than a second; how many bytes.
    func sendUntilStuck(_ pattern: Pattern) async throws -> Int {
        try await Self.blocking {
            var patience = timeval(tv_sec: 1, tv_usec: 0)
            setsockopt(self.descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
            var sent = 0
            while true {
                let block = pattern.block(sent / Pattern.blockSize)
                let rest = block[(sent % Pattern.blockSize)...]
                let count = rest.withUnsafeBytes {
                    Glibc.send(self.descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard count > 0 else { return sent }
                sent += count
            }
        }
    }

    /// Reads to the end; how many bytes came, and whether they are those of the pattern.
    func receive(_ pattern: Pattern, atMost limit: Int = .max) async throws -> (count: Int, isRight: Bool) {
        try await Self.blocking {
            var buffer = [UInt8](repeating: 0, count: Pattern.blockSize)
            var (count, isRight) = (0, true)
            while count < limit {
                let start = count % Pattern.blockSize
                let wanted = min(Pattern.blockSize - start, limit - count)
                let got = recv(self.descriptor, &buffer, wanted, 0)
                guard got > 0 else {
                    if got < 0 { throw Condition.Failure("recv: \(String(cString: strerror(errno)))") }
                    break
                }
                let expected = pattern.block(count / Pattern.blockSize)
                isRight =
                    isRight
                    && expected.withUnsafeBytes { bytes in
                        bytes.baseAddress.map { memcmp($0 + start, buffer, got) == 0 } ?? false
                    }
                count += got
            }
            return (count, isRight)
        }
    }

    /// Waits until the other side has closed, in order or not; whatever comes before is dropped.
    func ends() async throws {
        try await Self.blocking {
            var buffer = [UInt8](repeating: 0, count: Pattern.blockSize)
            while true {
                let got = recv(self.descriptor, &buffer, buffer.count, 0)
                if got == 0 || (got < 0 && errno == ECONNRESET) { return }
                guard got > 0 else { throw Condition.Failure("recv: \(String(cString: strerror(errno)))") }
            }
        }
    }

    /// Says that nothing more comes.
    func endOutput() { shutdown(self.descriptor, Int32(SHUT_WR)) }

    /// Off the threads of Swift's pool, which there are only as many of as processors.
    private static func blocking<Result: Sendable>(
        _ body: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(with: Swift.Result { try body() }) }
        }
    }

    private static func withAddress(port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        return withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
    }
}

/// An endless series of bytes in which every block differs from all others, cheap to make and to check.
struct Pattern: Sendable {
    static let blockSize = 65_536

    private let base: [UInt8]

    init(seed: UInt8) {
        var state = UInt32(seed) &* 2_654_435_761 | 1
        self.base = (0..<Self.blockSize).map { _ in
            state = state &* 1_664_525 &+ 1_013_904_223
            return UInt8(state >> 24)
        }
    }

    func block(_ index: Int) -> [UInt8] {
        var block = self.base
        withUnsafeBytes(of: UInt64(index).bigEndian) { block.replaceSubrange(0..<8, with: $0) }
        return block
    }
}
