// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetControl
internal import FoundationEssentials
internal import HTTPTypes
internal import Hummingbird
internal import HummingbirdCore
internal import NIOCore

/// One method of one path: what it needs, and what it does. ``Route/all`` is the whole interface.
struct Route: Sendable {
    /// What a request brings besides its headers.
    enum Body: Hashable, Sendable {
        case none
        case json
        /// JSON for a driver, up to ``ControlInterface/maximumOperationBytes``.
        case operation
        /// Raw headers, up to ``ControlInterface/maximumHeadersBytes``.
        case headers

        var contentType: String {
            switch self {
            case .none, .json, .operation: "application/json"
            case .headers: "application/octet-stream"
            }
        }

        var maximumBytes: Int {
            switch self {
            case .none: 0
            case .json: ControlInterface.maximumRequestBytes
            case .operation: ControlInterface.maximumOperationBytes
            case .headers: ControlInterface.maximumHeadersBytes
            }
        }
    }

    let method: HTTPRequest.Method
    /// As in OpenAPI: `/v1/drivers/{name}`.
    let path: String
    let access: Access
    let query: [String]
    let body: Body
    /// Its answer or its request can have megabytes: only a few at once.
    let isHeavy: Bool
    /// It waits for remotes, and must keep nobody else waiting: it has places of its own.
    let isSlow: Bool
    let answer: @Sendable (Asked, ControlService) async throws -> Response

    init(
        _ method: HTTPRequest.Method, _ path: String, _ access: Access, query: [String] = [], body: Body = .none,
        isHeavy: Bool = false, isSlow: Bool = false,
        answer: @Sendable @escaping (Asked, ControlService) async throws -> Response
    ) {
        self.method = method
        self.path = path
        self.access = access
        self.query = query
        self.body = body
        self.isHeavy = isHeavy
        self.isSlow = isSlow
        self.answer = answer
    }

    /// The values of the path's parameters, or `nil` when this is another path.
    func match(_ segments: [Substring]) -> [String: String]? {
        let pattern = self.path.split(separator: "/", omittingEmptySubsequences: false)
        guard pattern.count == segments.count else { return nil }
        var parameters: [String: String] = [:]
        for (part, segment) in zip(pattern, segments) {
            if part.hasPrefix("{") {
                guard !segment.isEmpty, let value = PercentEncoding.decode(segment) else { return nil }
                parameters[String(part.dropFirst().dropLast())] = value
            } else if part != segment {
                return nil
            }
        }
        return parameters
    }
}

/// A request that has passed all checks of its form and of who asks.
struct Asked: Sendable {
    let parameters: [String: String]
    let query: [String: String]
    let body: ByteBuffer
    let headers: HTTPFields
    let grant: AccessControl.Grant
    let listener: Listener
    let channel: any Channel

    /// A whole number of the query, within its range.
    func number(
        _ name: String, default value: UInt32, in range: ClosedRange<UInt32> = 0...UInt32.max
    ) throws(ControlRefusal) -> UInt32 {
        guard let text = self.query[name] else { return value }
        guard let number = UInt32(text), range.contains(number) else {
            throw ControlRefusal(
                .badRequest, "\(name) must be a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func flag(_ name: String) throws(ControlRefusal) -> Bool {
        switch self.query[name] {
        case nil, "false": return false
        case "true": return true
        default: throw ControlRefusal(.badRequest, "\(name) must be true or false")
        }
    }

    func parameter(_ name: String) -> String { self.parameters[name] ?? "" }

    /// The incident that the path names.
    func incident() throws(ControlRefusal) -> Int64 {
        guard let id = Int64(self.parameter("id")), id > 0 else {
            throw ControlRefusal(.badRequest, "incidents are numbered from 1")
        }
        return id
    }

    func json<Value: Decodable>(_ type: Value.Type = Value.self) throws(ControlRefusal) -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(self.body.readableBytesView))
        } catch {
            throw ControlRefusal(.badRequest, "the request is not the JSON that is expected here: \(error)")
        }
    }
}

/// The part of a request's target after the question mark.
enum Query {
    /// Refuses names that the route does not know, and names that come twice: a mistyped limit must not be ignored.
    static func parse(_ text: Substring, names: [String]) throws(ControlRefusal) -> [String: String] {
        var values: [String: String] = [:]
        for pair in text.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = PercentEncoding.decode(parts[0]), names.contains(name) else {
                let known = names.isEmpty ? "there are none here" : "there is \(names.joined(separator: ", "))"
                throw ControlRefusal(.badRequest, "the query has a parameter that is not known; \(known)")
            }
            guard parts.count == 2, let value = PercentEncoding.decode(parts[1]) else {
                throw ControlRefusal(.badRequest, "\(name) needs a value")
            }
            guard values.updateValue(value, forKey: name) == nil else {
                throw ControlRefusal(.badRequest, "\(name) is given twice")
            }
        }
        return values
    }
}

/// Percent-encoding of URIs (RFC 3986, section 2.1).
enum PercentEncoding {
    /// The text, or `nil` when a `%` is not followed by two digits or the bytes are not UTF-8.
    static func decode(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let decoded = Hex.decode(Substring(rest.prefix(2))), decoded.count == 1 else { return nil }
            bytes += decoded
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
