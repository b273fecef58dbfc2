// SPDX-License-Identifier: MIT

import AltNetBase
import Glibc
import Logging
import Testing

@testable import AltNetAlerts

/// A Unix datagram socket that keeps what it gets.
private final class DatagramReceiver: Sendable {
    private let descriptor: Int32

    init(path: String) throws {
        self.descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var name = Array(path.utf8)
        if name.first == UInt8(ascii: "@") { name[0] = 0 } else { name.append(0) }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
        let isBound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(self.descriptor, $0, length) == 0 }
        }
        guard isBound else { throw Wait.Failure(description: "cannot bind \(path)") }
    }

    deinit {
        close(self.descriptor)
    }

    /// The next datagram; `nil` when there is none. Sending on the same machine is done when the call returns.
    func next() -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 1 << 18)
        let count = recv(self.descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
        return count < 0 ? nil : Array(buffer.prefix(count))
    }
}

@Suite("The journal")
struct JournalTests {
    private let directory = TemporaryDirectory()
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// Reads journald's native protocol, written from its description alone.
    private func fields(_ bytes: [UInt8]) throws -> [String: String] {
        var fields: [String: String] = [:]
        var rest = bytes[...]
        while !rest.isEmpty {
            let end = try #require(rest.firstIndex(of: 10))
            let line = rest[rest.startIndex..<end]
            if let equals = line.firstIndex(of: UInt8(ascii: "=")) {
                fields[String(decoding: line[..<equals], as: UTF8.self)] = String(
                    decoding: line[line.index(after: equals)...], as: UTF8.self)
                rest = rest[(end + 1)...]
            } else {
                let length = rest[(end + 1)..<(end + 9)].enumerated().reduce(0) {
                    $0 + Int($1.element) << (8 * $1.offset)
                }
                fields[String(decoding: line, as: UTF8.self)] = String(
                    decoding: rest[(end + 9)..<(end + 9 + length)], as: UTF8.self)
                #expect(rest[end + 9 + length] == 10)
                rest = rest[(end + 10 + length)...]
            }
        }
        return fields
    }

    @Test("entries have fields to search by")
    func entries() async throws {
        let receiver = try DatagramReceiver(path: self.directory.path + "/journal")
        let sender = JournalSender(AlertSink.Journal(socketPath: self.directory.path + "/journal"), logger: self.logger)
        let messages = [Sample.message(), Sample.message(.closed, number: 2), Sample.message(severity: .warning)]
        #expect(await sender.deliver(AlertBatch(messages, missed: 3)) == .delivered("written"))
        let first = try self.fields(try #require(receiver.next()))
        #expect(first["MESSAGE"] == "CRITICAL: node-behind, node\nThe node is behind.")
        #expect(first["PRIORITY"] == "2")
        #expect(first["MESSAGE_ID"]?.count == 32)
        #expect(first["ALTNET_INCIDENT"] == "17")
        #expect(first["ALTNET_ALERT"] == messages[0].id)
        #expect(first["ALTNET_MISSED"] == "3")
        #expect(first["SYSLOG_IDENTIFIER"] == "altnetd")
        let second = try self.fields(try #require(receiver.next()))
        #expect(second["PRIORITY"] == "5")
        #expect(second["ALTNET_ENDING"] == "caught-up")
        #expect(second["MESSAGE_ID"] != first["MESSAGE_ID"])
        #expect(try self.fields(try #require(receiver.next()))["PRIORITY"] == "4")
        #expect(receiver.next() == nil)
    }

    @Test("without a journal the alert goes to the log")
    func absent() async throws {
        let lines = LogLines()
        let sender = JournalSender(
            AlertSink.Journal(socketPath: self.directory.path + "/none"), logger: Logger(label: "test") { _ in lines })
        #expect(await sender.deliver(AlertBatch([Sample.message()], missed: 0)) == .delivered("written"))
        #expect(lines.all == ["critical ALERT CRITICAL: node-behind, node"])
    }

    @Test("a journal that does not read is a failure, not a wait")
    func full() async throws {
        let receiver = try DatagramReceiver(path: self.directory.path + "/full")
        let sender = JournalSender(AlertSink.Journal(socketPath: self.directory.path + "/full"), logger: self.logger)
        var result = DeliveryResult.delivered("")
        for _ in 0..<10_000 {
            result = await sender.deliver(AlertBatch([Sample.message()], missed: 0))
            if case .failed = result { break }
        }
        guard case .failed = result else {
            Issue.record("10,000 datagrams were taken without a reader")
            return
        }
        #expect(receiver.next() != nil)
    }

    @Test("abstract names, and paths that are too long")
    func names() throws {
        let name = "@altnet-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        let receiver = try DatagramReceiver(path: name)
        try UnixDatagram.send([1, 2, 3], to: name)
        #expect(receiver.next() == [1, 2, 3])
        #expect(throws: UnixDatagram.Failure(code: ENAMETOOLONG)) {
            try UnixDatagram.send([1], to: "/" + String(repeating: "x", count: 107))
        }
        #expect(throws: UnixDatagram.Failure(code: ENAMETOOLONG)) { try UnixDatagram.send([1], to: "") }
    }
}
