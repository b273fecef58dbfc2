// SPDX-License-Identifier: MIT

internal import Configuration

/// The full name of a key or a table: `drivers.bitcoin.connect`.
struct SettingPath: Hashable, Sendable, Comparable, CustomStringConvertible {
    let components: [String]

    init(_ components: [String]) {
        self.components = components
    }

    init(_ components: String...) {
        self.components = components
    }

    /// The whole file.
    static let root = SettingPath([])

    /// The part after the last dot.
    var name: String { self.components.last ?? "" }

    /// The table that the key stands in.
    var table: SettingPath { SettingPath(self.components.dropLast()) }

    /// The path with the dots that people write.
    var description: String { self.components.joined(separator: ".") }

    /// The table's header as TOML writes it.
    var header: String { "[\(Readable.text(self.description))]" }

    var configKey: ConfigKey { ConfigKey(self.components) }

    /// The environment variable that sets the key.
    ///
    /// Dots and dashes both become underscores, so two paths may share one variable.
    var environmentName: String {
        let name = self.components.joined(separator: "_").uppercased()
        return Self.environmentPrefix + name.map { $0 == "-" ? "_" : String($0) }.joined()
    }

    /// What the names of all environment variables of ours start with.
    static let environmentPrefix = "ALTNET_"

    func appending(_ component: String) -> SettingPath {
        SettingPath(self.components + [component])
    }

    static func < (left: Self, right: Self) -> Bool {
        left.components.lexicographicallyPrecedes(right.components)
    }
}
