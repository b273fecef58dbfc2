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

/// Puts an HTTP answer together from the bytes of a connection that carries one only. Each byte is looked at once, in
/// however small pieces it comes.
struct HTTPReplyReader: Sendable {
    /// The longest line that says how long a chunk is.
    static let maximumChunkLine = 64

    private enum Framing {
        /// Bytes that are missing still.
        case length(Int)
        case untilEnd
        case chunkSize
        /// Bytes of the chunk that are missing, its line end included.
        case chunk(Int)
    }

    private var head: (status: Int, fields: [String: String])?
    private var framing = Framing.untilEnd
    /// What is not taken yet: of the head, or of a chunk's size.
    private var pending: [UInt8] = []
    private var body: [UInt8] = []
    /// Everything that came, chunk sizes included.
    private var total = 0

    /// The bytes that are held.
    var held: Int { self.pending.count + self.body.count }

    /// Takes bytes.
    ///
    /// - Returns: the answer, once its length is reached; `nil` while more is to come.
    mutating func append(_ bytes: [UInt8]) throws(PortMappingError) -> HTTPReply? {
        self.total += bytes.count
        // Twice the body: small chunks cost more than they carry.
        guard self.total <= HTTPReply.maximumHead + 2 * HTTPReply.maximumBody else {
            throw .malformed(.upnp, "it is too long")
        }
        guard self.head == nil else { return try self.take(bytes[...]) }
        let start = max(0, self.pending.count - 3)
        self.pending += bytes
        guard let end = self.pending[start...].firstRange(of: Array("\r\n\r\n".utf8))?.upperBound else {
            guard self.pending.count <= HTTPReply.maximumHead else {
                throw .malformed(.upnp, "its head is too long")
            }
            return nil
        }
        let rest = self.pending[end...]
        try self.read(head: self.pending[..<end])
        self.pending = []
        return try self.take(rest)
    }

    /// Takes the end of the connection.
    func end() throws(PortMappingError) -> HTTPReply {
        guard let head, case .untilEnd = self.framing else { throw .malformed(.upnp, "it ends too early") }
        return HTTPReply(status: head.status, fields: head.fields, body: self.body)
    }

    private mutating func read(head bytes: ArraySlice<UInt8>) throws(PortMappingError) {
        let (status, fields) = try HTTPReply.head(bytes)
        guard !(300...399).contains(status) else {
            throw .elsewhere(UntrustedText(fields["location"] ?? "a redirect"))
        }
        if let coding = fields["transfer-encoding"] {
            guard coding.lowercased() == "chunked" else { throw .malformed(.upnp, "its coding is unknown") }
            self.framing = .chunkSize
        } else if let text = fields["content-length"] {
            guard text.utf8.count <= 9, text.utf8.allSatisfy(IPAddressText.isDigit), let length = Int(text),
                length <= HTTPReply.maximumBody
            else { throw .malformed(.upnp, "its length is wrong, or too much") }
            self.framing = .length(length)
        }
        self.head = (status, fields)
    }

    private mutating func take(_ bytes: ArraySlice<UInt8>) throws(PortMappingError) -> HTTPReply? {
        var rest = bytes
        while true {
            switch self.framing {
            case .untilEnd:
                try self.add(rest)
                return nil
            case .length(let missing):
                let part = rest.prefix(missing)
                try self.add(part)
                self.framing = .length(missing - part.count)
                return missing == part.count ? self.reply : nil
            case .chunkSize:
                guard let byte = rest.popFirst() else { return nil }
                guard self.pending.count < Self.maximumChunkLine else { throw .malformed(.upnp, "a chunk has no size") }
                self.pending.append(byte)
                guard self.pending.suffix(2).elementsEqual(Array("\r\n".utf8)) else { continue }
                let size = try Self.size(self.pending.dropLast(2))
                self.pending = []
                // Trailers may follow the last chunk; the connection ends after them.
                guard size > 0 else { return self.reply }
                self.framing = .chunk(size + 2)
            case .chunk(let missing):
                let part = rest.prefix(missing)
                guard !part.isEmpty else { return nil }
                rest = rest.dropFirst(part.count)
                try self.add(part.prefix(max(0, missing - 2)))
                // The last two are its line end.
                for (offset, byte) in part.enumerated() where offset >= missing - 2 {
                    guard byte == (offset == missing - 2 ? UInt8(ascii: "\r") : UInt8(ascii: "\n")) else {
                        throw .malformed(.upnp, "a chunk has another size than it says")
                    }
                }
                self.framing = part.count == missing ? .chunkSize : .chunk(missing - part.count)
            }
        }
    }

    private mutating func add(_ bytes: ArraySlice<UInt8>) throws(PortMappingError) {
        guard self.body.count + bytes.count <= HTTPReply.maximumBody else { throw .malformed(.upnp, "it is too long") }
        self.body += bytes
    }

    private var reply: HTTPReply? {
        self.head.map { HTTPReply(status: $0.status, fields: $0.fields, body: self.body) }
    }

    private static func size(_ line: ArraySlice<UInt8>) throws(PortMappingError) -> Int {
        let digits = String(decoding: line, as: UTF8.self).prefix { $0 != ";" && $0 != " " }
        guard (1...6).contains(digits.utf8.count), let size = UInt32(digits, radix: 16) else {
            throw .malformed(.upnp, "a chunk has no size")
        }
        return Int(size)
    }
}
