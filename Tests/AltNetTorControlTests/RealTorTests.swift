// SPDX-License-Identifier: MIT

import AltNetTestKit
import AltNetTorControl
import Foundation
import Synchronization
import Testing

/// Against Debian's tor, which never goes online: onion services can be made without a network.
@Suite("OnionServices with a real tor")
struct RealTorTests {
    @Test(
        "authenticates in every way, makes services and brings them back under the same name",
        .enabled(if: TorProcess.program != nil, "\(TorProcess.missing)"),
        arguments: ["cookie over TCP", "cookie over a Unix socket", "password"])
    func real(_ way: String) async throws {
        let directory = TemporaryDirectory.make()
        let isUnix = way == "cookie over a Unix socket"
        let socket = "\(directory)/control"
        let portFile = "\(directory)/port"
        var arguments = ["--ControlPortWriteToFile", portFile]
        arguments += ["--ControlPort", isUnix ? "unix:\(socket)" : "auto"]
        if way == "password" {
            let hashed = try await Programs.run(TorProcess.program ?? "", ["--quiet", "--hash-password", "opens \"it"])
            arguments += ["--HashedControlPassword", hashed.output.split(separator: "\n").last.map(String.init) ?? ""]
        } else {
            arguments += ["--CookieAuthentication", "1"]
        }
        let password = way == "password" ? "opens \"it" : nil
        var process = try TorProcess.start(in: directory, arguments)

        func port() async throws -> TorControlPort {
            try await Condition.value("tor's control port") {
                guard let text = try? String(contentsOfFile: portFile, encoding: .utf8) else { return nil }
                if isUnix { return .unix(path: socket) }
                return text.split(whereSeparator: \.isNewline).first?.split(separator: ":").last.flatMap { UInt16($0) }
                    .map { .tcp(host: "127.0.0.1", port: $0) }
            }
        }

        let connection = try await TorControlConnection.connect(to: port())
        try await connection.authenticate(password: password)
        let (name, key) = try await connection.addOnion(key: nil, virtualPort: 9735, target: .loopback(port: 1))
        #expect(name.utf8.count == 56 && key?.hasPrefix("ED25519-V3:") == true)
        // The same key twice at once is what Tor refuses.
        let refusal = await #expect(throws: TorControlError.self) {
            try await connection.addOnion(key: key, virtualPort: 9735, target: .loopback(port: 1))
        }
        #expect(refusal?.description.hasPrefix("Tor refuses ADD_ONION: 550") == true)
        try await connection.deleteOnion(name)
        let protected = try await connection.addOnion(
            key: key, virtualPort: 9735, target: .loopback(port: 1),
            protection: OnionProtection(streamsPerCircuit: 2, hasPuzzles: true))
        #expect(protected.serviceID == name)
        try await connection.deleteOnion(name)
        let second = try await TorControlConnection.connect(to: port())
        let stranger = await #expect(throws: TorControlError.self) {
            try await second.addOnion(key: nil, virtualPort: 1, target: .loopback(port: 1))
        }
        #expect(stranger?.description.contains("514") == true)
        connection.close()

        // A keeper, over a restart of Tor.
        guard isUnix else { return }
        let events = Mutex<[String]>([])
        let services = OnionServices(
            at: try await port(), password: password,
            services: [
                OnionService(name: "old", key: key, virtualPort: 9735, target: .unix(path: "\(directory)/s")),
                OnionService(name: "new", key: nil, virtualPort: 9735, target: .loopback(port: 2)),
            ])
        let task = Task {
            await services.run { event in
                events.withLock { events in
                    if case .up(_, let id, _) = event { events.append(id) }
                    if case .down = event { events.append("down") }
                }
            }
        }
        try await Condition.wait("both are up") { events.withLock { $0.count >= 2 } }
        _ = try await process.finish()
        try await Condition.wait("tor is missed") { events.withLock { $0.contains("down") } }
        process = try TorProcess.start(in: directory, arguments)
        try await Condition.wait("both are up again") {
            events.withLock { $0.suffix(2).contains(name) && $0.last != "down" }
        }
        task.cancel()
        await task.value
        let all = events.withLock { $0 }
        #expect(all.first == name && all.dropFirst(1).first != name)
        #expect(Array(all.suffix(2)) == Array(all.prefix(2)))
        _ = try await process.finish()
    }
}
