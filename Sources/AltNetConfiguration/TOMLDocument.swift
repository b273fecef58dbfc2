// SPDX-License-Identifier: MIT

internal import TOMLKit

/// What a TOML file says, in values that can be sent: TOMLKit's own types are references into C++.
struct TOMLDocument: Sendable {
    indirect enum Node: Sendable {
        case text(String)
        case number(Int)
        case real(Double)
        case flag(Bool)
        case list([Node])
        case table([String: Node])
        /// A date or a time, which nothing here takes and ``TOMLScanner`` refuses before.
        case other
    }

    /// Tables and lists nested deeper than this count as empty: the deepest key of ours is at level 4, and a key
    /// of a million dots must not exhaust the stack.
    private static let maximumDepth = 8

    /// The longest explanation of the parser that is passed on; the usual ones are half as long.
    private static let maximumDetailLength = 200

    let fileName: String
    let root: [String: Node]
    private let lines: KeyLines

    /// Reads the text of a file.
    init(_ text: String, fileName: String) throws(ConfigurationError) {
        self.fileName = fileName
        try Self.checkCharacters(text, fileName)
        if let line = KeyLines.tooDeep(in: text) {
            throw ConfigurationError(
                .syntax,
                .file(fileName, line: line),
                "a key may have at most \(KeyLines.maximumDepth) parts"
            )
        }
        if let mistake = KeyLines.fatalMistake(in: text) {
            throw ConfigurationError(
                .syntax,
                .file(fileName, line: mistake.line),
                "this is not TOML: \(mistake.text)"
            )
        }
        do {
            self.root = Self.nodes(of: try TOMLTable(string: text), depth: 0)
        } catch let error as TOMLParseError {
            throw Self.explain(error, fileName)
        } catch {
            throw ConfigurationError(.syntax, .file(fileName), "this is not TOML")
        }
        self.lines = KeyLines(text)
    }

    /// Where a key or a table is.
    func place(of path: SettingPath) -> ConfigurationError.Place {
        .file(self.fileName, line: self.lines.line(of: path.components))
    }

    /// What is in a table, in the order of the file, so that the first mistake is the one that is reported.
    func entries(of nodes: [String: Node], at table: SettingPath) -> [(SettingPath, Node)] {
        nodes.map { key, node in
            let path = table.appending(key)
            return (line: self.lines.line(of: path.components) ?? .max, path: path, node: node)
        }
        .sorted { ($0.line, $0.path) < ($1.line, $1.path) }
        .map { ($0.path, $0.node) }
    }

    /// TOMLKit hands strings over as C does, so that a zero character would cut off what follows it.
    private static func checkCharacters(_ text: String, _ fileName: String) throws(ConfigurationError) {
        guard Self.hasZero(text[...]) else { return }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        throw ConfigurationError(
            .syntax,
            .file(fileName, line: lines.firstIndex(where: Self.hasZero).map { $0 + 1 }),
            "there must be no zero character in the file"
        )
    }

    private static func hasZero(_ text: Substring) -> Bool {
        text.utf8.contains(0) || text.contains(#"\u0000"#) || text.contains(#"\U00000000"#)
    }

    private static func explain(_ error: TOMLParseError, _ fileName: String) -> ConfigurationError {
        let begin = error.source.begin
        let text = error.description
        if text.contains("cannot redefine existing") {
            let quoted = text.split(separator: "'", omittingEmptySubsequences: false)
            let name = quoted.count > 2 ? Readable.quoted(String(quoted[1])) : "this key"
            return ConfigurationError(
                .duplicateKey,
                .file(fileName, line: begin.line),
                "\(name) is given a second time"
            )
        }
        let prefix = "Error while parsing "
        let detail = text.hasPrefix(prefix) ? "in " + text.dropFirst(prefix.count) : text
        return ConfigurationError(
            .syntax,
            .file(fileName, line: begin.line, column: begin.column),
            "this is not TOML: \(Readable.text(detail, maximumLength: Self.maximumDetailLength))"
        )
    }

    private static func nodes(of table: TOMLTable, depth: Int) -> [String: Node] {
        var nodes: [String: Node] = [:]
        for key in table.keys {
            nodes[key] = table[key].map { Self.node($0.tomlValue, depth: depth + 1) }
        }
        return nodes
    }

    private static func node(_ value: TOMLValue, depth: Int) -> Node {
        let node: Node? =
            switch value.type {
            case .string: value.string.map { .text($0) }
            case .int: value.int.map { .number($0) }
            case .double: value.double.map { .real($0) }
            case .bool: value.bool.map { .flag($0) }
            case _ where depth > Self.maximumDepth: .table([:])
            case .table: value.table.map { .table(Self.nodes(of: $0, depth: depth)) }
            case .array: value.array.map { .list($0.map { Self.node($0.tomlValue, depth: depth + 1) }) }
            case .date, .time, .dateTime: nil
            }
        return node ?? .other
    }
}

extension TOMLDocument.Node {
    /// The end of "it must be …, not …".
    var description: String {
        switch self {
        case .text: "a string"
        case .number: "a whole number"
        case .real: "a number with a fraction"
        case .flag: "true or false"
        case .list: "a list"
        case .table: "a table"
        case .other: "a date or a time"
        }
    }
}
