// SPDX-License-Identifier: MIT

/// The names that the operator gives to tables of one kind, such as `[alerts.NAME]`: needed before it is known which
/// keys a configuration may have.
enum TableNames {
    /// More alert sinks or spliced ports than these are a mistake.
    static let maximumCount = 32

    /// The names below a table that the file or the command line mentions, sorted.
    ///
    /// - Parameter what: what such a table is, for the complaint: "spliced port".
    static func names(
        below table: SettingPath,
        what: String,
        file: TOMLDocument?,
        flags: [String: String]
    ) throws(ConfigurationError) -> [String] {
        var found: [String: ConfigurationError.Place] = [:]
        if let file, let nodes = try Self.nodes(of: table, file) {
            // A key that stands where a table should is left to the schema, which knows what to say about it.
            for case (let name, .table) in nodes { found[name] = file.place(of: table.appending(name)) }
        }
        let depth = table.components.count
        for key in flags.keys {
            let path = SettingPath(flag: key)
            guard path.components.count == depth + 2, path.components.starts(with: table.components) else { continue }
            let name = path.components[depth]
            if found[name] == nil { found[name] = .commandLine }
        }
        for (name, place) in found.sorted(by: { $0.key < $1.key }) {
            try DriverNames.check(name, of: what, place)
        }
        guard found.count <= Self.maximumCount else {
            throw ConfigurationError(
                .invalidValue,
                file?.place(of: table) ?? .commandLine,
                "there may be at most \(Self.maximumCount) tables below \(table.header), not \(found.count)"
            )
        }
        return found.keys.sorted()
    }

    private static func nodes(
        of table: SettingPath,
        _ file: TOMLDocument
    ) throws(ConfigurationError) -> [String: TOMLDocument.Node]? {
        var nodes = file.root
        var path = SettingPath.root
        for component in table.components {
            path = path.appending(component)
            guard let node = nodes[component] else { return nil }
            nodes = try Layer.table(node, path, file.place(of: path))
        }
        return nodes
    }
}
