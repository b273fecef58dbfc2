// SPDX-License-Identifier: MIT

/// The lines on which a TOML file gives its keys and opens its tables, which TOMLKit does not tell.
///
/// For text that TOMLKit has accepted. Knows table headers, bare, quoted and dotted keys; a key within an inline table
/// has the line of that table. Where it loses its way, it knows no lines rather than wrong ones.
struct KeyLines: Sendable {
    /// The most parts of a key: twice what any of ours has. A million of them would exhaust TOMLKit's stack.
    static let maximumDepth = 8

    private var keys: [[String]: Int] = [:]
    private var tables: [[String]: Int] = [:]

    init(_ text: String) {
        var scanner = Scanner(bytes: Array(text.utf8))
        var table: [String]? = []
        while let statement = scanner.next() {
            switch statement {
            case .header(let path, let line):
                table = path
                if let path { Self.remember(path, line, in: &self.tables) }
            case .key(let path, let line):
                guard let table, let path else { continue }
                // `a.b = 1` opens the table `a` too.
                for count in path.indices.dropFirst() {
                    Self.remember(table + path[..<count], line, in: &self.tables)
                }
                Self.remember(table + path, line, in: &self.keys)
            }
        }
    }

    /// The line of the first key with more than ``maximumDepth`` parts. To be asked before TOMLKit sees the text.
    static func tooDeep(in text: String) -> Int? {
        var scanner = Scanner(bytes: Array(text.utf8))
        return scanner.nextKey(deeperThan: Self.maximumDepth)
    }

    /// The line, counted from 1, where a key is given or a table opened for the first time.
    func line(of path: [String]) -> Int? {
        if let line = self.keys[path] ?? self.tables[path] { return line }
        // What is not there by itself may stand in an inline table.
        for count in path.indices.reversed() {
            if let line = self.keys[Array(path[..<count])] { return line }
        }
        return nil
    }

    private static func remember(_ path: [String], _ line: Int, in lines: inout [[String]: Int]) {
        if lines[path] == nil { lines[path] = line }
    }
}

/// Walks over a TOML file statement by statement, and over values without looking into them.
private struct Scanner {
    enum Statement {
        /// `[path]`; `nil` for a path with an escaped character.
        case header([String]?, line: Int)
        /// `path = …`; `nil` as for headers.
        case key([String]?, line: Int)
    }

    let bytes: [UInt8]
    private var position = 0
    private var line = 1

    init(bytes: [UInt8]) {
        self.bytes = bytes
        // A byte order mark.
        if bytes.starts(with: [0xef, 0xbb, 0xbf]) { self.position = 3 }
    }

    /// The next statement; `nil` at the end, or where the text is no TOML.
    mutating func next() -> Statement? {
        self.skipBlank()
        let line = self.line
        if self.peek == UInt8(ascii: "[") {
            self.skip { $0 == UInt8(ascii: "[") }
            guard let path = self.path(), self.peek == UInt8(ascii: "]") else { return nil }
            self.skip { $0 != UInt8(ascii: "\n") }
            return .header(path.parts, line: line)
        }
        guard self.peek != nil, let path = self.path(), self.peek == UInt8(ascii: "=") else { return nil }
        self.position += 1
        self.skipValue()
        return .key(path.parts, line: line)
    }

