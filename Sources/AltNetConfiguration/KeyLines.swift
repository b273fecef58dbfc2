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
        var scanner = TOMLScanner(bytes: Array(text.utf8))
        var table: [String]? = []
        while let statement = scanner.next() {
            switch statement {
            case .header(let path, let line):
                table = path
                guard let path else { continue }
                // `[a.b]` opens the table `a` too.
                for count in 1...path.count { Self.remember(path[..<count], line, in: &self.tables) }
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
        var scanner = TOMLScanner(bytes: Array(text.utf8))
        return scanner.nextKey(deeperThan: Self.maximumDepth)
    }

    /// The first mistake of those that TOMLKit 0.6.0 meets with a failing assertion instead of an error: a `[` that no
    /// name follows (`[#`), a list item that cannot be one (`[}`), and dates and times that end too early, together
    /// with all other dates and times. To be asked before it sees the text.
    static func fatalMistake(in text: String) -> TOMLScanner.Mistake? {
        var scanner = TOMLScanner(bytes: Array(text.utf8))
        while scanner.next() != nil {}
        return scanner.mistake
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

    private static func remember(_ path: some Sequence<String>, _ line: Int, in lines: inout [[String]: Int]) {
        let path = Array(path)
        if lines[path] == nil { lines[path] = line }
    }
}
