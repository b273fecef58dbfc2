// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AsyncHTTPClient
internal import FoundationEssentials
internal import Glibc
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Synchronization

/// Speaks JSON-RPC over HTTP with one node. Every call has a bound in time and in bytes.
final class RPCClient: Sendable {
    /// How much a call may cost.
    struct Bounds: Sendable {
        /// Bytes of the answer; reading stops there.
        let bytes: Int
        let time: Duration

        /// Fixed-size facts: a kilobyte or two in practice. Waiting for the node's locks takes time, not bytes.
        static let small = Bounds(bytes: 64 * 1024, time: .seconds(15))
    }

    /// One for the process. Core closes a connection that is idle for 30 s (`rpcservertimeout`); we are faster, so that
    /// a call does not meet a connection that is just being closed. Redirects could carry the password elsewhere.
    private static let http: HTTPClient = {
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.connectionPool.idleTimeout = .seconds(10)
        configuration.timeout.connect = .seconds(10)
        configuration.decompression = .disabled
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }()

    private let endpoint: CoreEndpoint
    private let credentials: CoreCredentials
    /// What was read last; `nil` when it must be read anew.
    private let authorization = Mutex<String?>(nil)

    init(endpoint: CoreEndpoint, credentials: CoreCredentials) {
        self.endpoint = endpoint
        self.credentials = credentials
    }

    /// Makes one call.
    func call<Result: Decodable & Sendable>(
        _ call: RPCCall, _ bounds: Bounds = .small, as type: Result.Type = Result.self
    ) async throws(NodeError) -> Result {
        let answer = try await self.post(try RPCMessage.encode(call), call.method, bounds)
        return try RPCMessage.decode(answer, of: call.method, as: Result.self).get()
    }

    /// Makes several calls of one method in one request, at most ``RPCMessage/maximumBatch``.
    func batch<Result: Decodable & Sendable>(
        _ calls: [RPCCall], _ bounds: Bounds, as type: Result.Type = Result.self
    ) async throws(NodeError) -> [RPCOutcome<Result>] {
        guard let method = calls.first?.method else { return [] }
        precondition(calls.count <= RPCMessage.maximumBatch, "a batch is longer than allowed")
        let answer = try await self.post(try RPCMessage.encode(calls), method, bounds)
        return try RPCMessage.decode(answer, of: method, count: calls.count, as: Result.self)
    }

    /// Sends a request; the body of the answer. A cookie that the node does not take is read again, once: the node may
    /// have been restarted.
    private func post(_ body: [UInt8], _ method: String, _ bounds: Bounds) async throws(NodeError) -> [UInt8] {
        let cached = self.authorization.withLock { $0 }
        let first = if let cached { cached } else { try self.readAuthorization() }
        var (status, answer) = try await self.exchange(body, first, method, bounds)
        if status == 401 {
            let second = try self.readAuthorization()
            if second != first { (status, answer) = try await self.exchange(body, second, method, bounds) }
        }
        // Core answers errors with 500, 404 and 400 unless the request is JSON-RPC 2.0 and the node knows it.
        switch status {
        case 200, 400, 404, 500: return answer
        case 401:
            self.forget()
            throw .refused(self.explainWrongCredentials())
        case 403:
            throw .refused(
                "Bitcoin Core at \(self.endpoint) forbids \(method); look at its settings rpcallowip and rpcwhitelist")
        case 503: throw .unreachable("Bitcoin Core at \(self.endpoint) has too much to do (its work queue is full)")
        default: throw .malformed("\(self.endpoint) answers \(method) with HTTP status \(status): is it Bitcoin Core?")
        }
    }

    private func exchange(
        _ body: [UInt8], _ authorization: String, _ method: String, _ bounds: Bounds
    ) async throws(NodeError) -> (status: UInt, body: [UInt8]) {
        var request = HTTPClientRequest(url: self.endpoint.url + "/")
        request.method = .POST
        request.headers.add(name: "Authorization", value: authorization)
        request.headers.add(name: "Content-Type", value: "application/json")
        request.body = .bytes(ByteBuffer(bytes: body))
        do {
            return try await withDeadline(bounds.time) { [request] in
                let answer = try await Self.http.execute(request, deadline: .distantFuture)
                let bytes = try await answer.body.collect(upTo: bounds.bytes)
                return (status: answer.status.code, body: Array(bytes.readableBytesView))
            }
        } catch {
            // Whatever it was, the next node at this address may have another cookie.
            self.forget()
            throw self.explain(error, method, bounds)
        }
    }

    private func readAuthorization() throws(NodeError) -> String {
        let text = "Basic " + Data(try self.credentials.read().utf8).base64EncodedString()
        self.authorization.withLock { $0 = text }
        return text
    }

    private func forget() {
        self.authorization.withLock { $0 = nil }
    }

    private func explainWrongCredentials() -> String {
        switch self.credentials {
        case .password(let user, _):
            "Bitcoin Core at \(self.endpoint) does not accept the password of user \(UntrustedText(user)); "
                + "compare user and password with its rpcauth or rpcuser"
        case .cookieFile(let path):
            "Bitcoin Core at \(self.endpoint) does not accept the cookie in \(path); "
                + "set cookie_file to the .cookie in the data directory of that very node"
        }
    }

    private func explain(_ error: any Error, _ method: String, _ bounds: Bounds) -> NodeError {
        switch error {
        case is NIOTooManyBytesError: return .tooLarge(limit: bounds.bytes)
        case is DeadlineExceeded:
            return .unreachable(
                "Bitcoin Core at \(self.endpoint) did not answer \(method) within \(bounds.time.components.seconds) s")
        case is CancellationError: return .unreachable("the call \(method) was given up")
        case let error as HTTPClientError where error == .cancelled:
            return .unreachable("the call \(method) was given up")
        case let error as NIOConnectionError:
            return self.explain(connecting: error.connectionErrors.first?.error)
        case let error as IOError where error.errnoCode == ECONNREFUSED:
            return self.explain(connecting: error)
        case HTTPParserError.invalidEOFState:
            return .unreachable("Bitcoin Core at \(self.endpoint) closed the connection during \(method)")
        case is HTTPParserError:
            return .malformed("\(self.endpoint) does not speak HTTP as it should: is it Bitcoin Core?")
        case let error as HTTPClientError where error == .remoteConnectionClosed:
            return .unreachable("Bitcoin Core at \(self.endpoint) closed the connection during \(method)")
        case is IOError:
            return .unreachable("Bitcoin Core at \(self.endpoint) closed the connection during \(method)")
        default:
            return .unreachable("calling \(method) at \(self.endpoint) failed: \(UntrustedText("\(error)"))")
        }
    }

    private func explain(connecting error: (any Error)?) -> NodeError {
        if let error = error as? IOError, error.errnoCode == ECONNREFUSED {
            return .unreachable(
                "nobody answers at \(self.endpoint): start Bitcoin Core, and see that it has server=1 and this rpcport")
        }
        let reason = (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "no such host"
        return .unreachable("\(self.endpoint) cannot be reached: \(reason)")
    }
}
