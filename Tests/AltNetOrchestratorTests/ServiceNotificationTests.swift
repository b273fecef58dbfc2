// SPDX-License-Identifier: MIT

import AltNetTestKit
import Foundation
import Glibc
import Testing

@testable import AltNetOrchestrator

/// A socket as systemd's.
private final class NotifySocket: Sendable {
    let path: String
    private let descriptor: Int32

    init(isAbstract: Bool) throws {
        let name = "altnet-notify-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        self.path = isAbstract ? "@\(name)" : "/tmp/\(name)"
        self.descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(self.path.utf8)
        if isAbstract { bytes[0] = 0 } else { bytes.append(0) }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
        let descriptor = self.descriptor
        let isBound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) == 0 }
        }
        try #require(isBound)
    }

    deinit {
        close(self.descriptor)
        unlink(self.path)
    }

    func next() -> String? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = recv(self.descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
        return count < 0 ? nil : String(decoding: buffer.prefix(count), as: UTF8.self)
    }
}

@Suite("Telling systemd")
struct ServiceNotificationTests {
    @Test("a path and an abstract name", arguments: [false, true])
    func sends(isAbstract: Bool) throws {
        let socket = try NotifySocket(isAbstract: isAbstract)
        let notification = ServiceNotification(environment: ["NOTIFY_SOCKET": socket.path], processID: 1)
        notification.send(.ready, .status("height 7"))
        #expect(socket.next() == "READY=1\nSTATUS=height 7")
        notification.send(.stopping)
        #expect(socket.next() == "STOPPING=1")
        notification.send(.status("a\nREADY=1" + String(repeating: "x", count: 500)))
        let status = try #require(socket.next())
        #expect(status.hasPrefix("STATUS=a READY=1xxx"))
        #expect(status.count == 7 + ServiceNotification.maximumStatusLength)
        #expect(socket.next() == nil)
    }

    @Test("without systemd nothing happens")
    func absent() {
        ServiceNotification(environment: [:], processID: 1).send(.ready)
        ServiceNotification(environment: ["NOTIFY_SOCKET": "/nonexistent/x"], processID: 1).send(.ready)
        ServiceNotification(environment: ["NOTIFY_SOCKET": "relative"], processID: 1).send(.ready)
    }

    @Test(
        "when the watchdog is meant for us",
        arguments: [
            (["WATCHDOG_USEC": "60000000"], .seconds(60)),
            (["WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7"], .seconds(60)),
            (["WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "8"], nil), (["WATCHDOG_USEC": "0"], nil),
            (["WATCHDOG_USEC": "x"], nil), ([:], nil),
        ] as [([String: String], Duration?)])
    func watchdog(environment: [String: String], expected: Duration?) {
        var environment = environment
        environment["NOTIFY_SOCKET"] = "/nonexistent"
        #expect(ServiceNotification(environment: environment, processID: 7).watchdogInterval == expected)
    }

    @Test("a daemon that answers says so again and again, one that does not is silent")
    func keepsAlive() async throws {
        let socket = try NotifySocket(isAbstract: true)
        let notification = ServiceNotification(
            environment: ["NOTIFY_SOCKET": socket.path, "WATCHDOG_USEC": "20000"], processID: 1)
        let (answers, continuation) = AsyncStream.makeStream(of: String.self)
        continuation.yield("one")
        continuation.yield("two")
        let task = Task {
            var iterator = answers.makeAsyncIterator()
            await notification.keepAlive { await iterator.next() ?? "" }
        }
        for said in ["WATCHDOG=1\nSTATUS=one", "WATCHDOG=1\nSTATUS=two"] {
            #expect(try await Condition.value("it says that it is alive") { socket.next() } == said)
        }
        // The third question has no answer: nothing is said, however long it takes.
        try await Task.sleep(for: .milliseconds(100))
        #expect(socket.next() == nil)
        task.cancel()
        continuation.finish()
        await task.value
    }
}
