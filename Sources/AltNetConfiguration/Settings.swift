// SPDX-License-Identifier: MIT

internal import Configuration

/// The values of all keys, whichever source they come from, with what is needed to complain about them.
struct Settings: Sendable {
    private let reader: ConfigReader
    private let layers: [Layer]
    /// What relative paths and `~` stand for.
    let home: String?
    private let currentDirectory: String

    /// - Parameter layers: The sources, the one that wins first.
    init(layers: [Layer], home: String?, currentDirectory: String) {
        self.reader = ConfigReader(providers: layers.map(\.provider))
        self.layers = layers
        self.home = home
        self.currentDirectory = currentDirectory
    }

    /// Where the value of a key comes from.
    func place(of path: SettingPath) -> ConfigurationError.Place {
        self.layers.lazy.compactMap { $0.places[path] }.first ?? .defaults
    }

    /// Says that a value is not one that the key takes.
    func invalid(_ path: SettingPath, _ rest: String) -> ConfigurationError {
        ConfigurationError(.invalidValue, self.place(of: path), "\(Readable.quoted(path.description)) \(rest)")
    }

    func text(_ path: SettingPath) -> String? { self.reader.string(forKey: path.configKey) }

    func texts(_ path: SettingPath) -> [String]? { self.reader.stringArray(forKey: path.configKey) }

    func number(_ path: SettingPath) -> Int? { self.reader.int(forKey: path.configKey) }

    func flag(_ path: SettingPath) -> Bool? { self.reader.bool(forKey: path.configKey) }

    /// A whole number within bounds.
    func number(
        _ path: SettingPath,
        default fallback: Int,
        in range: ClosedRange<Int>
    ) throws(ConfigurationError) -> Int {
        let number = self.number(path) ?? fallback
        guard range.contains(number) else {
            throw self.invalid(path, "must be from \(range.lowerBound) to \(range.upperBound), not \(number)")
        }
        return number
    }

    /// A number of seconds within bounds, fractions included.
    func seconds(
        _ path: SettingPath,
        default fallback: Duration,
        in range: ClosedRange<Double>
    ) throws(ConfigurationError) -> Duration {
        guard let seconds = self.reader.double(forKey: path.configKey) else { return fallback }
        guard range.contains(seconds) else {
            let bounds = "from \(Readable.number(range.lowerBound)) to \(Readable.number(range.upperBound))"
            throw self.invalid(path, "must be \(bounds), not \(Readable.number(seconds))")
        }
        // Whole microseconds, so that 0.3 is what it seems to be.
        return .microseconds(Int64((seconds * 1e6).rounded()))
    }

    /// One of several words.
    func choice<Value>(
        _ path: SettingPath,
        default fallback: Value,
        among words: [String],
        _ make: (String) -> Value?
    ) throws(ConfigurationError) -> Value {
        guard let text = self.text(path) else { return fallback }
        guard let value = make(text) else { throw self.notAmong(words, path, text) }
        return value
    }

    /// Says that a word is none of those that the key takes, and which one may have been meant.
    func notAmong(_ words: [String], _ path: SettingPath, _ text: String) -> ConfigurationError {
        let hint = Readable.nearest(to: text, among: words).map { "; did you mean `\($0)`?" } ?? ""
        return self.invalid(path, "must be \(Readable.list(words, "or")), not \(Readable.quoted(text))\(hint)")
    }

    /// A path of a file or directory, made absolute. `~/` stands for the home directory.
    func filePath(_ path: SettingPath) throws(ConfigurationError) -> String? {
        guard let text = self.text(path) else { return nil }
        return try self.absolute(text, path)
    }

    /// Makes a path that a key gave absolute.
    func absolute(_ text: String, _ path: SettingPath) throws(ConfigurationError) -> String {
        guard !text.isEmpty else { throw self.invalid(path, "must not be empty") }
        guard !text.utf8.contains(0), !text.contains("\n") else {
            throw self.invalid(path, "must be a path, not \(Readable.quoted(text))")
        }
        if text.hasPrefix("/") { return Self.withoutTrailingSlash(text) }
        if text == "~" || text.hasPrefix("~/") {
            guard let home else { throw self.invalid(path, "needs a home directory: HOME is not set") }
            return Self.withoutTrailingSlash(home + text.dropFirst())
        }
        let relative = text.hasPrefix("./") ? text.dropFirst(2) : text[...]
        return Self.withoutTrailingSlash("\(Self.withoutTrailingSlash(self.currentDirectory))/\(relative)")
    }

    private static func withoutTrailingSlash(_ path: String) -> String {
        var path = path[...]
        while path.count > 1, path.hasSuffix("/") { path = path.dropLast() }
        return String(path)
    }
}
