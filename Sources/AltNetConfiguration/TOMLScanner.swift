// SPDX-License-Identifier: MIT

/// Walks over a TOML file statement by statement, and over values without looking into them.
struct TOMLScanner: Sendable {
    enum Statement {
        /// `[path]`; `nil` for a path with an escaped character.
        case header([String]?, line: Int)
        /// `path = …`; `nil` as for headers.
        case key([String]?, line: Int)
    }

    /// Something that TOMLKit must not see.
    struct Mistake: Hashable, Sendable {
        let line: Int
        /// What is wrong, in the parser's style.
        let text: String
    }

    private let bytes: [UInt8]
    private var position = 0
    private var line = 1
    /// The mistake at which the walk ended; not every mistake is noticed.
    private(set) var mistake: Mistake?

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
            self.position += 1
            if self.peek == UInt8(ascii: "[") { self.position += 1 }
            self.skipSpaces()
            guard self.peek.map({ Self.isBare($0) || Self.isQuote($0) || $0 == UInt8(ascii: "]") }) ?? true else {
                self.mistake = Mistake(line: line, text: "in table header: expected a name after '['")
                return nil
            }
            guard let path = self.path(), self.peek == UInt8(ascii: "]") else { return nil }
            self.skip { $0 != UInt8(ascii: "\n") }
            return .header(path.parts, line: line)
        }
        guard self.peek != nil, let path = self.path(), self.peek == UInt8(ascii: "=") else { return nil }
        self.position += 1
        self.skipValue()
        return self.mistake == nil ? .key(path.parts, line: line) : nil
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

    private static func isQuote(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") }

    /// Whether a byte may be part of a key without quotes.
    private static func isBare(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

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
        let isQuoted = Self.isQuote(quote)
        if isQuoted { self.position += 1 }
        let start = self.position
        if isQuoted {
            self.skipString(quote)
            guard self.position > start else { return nil }
        } else {
            self.skip(while: Self.isBare)
            guard self.position > start else { return nil }
        }
        let text = self.bytes[start..<(isQuoted ? self.position - 1 : self.position)]
        let isEscaped = quote == UInt8(ascii: "\"") && text.contains(UInt8(ascii: "\\"))
        return Part(text: isEscaped ? nil : String(decoding: text, as: UTF8.self))
    }

    /// Goes to the end of the line on which a value ends.
    private mutating func skipValue() {
        var open: [UInt8] = []
        var expectsValue = true
        while let byte = self.peek, self.mistake == nil {
            switch byte {
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"):
                self.position += 1
            case UInt8(ascii: "#"):
                self.skip { $0 != UInt8(ascii: "\n") }
            case UInt8(ascii: "\n"):
                if open.isEmpty { return }
                self.line += 1
                self.position += 1
            case UInt8(ascii: "["), UInt8(ascii: "{"):
                open.append(byte)
                self.position += 1
                expectsValue = byte == UInt8(ascii: "[")
            case UInt8(ascii: ","):
                self.position += 1
                expectsValue = open.last == UInt8(ascii: "[")
            case UInt8(ascii: "="):
                self.position += 1
                expectsValue = true
            case UInt8(ascii: "}") where expectsValue:
                self.mistake = Mistake(line: self.line, text: "expected a value")
            case UInt8(ascii: "]"), UInt8(ascii: "}"):
                _ = open.popLast()
                self.position += 1
                expectsValue = false
            case UInt8(ascii: "\""), UInt8(ascii: "'"):
                self.skipAnyString(byte)
                expectsValue = false
            default:
                self.skipWord(isValue: expectsValue)
                expectsValue = false
            }
        }
    }

    /// Goes behind what is neither a string nor a list nor an inline table.
    private mutating func skipWord(isValue: Bool) {
        let start = self.position
        self.skip { byte in
            switch byte {
            case UInt8(ascii: ","), UInt8(ascii: "]"), UInt8(ascii: "}"), UInt8(ascii: "#"), UInt8(ascii: "="): false
            default: (0x21...0x7e).contains(byte)
            }
        }
        let word = self.bytes[start..<self.position]
        if isValue, word.isEmpty {
            self.mistake = Mistake(line: self.line, text: "expected a value")
        } else if isValue, Self.isTime(word) {
            self.mistake = Mistake(
                line: self.line,
                text: "text needs quotes, and dates and times are not used"
            )
        } else if word.isEmpty {
            self.position += 1
        }
    }

    /// Whether a word has a colon, or a dash after a digit, as dates and times and no other values have.
    private static func isTime(_ word: ArraySlice<UInt8>) -> Bool {
        word.contains(UInt8(ascii: ":"))
            || zip(word, word.dropFirst()).contains { left, right in
                (0x30...0x39).contains(left) && right == UInt8(ascii: "-")
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
