// SPDX-License-Identifier: MIT

public import AltNetPunchReports
internal import AsyncHTTPClient
internal import FoundationEssentials
internal import NIOCore
internal import NIOHTTP1

/// Why a question to the daemon has no answer, in one sentence.
public struct ControlError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}

/// Speaks to a running daemon over its control socket.
public struct ControlClient: Sendable {
    /// How long an answer may take; storing a large import is the slowest.
    static let timeout: TimeAmount = .seconds(60)
    /// How long a driver's operation may take: as long as the daemon waits for the driver, and some more.
    static let operationTimeout: TimeAmount = .seconds(150)
    /// The largest answer that is read.
    static let maximumAnswerBytes = 64 * 1024 * 1024

    /// One for the process. A daemon that is not there is not waited for: the operator wants to know at once.
    private static let http: HTTPClient = {
        var configuration = HTTPClient.Configuration()
        configuration.connectionPool.retryConnectionEstablishment = false
        // Well before the daemon closes it, so that no request is written to a connection that is just being closed.
        configuration.connectionPool.idleTimeout = TimeAmount(ControlInterface.idleTime / 2)
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }()

    private let socketPath: String

    public init(socketPath: String) {
        self.socketPath = socketPath
    }

    public func status() async throws(ControlError) -> StatusReport { try await self.get("/v1/status") }
    public func links() async throws(ControlError) -> [LinkReport] { try await self.get("/v1/links") }
    public func drivers() async throws(ControlError) -> [DriverReport] { try await self.get("/v1/drivers") }
    public func splices() async throws(ControlError) -> [SpliceReport] { try await self.get("/v1/splices") }
    public func tips() async throws(ControlError) -> [TipReport] { try await self.get("/v1/tips") }

    public func node() async throws(ControlError) -> NodeReport { try await self.get("/v1/node") }

    /// The latest incidents, newest first; with `onlyOpen` those that have not ended.
    public func incidents(limit: Int, onlyOpen: Bool = false) async throws(ControlError) -> [IncidentReport] {
        try await self.get("/v1/incidents?limit=\(limit)\(onlyOpen ? "&open=true" : "")")
    }

    public func incident(_ id: Int64) async throws(ControlError) -> IncidentReport {
        try await self.get("/v1/incidents/\(id)")
    }

    /// The evidence file of an incident.
    public func evidence(of id: Int64) async throws(ControlError) -> [UInt8] {
        Array(try await self.send(.GET, "/v1/incidents/\(id)/evidence").readableBytesView)
    }

    /// The latest deliveries of alerts, newest first.
    public func alerts(limit: Int) async throws(ControlError) -> [AlertReport] {
        try await self.get("/v1/alerts?limit=\(limit)")
    }

    /// Sends a test alert to one sink; tells what became of it.
    public func sendTestAlert(to sink: String) async throws(ControlError) -> AlertReport {
        try Self.decode(try await self.send(.POST, "/v1/alerts/\(Self.escaped(sink))/test"))
    }

    /// The last blocks of the best chain, newest first.
    public func blocks(limit: Int) async throws(ControlError) -> [BlockReport] {
        try await self.get("/v1/blocks?limit=\(limit)")
    }

    /// Whether the node's view of the chain can be relied on. That it cannot is an answer, not an error.
    public func safe() async throws(ControlError) -> SafeReport {
        try await self.get("/v1/safe", alsoAccepting: .serviceUnavailable)
    }

    public func health() async throws(ControlError) -> HealthReport {
        try await self.get("/health", alsoAccepting: .serviceUnavailable)
    }

    public func ready() async throws(ControlError) -> HealthReport {
        try await self.get("/ready", alsoAccepting: .serviceUnavailable)
    }

    /// Makes an address that logs one browser in, once.
    public func login(_ scope: ControlScope) async throws(ControlError) -> LoginReport {
        try Self.decode(try await self.send(.POST, "/v1/logins", body: try Self.encode(LoginRequest(scope: scope))))
    }

    /// Peers after one of them, in the order of their ids.
    public func peers(after: String?, limit: Int) async throws(ControlError) -> PeerListReport {
        let start = after.map { "&after=\(Self.escaped($0))" } ?? ""
        return try await self.get("/v1/peers?limit=\(limit)\(start)")
    }

