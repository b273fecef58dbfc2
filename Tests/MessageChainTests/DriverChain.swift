// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetDriverHost
import AltNetDriverProtocol
import AltNetObjects
import AltNetTestKit
import Foundation
import Glibc
import HeaderTestSupport
import Logging
import Synchronization

/// Real `altnet-lightning` processes in a row, each connected with the next, under one driver host. The host is the
/// orchestrator of all of them, and the last one's is the one that has headers to serve.
final class DriverChain: DriverHostDelegate {
    struct Link: Sendable, Equatable {
        let number: DriverLink
        let description: DriverLinkDescription
    }

    private struct State {
        var isReady = false
        var identities: [String: String] = [:]
        var listening: [String: String] = [:]
        var links: [String: [Link]] = [:]
        var waiting: [String: CheckedContinuation<ObjectAnswer, Never>] = [:]
        var transactions: [String: [[UInt8]]] = [:]
        var requests: [String: Int] = [:]
        var nextRequest: UInt64 = 1
        /// What a driver is told to connect to, again after a restart.
        var targets: [String: [String]] = [:]
        var processes: [String: pid_t] = [:]
        /// Called instead of answering the next request to a driver.
        var interceptor: (@Sendable () async -> Void)?
    }

    static let names = ["a", "b", "c", "d", "e"]
    /// What every orchestrator but that of `a` has.
    let headers: [BlockHeader]
    private let state = Mutex(State())
    private let directory = TemporaryDirectory.make()
    private let hosting = Mutex<Task<Void, any Error>?>(nil)
    private let holder = Mutex<DriverHost?>(nil)

    var host: DriverHost {
        guard let host = self.holder.withLock({ $0 }) else { preconditionFailure("the chain is not started") }
        return host
    }

    private init(headers: Int) {
        self.headers = HeaderMiner.chain(headers)
    }

