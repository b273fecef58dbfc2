// SPDX-License-Identifier: MIT

internal import Configuration

/// What one source says: the file, the environment or the command line.
struct Layer: Sendable {
    private(set) var values: [SettingPath: ConfigContent] = [:]
    private(set) var places: [SettingPath: ConfigurationError.Place] = [:]
    private let name: String

    private init(_ name: String) {
        self.name = name
    }

    /// The layer in the form in which swift-configuration reads it.
    var provider: InMemoryProvider {
        let values = self.values.map { (AbsoluteConfigKey($0.key.configKey), ConfigValue($0.value, isSecret: false)) }
        return InMemoryProvider(name: self.name, values: Dictionary(values) { first, _ in first })
    }

    private mutating func set(_ path: SettingPath, _ content: ConfigContent, _ place: ConfigurationError.Place) {
        self.values[path] = content
        self.places[path] = place
    }

    private mutating func set(
        _ path: SettingPath,
        text: String,
        _ kind: ValueKind,
        _ place: ConfigurationError.Place
    ) throws(ConfigurationError) {
        guard let content = kind.content(from: text) else {
            throw ConfigurationError(
                .wrongType,
                place,
                "\(Readable.quoted(path.description)) must be \(kind.description), not \(Readable.quoted(text))"
            )
        }
        self.set(path, content, place)
    }
}

// MARK: - The file

extension Layer {
    /// Takes what a file says. The settings that only a driver knows become known to the schema with their types.
    init(file: TOMLDocument?, schema: inout Schema) throws(ConfigurationError) {
        self.init("file")
        guard let file else { return }
        try self.collect(file.root, at: .root, file, &schema)
    }

    private mutating func collect(
        _ nodes: [String: TOMLDocument.Node],
        at table: SettingPath,
        _ file: TOMLDocument,
        _ schema: inout Schema
    ) throws(ConfigurationError) {
        for (path, node) in file.entries(of: nodes, at: table) {
            let place = file.place(of: path)
            if let kind = schema.kinds[path] {
                self.set(path, try Self.content(of: node, kind, path, place), place)
            } else if schema.tables.contains(path) {
                try self.collect(try Self.table(node, path, place), at: path, file, &schema)
            } else if schema.freeTables.contains(path) {
                try self.collectFree(try Self.table(node, path, place), at: path, file, &schema)
            } else if case .table = node {
                throw schema.unknown(path, isTable: true, place)
            } else {
                throw schema.unknown(path, isTable: false, place)
            }
        }
    }

    private mutating func collectFree(
        _ nodes: [String: TOMLDocument.Node],
        at table: SettingPath,
        _ file: TOMLDocument,
        _ schema: inout Schema
    ) throws(ConfigurationError) {
        for (path, node) in file.entries(of: nodes, at: table) {
            let place = file.place(of: path)
            guard let kind = Self.freeKind(of: node), let content = Self.convert(node, kind) else {
                throw ConfigurationError(
                    .wrongType,
                    place,
                    "\(Readable.quoted(path.description)) must be a string, a whole number, true or false, or a list"
                        + " of strings, not \(node.description)"
                )
            }
            schema.addFree(path, kind)
            self.set(path, content, place)
        }
    }

    private static func freeKind(of node: TOMLDocument.Node) -> ValueKind? {
        switch node {
        case .text: .text
        case .number: .number
        case .flag: .flag
        case .list: .texts
        case .real, .table, .other: nil
        }
    }

    /// The keys of a node that must be a table.
    static func table(
        _ node: TOMLDocument.Node,
        _ path: SettingPath,
        _ place: ConfigurationError.Place
    ) throws(ConfigurationError) -> [String: TOMLDocument.Node] {
        guard case .table(let nodes) = node else {
            throw ConfigurationError(
                .wrongType,
                place,
                "\(Readable.quoted(path.description)) must be a table, not \(node.description)"
            )
        }
        return nodes
    }

    /// The value of a node that must be of a certain type.
    static func content(
        of node: TOMLDocument.Node,
        _ kind: ValueKind,
        _ path: SettingPath,
        _ place: ConfigurationError.Place
    ) throws(ConfigurationError) -> ConfigContent {
        if let content = Self.convert(node, kind) { return content }
        let subject = "\(Readable.quoted(path.description)) must be \(kind.description)"
        if case (.list, .texts) = (node, kind) {
            throw ConfigurationError(.wrongType, place, "\(subject) and nothing else")
        }
        throw ConfigurationError(.wrongType, place, "\(subject), not \(node.description)")
    }

