// SPDX-License-Identifier: MIT

public import AltNetObjects
internal import FoundationEssentials

/// A value of a driver's settings, as the configuration file has it.
public enum SettingValue: Hashable, Sendable, Codable {
    case text(String)
    case texts([String])
    case number(Int)
    case flag(Bool)

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let flag = try? container.decode(Bool.self) {
            self = .flag(flag)
        } else if let number = try? container.decode(Int.self) {
            self = .number(number)
        } else if let text = try? container.decode(String.self) {
            self = .text(text)
        } else {
            self = .texts(try container.decode([String].self))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .text(let text): try container.encode(text)
        case .texts(let texts): try container.encode(texts)
        case .number(let number): try container.encode(number)
        case .flag(let flag): try container.encode(flag)
        }
    }
}

/// The line of JSON that a driver finds on its standard input, or in its start file when somebody else starts it.
public struct DriverStart: Hashable, Sendable, Codable {
    /// The name of the start file in the driver's data directory.
    public static let fileName = "start.json"
    /// The largest start file that is read, in bytes: the settings come from a configuration file of at most 1 MiB.
    public static let maximumFileSize = 2 * 1024 * 1024

    /// The version of the driver protocol.
    public var version: UInt32
    /// The name under which the operator attached the driver.
    public var name: String
    /// The Unix socket to connect to.
    public var socket: String
    /// What proves to the orchestrator that this process is the one it started.
    public var secret: String
    /// The Bitcoin network, as ``AltNetBitcoin/Network`` names it.
    public var network: String
    /// A directory for the driver alone.
    public var dataDirectory: String
    /// The driver's part of the configuration.
    public var settings: [String: SettingValue]
    /// The kinds of object that the orchestrator can be asked for; `nil` for headers alone.
    public var serves: Set<ObjectKind>?

    public init(
        version: UInt32 = DriverProtocol.version, name: String, socket: String, secret: String, network: String,
        dataDirectory: String, settings: [String: SettingValue], serves: Set<ObjectKind>? = nil
    ) {
        self.version = version
        self.name = name
        self.socket = socket
        self.secret = secret
        self.network = network
        self.dataDirectory = dataDirectory
        self.settings = settings
        self.serves = serves
    }

    /// Reads the line; `nil` when it is not such JSON.
    public init?(line: String) {
        guard let start = try? JSONDecoder().decode(Self.self, from: Data(line.utf8)) else { return nil }
        self = start
    }

    /// The line, with its end.
    public var line: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let data = (try? encoder.encode(self)) ?? Data()
        return String(decoding: data, as: UTF8.self) + "\n"
    }
}

extension DriverStart {
    /// Whether links serve blocks of the operator's node: the setting `serve_blocks`.
    public func servesBlocks(_ settings: inout DriverSettings) throws(DriverSetupError) -> Bool {
        guard try settings.flag("serve_blocks") == true else { return false }
        guard self.serves?.contains(.blocks) == true else {
            throw DriverSetupError("serve_blocks needs a node that has them: [node] in the daemon's configuration")
        }
        return true
    }
}

/// Reads a driver's settings and complains about those it does not know.
public struct DriverSettings: Sendable {
    private var values: [String: SettingValue]

    public init(_ values: [String: SettingValue]) {
        self.values = values
    }

    /// A setting that is a text.
    public mutating func text(_ name: String) throws(DriverSetupError) -> String? {
        switch self.values.removeValue(forKey: name) {
        case .text(let text): return text
        case .number(let number): return String(number)
        case nil: return nil
        case .texts, .flag: throw DriverSetupError("the setting \(name) must be a text")
        }
    }

    /// A setting that is a list of texts; one text is a list of one.
    public mutating func texts(_ name: String) throws(DriverSetupError) -> [String] {
        switch self.values.removeValue(forKey: name) {
        case .texts(let texts): return texts
        case .text(let text): return [text]
        case nil: return []
        case .number, .flag: throw DriverSetupError("the setting \(name) must be a list of texts")
        }
    }

    /// A setting that is true or false.
    public mutating func flag(_ name: String) throws(DriverSetupError) -> Bool? {
        switch self.values.removeValue(forKey: name) {
        case .flag(let flag): return flag
        case nil: return nil
        case .text, .texts, .number: throw DriverSetupError("the setting \(name) must be true or false")
        }
    }

    /// A setting that is a whole number within bounds.
    public mutating func number(_ name: String, in range: ClosedRange<Int>) throws(DriverSetupError) -> Int? {
        switch self.values.removeValue(forKey: name) {
        case .number(let number) where range.contains(number): return number
        case nil: return nil
        case .number, .text, .texts, .flag:
            throw DriverSetupError(
                "the setting \(name) must be a number from \(range.lowerBound) to \(range.upperBound)")
        }
    }

    /// Fails when a setting was given that nobody asked for.
    public func finish() throws(DriverSetupError) {
        guard let unknown = self.values.keys.min() else { return }
        throw DriverSetupError("there is no setting \(unknown)")
    }
}

/// Why a driver cannot work, in one sentence for the operator. A restart does not help.
public struct DriverSetupError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}