    /// Starts all five, and waits until each is connected with the next.
    static func start(headers: Int = 300, settings: [String: SettingValue] = [:]) async throws -> DriverChain {
        let chain = DriverChain(headers: headers)
        let host = DriverHost(
            socketPath: "\(chain.directory)/drivers.sock", network: "regtest", serves: [.headers], software: "test",
            delegate: chain, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        chain.holder.withLock { $0 = host }
        let hosting = Task { try await host.run { chain.state.withLock { $0.isReady = true } } }
        chain.hosting.withLock { $0 = hosting }
        try await Condition.wait("the host is ready") { chain.state.withLock { $0.isReady } }
        for name in Self.names { try await chain.attach(name, settings) }
        for (near, far) in zip(Self.names, Self.names.dropFirst()) { try await chain.connect(near, far) }
        return chain
    }

    func attach(_ name: String, _ settings: [String: SettingValue] = [:]) async throws {
        // A port that stays the same when the driver is started again.
        let listen = "127.0.0.1:\(try FreePort.find())"
        let directory = "\(self.directory)/\(name)"
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        try await self.host.attach(
            DriverSpecification(
                name: name, program: "\(Programs.directory)/altnet-lightning",
                settings: settings.merging(["listen": .texts([listen])]) { $1 }, traffic: nil,
                messagesPerSecond: 10_000, bytesPerSecond: 100_000_000, dataDirectory: directory))
        _ = try await self.address(name)
        // The table is read in pieces while sockets come and go: one look can miss a line.
        let process = try await Condition.value("the process of \(name)") { self.process(of: name) }
        self.state.withLock { $0.processes[name] = process }
    }

    /// The process of a driver, which is the one that listens at its port: other tests start processes meanwhile.
    private func process(of name: String) -> pid_t? {
        let port = self.state.withLock { $0.listening[name] }.flatMap { $0.split(separator: ":").last }
        return port.flatMap { UInt16($0) }.flatMap(Listener.process)
    }

    /// Ends a driver's process as a crash would. The host starts it again.
    func kill(_ name: String) async throws {
        let process = self.state.withLock { state in
            state.listening[name] = nil
            return state.processes[name]
        }
        guard let process else { throw Condition.Failure("the process of \(name) is not known") }
        Glibc.kill(process, SIGKILL)
        _ = try await self.address(name)
    }

    /// Memory that a driver's process occupies, in bytes. Not after a restart.
    func residentBytes(_ name: String) -> Int {
        guard let process = self.state.withLock({ $0.processes[name] }),
            let status = try? String(contentsOfFile: "/proc/\(process)/statm", encoding: .utf8)
        else { return 0 }
        return (status.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * Int(getpagesize())
    }

    /// Calls `body` when the next request comes to any orchestrator, before it is answered.
    func interceptNextRequest(_ body: @escaping @Sendable () async -> Void) {
        self.state.withLock { $0.interceptor = body }
    }

    /// Where a driver listens, `pubkey@host:port`.
    func address(_ name: String) async throws -> String {
        try await Condition.value("\(name) listens") { self.state.withLock { $0.listening[name] } }
    }

    /// A driver's node key.
    func identity(_ name: String) -> String { self.state.withLock { $0.identities[name] ?? "" } }

    /// Has one driver dial another, and waits until both see the link.
    func connect(_ near: String, _ far: String) async throws {
        let target = try await self.address(far)
        await self.open(target, from: near)
        _ = try await self.link(of: near, to: target)
        let identity = self.identity(near)
        try await Condition.wait("\(far) sees \(near)") {
            self.state.withLock { $0.links[far]?.contains { $0.description.peer.identity == identity } ?? false }
        }
    }

    /// The link of a driver to a target, once it stands.
    func link(of name: String, to target: String, within limit: Duration = Condition.patience) async throws -> Link {
        try await Condition.value("a link of \(name)", within: limit) {
            self.state.withLock { $0.links[name]?.last { $0.description.target == target } }
        }
    }

    func links(of name: String) -> [Link] { self.state.withLock { $0.links[name] ?? [] } }

    /// The route from a driver over others to the last of them, as a target.
    func route(_ names: String..., over carrier: String = "directed") -> String {
        "\(carrier):" + names.map(self.identity).joined(separator: "/")
    }

    private func open(_ target: String, from name: String) async {
        self.state.withLock { $0.targets[name, default: []].append(target) }
        _ = await self.host.send(.openTarget(target), to: name)
    }

    /// Opens a far link and waits until it stands.
    func reach(_ target: String, from name: String) async throws -> Link {
        await self.open(target, from: name)
        return try await self.link(of: name, to: target)
    }

    /// Asks over a link and waits for the answer.
    func ask(_ request: ObjectRequest, over link: Link, of name: String) async -> ObjectAnswer {
        await withCheckedContinuation { continuation in
            let id = self.state.withLock { state in
                defer { state.nextRequest += 1 }
                state.waiting["\(name) \(state.nextRequest)"] = continuation
                return state.nextRequest
            }
            Task {
                let refused = await self.host.send(.request(link.number, id: id, request), to: name)
                guard let refused else { return }
                self.state.withLock { $0.waiting.removeValue(forKey: "\(name) \(id)") }?
                    .resume(returning: .refused(refused.refusal))
            }
        }
    }

    /// Headers after the one at a height, at most `limit`.
    func headerRequest(after height: Int, limit: UInt32) -> ObjectRequest {
        .headers(
            locator: [height == 0 ? Network.regtest.genesis.hash : self.headers[height - 1].hash], stop: .zero,
            heightHint: UInt32(height), limit: limit)
    }

    /// What the answer to ``headerRequest(after:limit:)`` must be when there is room for all of them.
    func expected(after height: Int, limit: Int) -> ObjectAnswer {
        .headers(self.headers[height..<min(height + limit, self.headers.count)].flatMap(\.bytes))
    }

    func perform(_ operation: String, _ arguments: [String: Any], by name: String) async throws -> [String: Any] {
        let body = Array(try JSONSerialization.data(withJSONObject: arguments))
        let result = try await self.host.perform(operation, body, by: name)
        return try JSONSerialization.jsonObject(with: Data(result)) as? [String: Any] ?? [:]
    }

    func transactions(of name: String) -> [[UInt8]] { self.state.withLock { $0.transactions[name] ?? [] } }

    func requests(to name: String) -> Int { self.state.withLock { $0.requests[name] ?? 0 } }

    func stop() async {
        await self.host.detachAll()
        self.hosting.withLock { $0 }?.cancel()
    }

    // MARK: - DriverHostDelegate

    func driverAttached(_ driver: String, capabilities: DriverCapabilities, identity: String) async {
        let targets = self.state.withLock { state in
            state.identities[driver] = identity
            return state.targets[driver] ?? []
        }
        for target in targets { _ = await self.host.send(.openTarget(target), to: driver) }
    }

    func driverDetached(_ driver: String, reason: String) async {
        let lost = self.state.withLock { state in
            state.links[driver] = []
            state.listening[driver] = nil
            let keys = state.waiting.keys.filter { $0.hasPrefix("\(driver) ") }
            return keys.compactMap { state.waiting.removeValue(forKey: $0) }
        }
        for continuation in lost { continuation.resume(returning: .refused(.unavailable)) }
    }

    func driver(_ driver: String, said event: DriverEvent) async {
        switch event {
        case .listening(let addresses): self.state.withLock { $0.listening[driver] = addresses.first }
        case .linkOpened(let number, let description):
            self.state.withLock { $0.links[driver, default: []].append(Link(number: number, description: description)) }
        case .linkClosed(let number, _): self.state.withLock { $0.links[driver]?.removeAll { $0.number == number } }
        case .answer(_, let id, let answer):
            self.state.withLock { $0.waiting.removeValue(forKey: "\(driver) \(id)") }?.resume(returning: answer)
        case .announcement(_, .transaction(let bytes)):
            self.state.withLock { $0.transactions[driver, default: []].append(bytes) }
        case .request(let link, let id, let request):
            let interceptor = self.state.withLock { state in
                state.requests[driver, default: 0] += 1
                defer { state.interceptor = nil }
                return state.interceptor
            }
            // Elsewhere: the driver's next event waits until this returns.
            if let interceptor {
                Task {
                    await interceptor()
                    _ = await self.host.send(.answer(link, id: id, self.answer(request)), to: driver)
                }
                return
            }
            _ = await self.host.send(.answer(link, id: id, self.answer(request)), to: driver)
        default: break
        }
    }

    private func answer(_ request: ObjectRequest) -> ObjectAnswer {
        guard case .headers(let locator, _, _, let limit) = request else { return .refused(.unsupported) }
        let known = Dictionary(uniqueKeysWithValues: self.headers.enumerated().map { ($1.hash, $0 + 1) })
        let height = locator.lazy.compactMap { known[$0] }.first ?? 0
        return self.expected(after: height, limit: Int(limit))
    }
}

/// Who listens at a port of this machine's IPv4 loopback.
private enum Listener {
    static func process(at port: UInt16) -> pid_t? {
        let sockets = SocketTable.read().entries.filter { $0.isListening && $0.localPort == port }
            .map { "socket:[\($0.inode)]" }
        let files = FileManager.default
        let processes = ((try? files.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap { pid_t($0) }
        return processes.first { process in
            let descriptors = "/proc/\(process)/fd"
            return ((try? files.contentsOfDirectory(atPath: descriptors)) ?? []).contains { descriptor in
                let target = try? files.destinationOfSymbolicLink(atPath: "\(descriptors)/\(descriptor)")
                return target.map(sockets.contains) ?? false
            }
        }
    }
}