    private static func convert(_ node: TOMLDocument.Node, _ kind: ValueKind) -> ConfigContent? {
        switch (kind, node) {
        case (.text, .text(let text)): return .string(text)
        case (.number, .number(let number)): return .int(number)
        case (.real, .number(let number)): return .double(Double(number))
        case (.real, .real(let number)): return .double(number)
        case (.flag, .flag(let flag)): return .bool(flag)
        case (.texts, .list(let nodes)):
            var texts: [String] = []
            for node in nodes {
                guard case .text(let text) = node else { return nil }
                texts.append(text)
            }
            return .stringArray(texts)
        default: return nil
        }
    }
}

// MARK: - The command line

extension Layer {
    /// Takes what the command line says, by dotted keys.
    init(flags: [String: String], schema: inout Schema) throws(ConfigurationError) {
        self.init("command line")
        for (key, text) in flags.sorted(by: { $0.key < $1.key }) {
            let path = SettingPath(flag: key)
            guard !schema.tables.contains(path), !schema.freeTables.contains(path) else {
                throw ConfigurationError(
                    .wrongType,
                    .commandLine,
                    "\(Readable.quoted(key)) is a table: set one of its keys"
                )
            }
            guard let kind = schema.kind(of: path) else {
                throw schema.unknown(path, isTable: false, .commandLine)
            }
            schema.addFree(path, kind)
            try self.set(path, text: text, kind, .commandLine)
        }
    }
}

extension SettingPath {
    /// The path of a dotted key. What follows `drivers.NAME.settings.` is one part, whatever it contains.
    init(flag: String) {
        let parts = flag.split(separator: ".", maxSplits: 3, omittingEmptySubsequences: false).map(String.init)
        self.init(parts)
    }
}

// MARK: - The environment

extension Layer {
    /// Takes what the environment says in variables whose names start with ``SettingPath/environmentPrefix``.
    init(environment: [String: String], schema: inout Schema) throws(ConfigurationError) {
        self.init("environment")
        let known = schema.environmentNames
        for (name, text) in environment.sorted(by: { $0.key < $1.key }) where Self.concernsUs(name) {
            let place = ConfigurationError.Place.environment(name)
            let paths = Self.paths(of: name, known, schema).sorted()
            guard let path = paths.first, let kind = schema.kind(of: path) else {
                throw Self.unknown(name, known.keys)
            }
            guard paths.count == 1 else {
                let names = Readable.list(paths.map { Readable.quoted($0.description) })
                throw ConfigurationError(
                    .ambiguous,
                    place,
                    "this variable could stand for \(names); set them in the file or give a driver another name"
                )
            }
            schema.addFree(path, kind)
            try self.set(path, text: text, kind, place)
        }
    }

    /// Variables with our prefix that are not keys: they belong to the command line, to the tests and to the set-up.
    private static let otherVariables: Set<String> = [
        "ALTNET_SHARED", "ALTNET_BITCOIND", "ALTNET_LIGHTNINGD", DaemonConfiguration.fileVariable,
    ]

    /// Whether a variable with this name must be a key.
    private static func concernsUs(_ name: String) -> Bool {
        name.hasPrefix(SettingPath.environmentPrefix) && !name.hasPrefix("ALTNET_TEST_")
            && !Self.otherVariables.contains(name)
    }

    /// Every key that a variable could stand for.
    private static func paths(
        of name: String,
        _ known: [String: Set<SettingPath>],
        _ schema: Schema
    ) -> Set<SettingPath> {
        var paths = known[name] ?? []
        for table in schema.freeTables where !paths.contains(where: { $0.table == table }) {
            let prefix = table.environmentName + "_"
            guard name.hasPrefix(prefix), name.count > prefix.count else { continue }
            paths.insert(table.appending(name.dropFirst(prefix.count).lowercased()))
        }
        return paths
    }

    private static func unknown(_ name: String, _ known: some Sequence<String>) -> ConfigurationError {
        let drivers = Schema.drivers.environmentName + "_"
        let hint: String
        if let nearest = Readable.nearest(to: name, among: known) {
            hint = "; did you mean \(nearest)?"
        } else if name.hasPrefix(drivers) {
            hint = "; only drivers that the file or the command line names can be set up by the environment"
        } else {
            hint = ""
        }
        return ConfigurationError(.unknownKey, .environment(name), "there is no key for this variable\(hint)")
    }
}
