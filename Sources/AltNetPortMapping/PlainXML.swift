// SPDX-License-Identifier: MIT

internal import AltNetBase

/// An element of the little XML that UPnP uses: names without prefixes, texts, children. Attributes are skipped.
///
/// There are no document types, hence no entities of anybody's making: what has one is refused, so no text can grow
/// beyond its bytes, and none is fetched from elsewhere.
struct XMLElement: Hashable, Sendable {
    /// Elements in a document; a router's description has some 200.
    static let maximumElements = 4_096
    /// Elements within each other; a description has eight.
    static let maximumDepth = 32
    /// The longest name.
    static let maximumName = 128

    let name: String
    private(set) var text = ""
    private(set) var children: [XMLElement] = []

    fileprivate init(name: String) { self.name = name }

    /// The text of a child, without space around it.
    func value(_ name: String) -> String? {
        self.children.first { $0.name == name }?.trimmedText
    }

    var trimmedText: String {
        let scalars = self.text.unicodeScalars
        let isSpace = { (scalar: Unicode.Scalar) in scalar.value <= 0x20 }
        guard let first = scalars.firstIndex(where: { !isSpace($0) }),
            let last = scalars.lastIndex(where: { !isSpace($0) })
        else { return "" }
        return String(scalars[first...last])
    }

    /// All elements of a name, in the order of the document.
    func all(_ name: String) -> [XMLElement] {
        (self.name == name ? [self] : []) + self.children.flatMap { $0.all(name) }
    }

    /// Reads a whole document.
    static func document(_ bytes: [UInt8]) throws(PortMappingError) -> XMLElement {
        var reader = XMLReader(bytes)
        return try reader.document()
    }

    fileprivate mutating func append(_ text: String) { self.text += text }
    fileprivate mutating func append(_ child: XMLElement) { self.children.append(child) }
}

private struct XMLReader {
    private var rest: ArraySlice<UInt8>
    private var elements = 0

    init(_ bytes: [UInt8]) {
        // A byte order mark means nothing in UTF-8.
        self.rest = bytes.starts(with: [0xef, 0xbb, 0xbf]) ? bytes[3...] : bytes[...]
    }

    mutating func document() throws(PortMappingError) -> XMLElement {
        var open: [XMLElement] = []
        while let byte = self.rest.first {
            guard byte == UInt8(ascii: "<") else {
                let text = self.rest.prefix { $0 != UInt8(ascii: "<") }
                self.rest = self.rest.dropFirst(text.count)
                if open.isEmpty {
                    guard text.allSatisfy({ $0 <= 0x20 }) else { throw .malformed(.upnp, "text outside of XML") }
                } else {
                    open[open.count - 1].append(try Self.unescaped(text))
                }
                continue
            }
            if self.skip("<!--") {
                _ = try self.take(until: "-->")
            } else if self.skip("<![CDATA[") {
                guard !open.isEmpty else { throw .malformed(.upnp, "text outside of XML") }
                open[open.count - 1].append(String(decoding: try self.take(until: "]]>"), as: UTF8.self))
            } else if self.skip("<!") {
                throw .malformed(.upnp, "its XML has a document type")
            } else if self.skip("<?") {
                _ = try self.take(until: "?>")
            } else if self.skip("</") {
                let name = try Self.name(try self.take(until: ">"))
                guard let closed = open.popLast(), closed.name == name else {
                    throw .malformed(.upnp, "its XML closes what is not open")
                }
                if open.isEmpty { return try self.finish(closed) }
                open[open.count - 1].append(closed)
            } else {
                let (element, isEmpty) = try self.start()
                if !isEmpty {
                    guard open.count < XMLElement.maximumDepth else { throw .malformed(.upnp, "its XML is too deep") }
                    open.append(element)
                } else if open.isEmpty {
                    return try self.finish(element)
                } else {
                    open[open.count - 1].append(element)
                }
            }
        }
        throw .malformed(.upnp, "its XML ends too early")
    }