    public func peer(_ id: String) async throws(ControlError) -> PeerReport {
        try await self.get("/v1/peers/\(Self.escaped(id))")
    }

    /// Adds to the peer store; one report for each addition.
    public func addPeers(_ additions: [PeerAddition]) async throws(ControlError) -> [PeerAdditionReport] {
        try Self.decode(
            try await self.send(.POST, "/v1/peers", body: try Self.encode(PeerAdditions(additions))))
    }

    /// Forgets a peer, or one address of it.
    public func forgetPeer(_ id: String, address: String?) async throws(ControlError) {
        let query = address.map { "?address=\(Self.escaped($0))" } ?? ""
        _ = try await self.send(.DELETE, "/v1/peers/\(Self.escaped(id))\(query)")
    }

    /// What is known of our NAT.
    public func nat() async throws(ControlError) -> NATReport {
        try Self.decode(try await self.send(.GET, "/v1/nat", timeout: Self.operationTimeout))
    }

    /// Checks our NAT now.
    public func checkNAT() async throws(ControlError) -> NATReport {
        try Self.decode(try await self.send(.POST, "/v1/nat", timeout: Self.operationTimeout))
    }

    public func punchOverview() async throws(ControlError) -> PunchOverviewReport { try await self.get("/v1/punch") }

    public func punchOffers() async throws(ControlError) -> PunchOfferListReport {
        try await self.get("/v1/punch/offers")
    }

    /// The last attempts, newest first.
    public func punches() async throws(ControlError) -> PunchReports {
        try Self.decode(try await self.send(.GET, "/v1/punch/attempts", timeout: Self.operationTimeout))
    }

    public func punchStats() async throws(ControlError) -> PunchStatsReport {
        try Self.decode(try await self.send(.GET, "/v1/punch/stats", timeout: Self.operationTimeout))
    }

    /// Connects to a peer behind a NAT, and waits for what it came to, two minutes at most.
    public func punch(_ request: PunchRequest) async throws(ControlError) -> PunchReport {
        try Self.decode(
            try await self.send(
                .POST, "/v1/punch", body: try Self.encode(request), timeout: Self.operationTimeout))
    }

    /// Makes new keys for our coordination endpoints.
    public func rotatePunchKeys() async throws(ControlError) -> PunchEndpoints {
        try Self.decode(try await self.send(.POST, "/v1/punch/keys", timeout: Self.operationTimeout))
    }

    public func attach(_ request: AttachRequest) async throws(ControlError) -> DriverReport {
        try Self.decode(try await self.send(.POST, "/v1/drivers", body: try Self.encode(request)))
    }

    public func detach(_ driver: String) async throws(ControlError) {
        _ = try await self.send(.DELETE, "/v1/drivers/\(Self.escaped(driver))")
    }

    public func openTarget(_ target: String, driver: String) async throws(ControlError) {
        _ = try await self.send(
            .POST, "/v1/drivers/\(Self.escaped(driver))/targets", body: try Self.encode(TargetRequest(target: target)))
    }

    public func closeTarget(_ target: String, driver: String) async throws(ControlError) {
        _ = try await self.send(
            .DELETE, "/v1/drivers/\(Self.escaped(driver))/targets",
            body: try Self.encode(TargetRequest(target: target)))
    }

    /// Has a driver do something, and waits for what it came to, two minutes at most.
    public func perform<Question, Answer>(
        _ operation: DriverOperation<Question, Answer>, _ question: Question, by driver: String
    ) async throws(ControlError) -> Answer {
        let body = try Self.encode(question)
        guard body.readableBytes <= ControlInterface.maximumOperationBytes else {
            throw ControlError(
                "that is \(body.readableBytes) bytes of JSON; \(ControlInterface.maximumOperationBytes) are allowed")
        }
        return try Self.decode(
            try await self.send(
                .POST, "/v1/drivers/\(Self.escaped(driver))/operations/\(Self.escaped(operation.name))", body: body,
                timeout: Self.operationTimeout))
    }

