// SPDX-License-Identifier: MIT

import AltNetBase
import Foundation
import Glibc
import Synchronization

@testable import AltNetAlerts

/// Messages of a test.
enum Sample {
    static let opened = WallClockTime(milliseconds: 1_763_722_000_123)

    static func message(
        _ event: AlertMessage.Event = .opened, incident: Int64 = 17, number: Int64 = 1,
        severity: AlertMessage.Severity = .critical, subject: String = "node",
        explanation: String = "The node is behind.",
        at: WallClockTime = Sample.opened, measures: [AlertMessage.Measure] = []
    ) -> AlertMessage {
        AlertMessage(
            node: "alice", network: "main", event: event, number: number, at: at, incident: incident,
            kind: "node-behind", severity: severity, subject: subject, explanation: explanation, since: Sample.opened,
            opened: Sample.opened, closed: event == .closed ? at : nil, ending: event == .closed ? "caught-up" : nil,
            measures: measures,
            actions: [AlertMessage.Action(at: at, action: "feed-headers", outcome: "done", detail: "2 headers")])
    }
}

/// A directory that goes away with the value. Made here: the stores' own test support is another target's.
final class TemporaryDirectory: Sendable {
    let path = "/tmp/altnet-alerts-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"

    init() {
        mkdir(self.path, 0o700)
        // As the daemon does: a program that does not read its input is an error, not our end.
        signal(SIGPIPE, SIG_IGN)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: self.path)
    }

    /// Writes an executable script, and returns its path.
    func script(_ name: String, _ text: String) throws -> String {
        try self.file(name, "#!/bin/bash\n" + text, mode: 0o700)
    }

    func file(_ name: String, _ text: String, mode: mode_t = 0o600) throws -> String {
        let path = "\(self.path)/\(name)"
        try text.write(toFile: path, atomically: false, encoding: .utf8)
        chmod(path, mode)
        return path
    }

    static let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

    /// The path of a file with ``key``.
    func secret() throws -> String { try self.file("secret", Self.key + "\n") }

    func read(_ name: String) -> String {
        (try? String(contentsOfFile: "\(self.path)/\(name)", encoding: .utf8)) ?? ""
    }
}

enum Wait {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// Looks again and again until it holds. The limit tells "hangs" from "is slow": some tests write to the disk hundreds of
    /// times, beside others that do the same.
    static func until(_ what: String, _ holds: () async throws -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(120)
        while try await !holds() {
            guard ContinuousClock.now < deadline else { throw Failure(description: "not in 120 s: \(what)") }
            try await Task.sleep(for: .milliseconds(10))
        }
    }
}

/// What a receiver of webhooks got.
struct ReceivedRequest: Sendable {
    var head: String
    var body: [UInt8]

    func header(_ name: String) -> String? {
        self.head.split(separator: "\r\n").first { $0.lowercased().hasPrefix(name + ":") }
            .map { $0.drop { $0 != ":" }.dropFirst().trimmingCharacters(in: .whitespaces) }
    }
}

/// Accepts connections on loopback, a thread for each, and closes them when the thread is done.
final class SocketServer: Sendable {
    let port: UInt16
    private let descriptor: Int32

    init(_ serve: @escaping @Sendable (Int32) -> Void) throws {
        signal(SIGPIPE, SIG_IGN)
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        self.descriptor = descriptor
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isListening = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                bind(descriptor, pointer, length) == 0 && listen(descriptor, 16) == 0
                    && getsockname(descriptor, pointer, &length) == 0
            }
        }
        guard isListening else { throw Wait.Failure(description: "cannot listen") }
        self.port = UInt16(bigEndian: address.sin_port)
        Thread.detachNewThread {
            while true {
                let connection = accept(descriptor, nil, nil)
                guard connection >= 0 else { return }
                Thread.detachNewThread {
                    serve(connection)
                    close(connection)
                }
            }
        }
    }

    deinit {
        shutdown(self.descriptor, Int32(SHUT_RDWR))
        close(self.descriptor)
    }
}

/// An HTTP receiver on loopback that does what a test wants, well or badly. No library, so that it can be wrong.
final class Receiver: Sendable {
    /// What it does with the connection after it has read a request; it is closed afterwards.
    typealias Behaviour = @Sendable (Int32, ReceivedRequest) -> Void

    private final class State: Sendable {
        let requests = Mutex<[ReceivedRequest]>([])
        let behaviour: Mutex<Behaviour>

        init(_ behaviour: @escaping Behaviour) {
            self.behaviour = Mutex(behaviour)
        }
    }

    private let state: State
    private let server: SocketServer

    var port: UInt16 { self.server.port }
    var received: [ReceivedRequest] { self.state.requests.withLock(\.self) }
    var url: String { "http://127.0.0.1:\(self.port)/hook" }

    init(_ behaviour: @escaping Behaviour) throws {
        let state = State(behaviour)
        self.state = state
        self.server = try SocketServer { Self.serve($0, state) }
    }

    func change(_ behaviour: @escaping Behaviour) {
        self.state.behaviour.withLock { $0 = behaviour }
    }

    private static func serve(_ connection: Int32, _ state: State) {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(connection, &buffer, buffer.count)
            guard count > 0 else { return }
            bytes += buffer.prefix(count)
            guard let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { continue }
            var request = ReceivedRequest(
                head: String(decoding: bytes[..<end.lowerBound], as: UTF8.self), body: Array(bytes[end.upperBound...]))
            let length = request.header("content-length").flatMap { Int($0) } ?? 0
            guard request.body.count >= length else { continue }
            request.body = Array(request.body.prefix(length))
            let done = request
            state.requests.withLock { $0.append(done) }
            state.behaviour.withLock(\.self)(connection, done)
            return
        }
    }

    static func write(_ connection: Int32, _ text: String) {
        _ = Glibc.write(connection, text, text.utf8.count)
    }

    /// Answers with a status and nothing else.
    static func status(_ code: Int, _ headers: String = "") -> Behaviour {
        { connection, _ in
            Receiver.write(connection, "HTTP/1.1 \(code) X\r\nContent-Length: 0\r\n\(headers)\r\n")
        }
    }

    /// Says nothing until the other side gives up.
    static let hang: Behaviour = { connection, _ in
        var byte: UInt8 = 0
        _ = Glibc.read(connection, &byte, 1)
    }
}