    /// Nothing but space and comments follows the outermost element.
    private mutating func finish(_ element: XMLElement) throws(PortMappingError) -> XMLElement {
        while let byte = self.rest.first {
            if byte <= 0x20 {
                self.rest = self.rest.dropFirst()
            } else if self.skip("<!--") {
                _ = try self.take(until: "-->")
            } else {
                throw .malformed(.upnp, "something follows its XML")
            }
        }
        return element
    }

    private mutating func start() throws(PortMappingError) -> (XMLElement, isEmpty: Bool) {
        self.rest = self.rest.dropFirst()
        // A `>` may stand in an attribute's quotes.
        var quote: UInt8?
        guard
            let end = self.rest.firstIndex(where: { byte in
                if let open = quote {
                    if byte == open { quote = nil }
                    return false
                }
                if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") { quote = byte }
                return byte == UInt8(ascii: ">")
            })
        else { throw .malformed(.upnp, "its XML ends too early") }
        var tag = self.rest[..<end]
        self.rest = self.rest[(end + 1)...]
        let isEmpty = tag.last == UInt8(ascii: "/")
        if isEmpty { tag = tag.dropLast() }
        self.elements += 1
        guard self.elements <= XMLElement.maximumElements else {
            throw .malformed(.upnp, "its XML has too many elements")
        }
        return (XMLElement(name: try Self.name(tag.prefix { $0 > 0x20 })), isEmpty)
    }

    /// A name without its prefix.
    private static func name(_ bytes: ArraySlice<UInt8>) throws(PortMappingError) -> String {
        let qualified = bytes.prefix { $0 > 0x20 }
        let local = qualified.lastIndex(of: UInt8(ascii: ":")).map { qualified[($0 + 1)...] } ?? qualified
        guard (1...XMLElement.maximumName).contains(local.count),
            local.allSatisfy({ $0 >= 0x80 || $0 == 0x2d || $0 == 0x2e || $0 == 0x5f || Self.isAlphanumeric($0) })
        else { throw .malformed(.upnp, "an XML element has no proper name") }
        return String(decoding: local, as: UTF8.self)
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        IPAddressText.isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
    }

    private mutating func skip(_ text: StaticString) -> Bool {
        let matches = text.withUTF8Buffer { self.rest.starts(with: $0) }
        if matches { self.rest = self.rest.dropFirst(text.utf8CodeUnitCount) }
        return matches
    }

    private mutating func take(until text: String) throws(PortMappingError) -> ArraySlice<UInt8> {
        guard let end = self.rest.firstRange(of: Array(text.utf8)) else {
            throw .malformed(.upnp, "its XML ends too early")
        }
        defer { self.rest = self.rest[end.upperBound...] }
        return self.rest[..<end.lowerBound]
    }

    /// Text with XML's own five entities and character numbers.
    private static func unescaped(_ bytes: ArraySlice<UInt8>) throws(PortMappingError) -> String {
        var text: [UInt8] = []
        var rest = bytes
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "&") else {
                text.append(byte)
                continue
            }
            guard let end = rest.prefix(12).firstIndex(of: UInt8(ascii: ";")) else {
                throw .malformed(.upnp, "its XML has an unknown entity")
            }
            let entity = String(decoding: rest[..<end], as: UTF8.self)
            rest = rest[(end + 1)...]
            switch entity {
            case "lt": text.append(UInt8(ascii: "<"))
            case "gt": text.append(UInt8(ascii: ">"))
            case "amp": text.append(UInt8(ascii: "&"))
            case "apos": text.append(UInt8(ascii: "'"))
            case "quot": text.append(UInt8(ascii: "\""))
            default:
                let number =
                    entity.hasPrefix("#x")
                    ? UInt32(entity.dropFirst(2), radix: 16)
                    : entity.hasPrefix("#") ? UInt32(entity.dropFirst()) : nil
                guard let number, let scalar = Unicode.Scalar(number) else {
                    throw .malformed(.upnp, "its XML has an unknown entity")
                }
                text += Array(String(scalar).utf8)
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