    /// Hands raw headers in, at most ``ControlInterface/maximumHeadersBytes``.
    public func importHeaders(_ headers: [UInt8]) async throws(ControlError) -> ImportReport {
        try Self.decode(try await self.send(.POST, "/v1/headers", body: ByteBuffer(bytes: headers)))
    }

    /// Raw headers of the best chain from a height on, at most as many as fit in one answer; none above the tip.
    public func headers(from height: UInt32, count: UInt32) async throws(ControlError) -> [UInt8] {
        Array(try await self.send(.GET, "/v1/headers?from=\(height)&count=\(count)").readableBytesView)
    }

    private func get<Report: Decodable>(
        _ path: String, alsoAccepting status: HTTPResponseStatus? = nil
    ) async throws(ControlError) -> Report {
        let bytes = try await self.send(.GET, path, alsoAccepting: status)
        do {
            return try Self.decode(bytes)
        } catch {
            // The accepted status can also stand for a refusal.
            if let report: ErrorReport = try? Self.decode(bytes) { throw ControlError(report.message) }
            throw error
        }
    }

    private func send(
        _ method: HTTPMethod, _ path: String, body: ByteBuffer? = nil, alsoAccepting status: HTTPResponseStatus? = nil,
        timeout: TimeAmount = Self.timeout
    ) async throws(ControlError) -> ByteBuffer {
        var request = self.request(path)
        request.method = method
        if let body { request.body = .bytes(body) }
        let answer: HTTPClientResponse
        let bytes: ByteBuffer
        do {
            answer = try await Self.http.execute(request, timeout: timeout)
            bytes = try await answer.body.collect(upTo: Self.maximumAnswerBytes)
        } catch {
            throw self.failure(error)
        }
        guard (200..<300).contains(answer.status.code) || answer.status == status else {
            throw Self.refusal(answer.status, bytes)
        }
        return bytes
    }

    /// Begins to read an answer that has no end.
    func open(_ path: String, headers: [(String, String)]) async throws(ControlError) -> HTTPClientResponse {
        var request = self.request(path)
        request.headers.add(contentsOf: HTTPHeaders(headers))
        let answer: HTTPClientResponse
        do {
            answer = try await Self.http.execute(request, deadline: .distantFuture)
            guard answer.status == .ok else {
                throw Self.refusal(answer.status, try await answer.body.collect(upTo: Self.maximumAnswerBytes))
            }
        } catch let error as ControlError {
            throw error
        } catch {
            throw self.failure(error)
        }
        return answer
    }

    private func request(_ path: String) -> HTTPClientRequest {
        HTTPClientRequest(url: "http+unix://\(Self.escaped(self.socketPath))\(path)")
    }

    private func failure(_ error: any Error) -> ControlError {
        if let error = error as? IOError, [2, 111].contains(error.errnoCode) {
            return ControlError(
                "no altnetd answers at \(self.socketPath); start it, or say which one with --data-directory and --network"
            )
        }
        return ControlError("cannot ask altnetd at \(self.socketPath): \(error)")
    }

    private static func refusal(_ status: HTTPResponseStatus, _ body: ByteBuffer) -> ControlError {
        let report: ErrorReport? = try? Self.decode(body)
        return ControlError(report?.message ?? "altnetd answered \(status)")
    }

    private static func encode(_ value: some Encodable) throws(ControlError) -> ByteBuffer {
        do {
            return ByteBuffer(bytes: try JSONEncoder().encode(value))
        } catch {
            throw ControlError("\(error)")
        }
    }

    static func decode<Value: Decodable>(_ bytes: ByteBuffer) throws(ControlError) -> Value {
        do {
            return try JSONDecoder().decode(Value.self, from: Data(bytes.readableBytesView))
        } catch {
            throw ControlError("altnetd answered something that this version of altnet does not understand: \(error)")
        }
    }

    /// Percent-encodes all but letters, digits and `-._~` (RFC 3986, section 2.3).
    private static func escaped(_ text: String) -> String {
        text.utf8.map { byte -> String in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                String(UnicodeScalar(byte))
            default: "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }.joined()
    }
}
