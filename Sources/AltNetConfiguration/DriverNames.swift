// SPDX-License-Identifier: MIT

internal import Configuration

/// Which drivers there are, and by which programs: needed before it is known which keys a configuration may have.
enum DriverNames {
    /// The drivers that need no program to be named.
    static let builtIn = ["bitcoin", "lightning"]
    /// Each driver is a process; more than these are a mistake.
    static let maximumCount = 64
    /// The longest name of a driver: it is part of file names and log lines.
    static let maximumLength = 32

    /// The programs of all drivers that the sources name, by the drivers' names; of the two default ones when no
    /// source names any.
    static func programs(
        file: TOMLDocument?,
        environment: [String: String],
        flags: [String: String]
    ) throws(ConfigurationError) -> [String: String] {
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
        var programs: [String: String] = [:]
        for (name, place) in named.sorted(by: { $0.key < $1.key }) {
            try Self.check(name, of: "driver", place)
            programs[name] = try Self.program(of: name, file, environment, flags, place)
        }
        for (name, program) in Self.namedByEnvironment(environment, besides: programs) { programs[name] = program }
        if programs.isEmpty {
            for name in Self.builtIn { programs[name] = Self.defaultProgram(of: name) }
        }
        guard programs.count <= Self.maximumCount else {
            throw ConfigurationError(
                .invalidValue,
                file?.place(of: Schema.drivers) ?? .commandLine,
                "there may be at most \(Self.maximumCount) drivers, not \(programs.count)"
            )
        }
        return programs
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

    private static func program(
        of name: String,
        _ file: TOMLDocument?,
        _ environment: [String: String],
        _ flags: [String: String],
        _ place: ConfigurationError.Place
    ) throws(ConfigurationError) -> String {
        let driver = Schema.drivers.appending(name)
        let path = driver.appending("program")
        if let program = flags[path.description] ?? environment[path.environmentName] { return program }
        if let file, case .table(let drivers) = file.root[Schema.drivers.name], let table = drivers[name] {
            let nodes = try Layer.table(table, driver, file.place(of: driver))
            if let node = nodes["program"] {
                let content = try Layer.content(of: node, .text, path, file.place(of: path))
                if case .string(let program) = content { return program }
            }
        }
        guard Self.builtIn.contains(name) else {
            throw ConfigurationError(
                .missingKey,
                place,
                "the driver `\(name)` needs `\(path)`, the executable to start"
            )
        }
        return Self.defaultProgram(of: name)
    }

    /// The built-in drivers that no other source names and that a variable of the environment is for.
    private static func namedByEnvironment(
        _ environment: [String: String],
        besides programs: [String: String]
    ) -> [String: String] {
        let taken = Schema(programs: programs).environmentNames
        var found: [String: String] = [:]
        for name in Self.builtIn where programs[name] == nil {
            let variable = Schema.drivers.appending(name).appending("program").environmentName
            let program = environment[variable] ?? Self.defaultProgram(of: name)
            let own = Schema(programs: [name: program]).kinds.keys.filter { path in
                path.components.starts(with: [Schema.drivers.name, name])
            }
            if own.contains(where: { environment[$0.environmentName] != nil && taken[$0.environmentName] == nil }) {
                found[name] = program
            }
        }
        return found
    }
}
