// SPDX-License-Identifier: MIT

internal import AltNetBase

/// An answer by HTTP/1.1 from a router, as far as UPnP needs it (RFC 9112). Redirects are not followed: a router that
/// sends us elsewhere is refused.
struct HTTPReply: Hashable, Sendable {
    /// The longest head: a status line and a few header fields.
    static let maximumHead = 8 * 1_024
    /// The longest body. Descriptions of routers have 3 to 30 KB.
    static let maximumBody = 128 * 1_024

    let status: Int
    /// Names in lower case.
    let fields: [String: String]
    let body: [UInt8]

    /// Reads the status line and header fields; also those of a datagram of SSDP.
    static func head(_ bytes: ArraySlice<UInt8>) throws(PortMappingError) -> (status: Int, fields: [String: String]) {
        guard bytes.count <= Self.maximumHead else { throw .malformed(.upnp, "its head is too long") }
        var lines = String(decoding: bytes, as: UTF8.self).split(
            omittingEmptySubsequences: true, whereSeparator: { $0 == "\r\n" || $0 == "\n" })[...]
        guard let first = lines.popFirst() else { throw .malformed(.upnp, "it is no HTTP") }
        let words = first.split(separator: " ", maxSplits: 2)
        guard words.count >= 2, words[0] == "HTTP/1.1" || words[0] == "HTTP/1.0", words[1].utf8.count == 3,
            let status = Int(words[1]), (100...599).contains(status)
        else { throw .malformed(.upnp, "it is no HTTP") }
        var fields: [String: String] = [:]
        for line in lines {
            guard let colon = line.firstIndex(of: ":") else { throw .malformed(.upnp, "a header field has no colon") }
            let name = line[..<colon].lowercased()
            let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
            // What is said twice could be read in two ways, where it matters; elsewhere the first stands.
            if fields[name] == nil {
                fields[name] = String(value)
            } else if ["content-length", "transfer-encoding", "location"].contains(name) {
                throw .malformed(.upnp, "a header field comes twice")
            }
        }
        return (status, fields)
    }
}

/// Puts an HTTP answer together from the bytes of a connection that carries one only.
struct HTTPReplyReader: Sendable {
    private var bytes: [UInt8] = []

    /// The bytes that are held.
    var held: Int { self.bytes.count }

    /// Takes bytes.
    ///
    /// - Returns: the answer, once its length is reached; `nil` while more is to come.
    mutating func append(_ bytes: [UInt8]) throws(PortMappingError) -> HTTPReply? {
        // Twice the body: chunks may be as small as a byte and then cost six.
        guard self.bytes.count + bytes.count <= HTTPReply.maximumHead + 2 * HTTPReply.maximumBody else {
            throw .malformed(.upnp, "it is too long")
        }
        self.bytes += bytes
        return try self.reply(isOver: false)
    }

    /// Takes the end of the connection.
    func end() throws(PortMappingError) -> HTTPReply {
        guard let reply = try self.reply(isOver: true) else { throw .malformed(.upnp, "it ends too early") }
        return reply
    }

    private func reply(isOver: Bool) throws(PortMappingError) -> HTTPReply? {
        guard let end = self.endOfHead else {
            guard self.bytes.count <= HTTPReply.maximumHead else { throw .malformed(.upnp, "its head is too long") }
            return nil
        }
        let (status, fields) = try HTTPReply.head(self.bytes[..<end])
        guard !(300...399).contains(status) else {
            throw .elsewhere(UntrustedText(fields["location"] ?? "a redirect"))
        }
        let rest = self.bytes[end...]
        let body: [UInt8]?
        if let coding = fields["transfer-encoding"] {
            guard coding.lowercased() == "chunked" else { throw .malformed(.upnp, "its coding is unknown") }
            body = try Self.joined(rest)
        } else if let text = fields["content-length"] {
            guard text.utf8.count <= 9, text.utf8.allSatisfy(IPAddressText.isDigit), let length = Int(text),
                length <= HTTPReply.maximumBody
            else { throw .malformed(.upnp, "its length is wrong, or too much") }
            body = rest.count >= length ? Array(rest.prefix(length)) : nil
        } else {
            body = isOver ? Array(rest) : nil
        }
        guard let body else {
            guard rest.count <= 2 * HTTPReply.maximumBody else { throw .malformed(.upnp, "it is too long") }
            return nil
        }
        guard body.count <= HTTPReply.maximumBody else { throw .malformed(.upnp, "it is too long") }
        return HTTPReply(status: status, fields: fields, body: body)
    }

    /// Where the head ends: after an empty line.
    private var endOfHead: Int? {
        let limit = min(self.bytes.count, HTTPReply.maximumHead + 4)
        return self.bytes[..<limit].firstRange(of: Array("\r\n\r\n".utf8))?.upperBound
    }

    /// The body that chunks carry; `nil` while the last is missing.
    private static func joined(_ bytes: ArraySlice<UInt8>) throws(PortMappingError) -> [UInt8]? {
        var rest = bytes
        var body: [UInt8] = []
        while true {
            guard let end = rest.prefix(64).firstRange(of: Array("\r\n".utf8)) else {
                guard rest.count < 64 else { throw .malformed(.upnp, "a chunk has no size") }
                return nil
            }
            let line = String(decoding: rest[..<end.lowerBound], as: UTF8.self)
            let digits = line.prefix { $0 != ";" && $0 != " " }
            guard (1...6).contains(digits.utf8.count), let size = UInt32(digits, radix: 16) else {
                throw .malformed(.upnp, "a chunk has no size")
            }
            rest = rest[end.upperBound...]
            guard size > 0 else { return body }
            guard body.count + Int(size) <= HTTPReply.maximumBody else { throw .malformed(.upnp, "it is too long") }
            guard rest.count >= Int(size) + 2 else { return nil }
            body += rest.prefix(Int(size))
            rest = rest.dropFirst(Int(size))
            guard rest.prefix(2).elementsEqual(Array("\r\n".utf8)) else {
                throw .malformed(.upnp, "a chunk has another size than it says")
            }
            rest = rest.dropFirst(2)
        }
    }
}
