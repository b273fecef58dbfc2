// SPDX-License-Identifier: MIT

internal import Configuration

/// Which drivers there are, and where they come from: needed before it is known which keys a configuration may have.
enum DriverNames {
    /// The drivers that need no program to be named.
    static let builtIn = ["bitcoin", "libp2p", "lightning", "punch"]
    /// Those that run when the configuration names none.
    static let byDefault = ["bitcoin", "lightning"]
    /// Each driver is a process; more than these are a mistake.
    static let maximumCount = 64
    /// The longest name of a driver: it is part of file names and log lines.
    static let maximumLength = 32

    /// Where all drivers come from that the sources name, by the drivers' names; the two default ones when no source
    /// names any.
    static func origins(
        file: TOMLDocument?,
        environment: [String: String],
        flags: [String: String]
    ) throws(ConfigurationError) -> [String: DriverOrigin] {
        var named: [String: ConfigurationError.Place] = [:]
        if let file, let node = file.root[Schema.drivers.name] {
            for name in try Layer.table(node, Schema.drivers, file.place(of: Schema.drivers)).keys {
                named[name] = file.place(of: Schema.drivers.appending(name))
            }
        }
        for key in flags.keys {
            let path = SettingPath(flag: key)
            guard path.components.count > 2, path.components[0] == Schema.drivers.name else { continue }
            let name = path.components[1]
            if named[name] == nil { named[name] = .commandLine }
        }
        var origins: [String: DriverOrigin] = [:]
        for (name, place) in named.sorted(by: { $0.key < $1.key }) {
            try Self.check(name, of: "driver", place)
            origins[name] = try Self.origin(of: name, file, environment, flags, place)
        }
        for (name, origin) in Self.namedByEnvironment(environment, besides: origins) { origins[name] = origin }
        if origins.isEmpty {
            for name in Self.byDefault { origins[name] = .program(Self.defaultProgram(of: name)) }
        }
        guard origins.count <= Self.maximumCount else {
            throw ConfigurationError(
                .invalidValue,
                file?.place(of: Schema.drivers) ?? .commandLine,
                "there may be at most \(Self.maximumCount) drivers, not \(origins.count)"
            )
        }
        return origins
    }

    private static func defaultProgram(of name: String) -> String { "altnet-\(name)" }

    /// Refuses a name that is not fit for file names, log lines and command lines.
    ///
    /// - Parameter what: what is named so.
    static func check(
        _ name: String,
        of what: String,
        _ place: ConfigurationError.Place
    ) throws(ConfigurationError) {
        let isValid =
            (1...Self.maximumLength).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                    UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
        guard isValid else {
            throw ConfigurationError(
                .invalidValue,
                place,
                "the \(what)'s name \(Readable.quoted(name)) must have 1 to \(Self.maximumLength) characters of a to z,"
                    + " 0 to 9, `-` and `_`"
            )
        }
    }

    private static func origin(
        of name: String,
        _ file: TOMLDocument?,
        _ environment: [String: String],
        _ flags: [String: String],
        _ place: ConfigurationError.Place
    ) throws(ConfigurationError) -> DriverOrigin {
        let path = Schema.drivers.appending(name).appending("program")
        // Any other word is refused later, when it is known where it stands.
        if try Self.text("start", of: name, file, environment, flags) == "external" { return .external }
        if let program = try Self.text("program", of: name, file, environment, flags) { return .program(program) }
        guard Self.builtIn.contains(name) else {
            throw ConfigurationError(
                .missingKey,
                place,
                "the driver `\(name)` needs `\(path)`, the executable to start"
            )
        }
        return .program(Self.defaultProgram(of: name))
    }

    /// What the sources say for one key of a driver.
    private static func text(
        _ key: String,
        of name: String,
        _ file: TOMLDocument?,
        _ environment: [String: String],
        _ flags: [String: String]
    ) throws(ConfigurationError) -> String? {
        let driver = Schema.drivers.appending(name)
        let path = driver.appending(key)
        if let text = flags[path.description] ?? environment[path.environmentName] { return text }
        guard let file, case .table(let drivers) = file.root[Schema.drivers.name], let table = drivers[name],
            let node = try Layer.table(table, driver, file.place(of: driver))[key],
            case .string(let text) = try Layer.content(of: node, .text, path, file.place(of: path))
        else { return nil }
        return text
    }

    /// The built-in drivers that no other source names and that a variable of the environment is for.
    private static func namedByEnvironment(
        _ environment: [String: String],
        besides origins: [String: DriverOrigin]
    ) -> [String: DriverOrigin] {
        let taken = Schema(origins: origins).environmentNames
        var found: [String: DriverOrigin] = [:]
        for name in Self.builtIn where origins[name] == nil {
            let driver = Schema.drivers.appending(name)
            let program = environment[driver.appending("program").environmentName] ?? Self.defaultProgram(of: name)
            let isExternal = environment[driver.appending("start").environmentName] == "external"
            let origin = isExternal ? DriverOrigin.external : .program(program)
            let own = Schema(origins: [name: origin]).kinds.keys.filter { path in
                path.components.starts(with: [Schema.drivers.name, name])
            }
            if own.contains(where: { environment[$0.environmentName] != nil && taken[$0.environmentName] == nil }) {
                found[name] = origin
            }
        }
        return found
    }
}