    /// The line of the first key with more parts than that, wherever it stands; `nil` when there is none.
    mutating func nextKey(deeperThan limit: Int) -> Int? {
        var parts = 1
        while let byte = self.peek {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "'"):
                self.skipAnyString(byte)
            case UInt8(ascii: "#"):
                self.skip { $0 != UInt8(ascii: "\n") }
            case UInt8(ascii: "."):
                parts += 1
                if parts > limit { return self.line }
                self.position += 1
            case UInt8(ascii: "="), UInt8(ascii: ","), UInt8(ascii: "{"), UInt8(ascii: "["):
                parts = 1
                self.position += 1
            case UInt8(ascii: "\n"):
                parts = 1
                self.line += 1
                self.position += 1
            default:
                self.position += 1
            }
        }
        return nil
    }

    private var peek: UInt8? { self.position < self.bytes.count ? self.bytes[self.position] : nil }

    private mutating func skip(while condition: (UInt8) -> Bool) {
        while let byte = self.peek, condition(byte) { self.position += 1 }
    }

    private mutating func skipSpaces() {
        self.skip { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
    }

    /// Goes over empty lines and comments.
    private mutating func skipBlank() {
        while let byte = self.peek {
            switch byte {
            case UInt8(ascii: "\n"):
                self.line += 1
                self.position += 1
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"):
                self.position += 1
            case UInt8(ascii: "#"):
                self.skip { $0 != UInt8(ascii: "\n") }
            default:
                return
            }
        }
    }

    /// A dotted key; without parts when it has an escaped character.
    private struct Path {
        let parts: [String]?
    }

    /// One part of a key; without text when that has an escaped character.
    private struct Part {
        let text: String?
    }

    /// Reads a dotted key and the spaces after it. `nil` when there is none.
    private mutating func path() -> Path? {
        var parts: [String]? = []
        while true {
            self.skipSpaces()
            guard let part = self.part() else { return nil }
            if let text = part.text {
                parts?.append(text)
            } else {
                parts = nil
            }
            self.skipSpaces()
            guard self.peek == UInt8(ascii: ".") else { return Path(parts: parts) }
            self.position += 1
        }
    }

    /// Reads one part of a key. `nil` when there is none.
    private mutating func part() -> Part? {
        guard let quote = self.peek else { return nil }
        let isQuoted = quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'")
        if isQuoted { self.position += 1 }
        let start = self.position
        if isQuoted {
            self.skipString(quote)
            guard self.position > start else { return nil }
        } else {
            self.skip {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
            guard self.position > start else { return nil }
        }
        let text = self.bytes[start..<(isQuoted ? self.position - 1 : self.position)]
        let isEscaped = quote == UInt8(ascii: "\"") && text.contains(UInt8(ascii: "\\"))
        return Part(text: isEscaped ? nil : String(decoding: text, as: UTF8.self))
    }

    /// Goes to the end of the line on which a value ends.
    private mutating func skipValue() {
        var depth = 0
        while let byte = self.peek {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "'"):
                self.skipAnyString(byte)
            case UInt8(ascii: "["), UInt8(ascii: "{"):
                depth += 1
                self.position += 1
            case UInt8(ascii: "]"), UInt8(ascii: "}"):
                depth -= 1
                self.position += 1
            case UInt8(ascii: "#"):
                self.skip { $0 != UInt8(ascii: "\n") }
            case UInt8(ascii: "\n"):
                if depth <= 0 { return }
                self.line += 1
                self.position += 1
            default:
                self.position += 1
            }
        }
    }

    /// Goes behind a string whose first quote is next.
    private mutating func skipAnyString(_ quote: UInt8) {
        if self.bytes[self.position...].starts(with: [quote, quote, quote]) {
            self.position += 3
            self.skipLongString(quote)
        } else {
            self.position += 1
            self.skipString(quote)
        }
    }

    /// Goes behind the closing quote of a string, or to the end of the line.
    private mutating func skipString(_ quote: UInt8) {
        while let byte = self.peek, byte != UInt8(ascii: "\n") {
            self.position += 1
            if byte == quote { return }
            if byte == UInt8(ascii: "\\"), quote == UInt8(ascii: "\""), self.peek != UInt8(ascii: "\n") {
                self.position = min(self.position + 1, self.bytes.count)
            }
        }
    }

    /// Goes behind the three closing quotes of a string that may have many lines.
    private mutating func skipLongString(_ quote: UInt8) {
        while let byte = self.peek {
            if self.bytes[self.position...].starts(with: [quote, quote, quote]) {
                // The string itself may end with up to two quotes.
                let end = min(self.position + 5, self.bytes.count)
                self.position += 3
                while self.position < end, self.peek == quote { self.position += 1 }
                return
            }
            self.position += 1
            if byte == UInt8(ascii: "\n") { self.line += 1 }
            if byte == UInt8(ascii: "\\"), quote == UInt8(ascii: "\""), let escaped = self.peek {
                if escaped == UInt8(ascii: "\n") { self.line += 1 }
                self.position += 1
            }
        }
    }
}
