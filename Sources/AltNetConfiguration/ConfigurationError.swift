// SPDX-License-Identifier: MIT

internal import AltNetBase

/// Why a configuration cannot be used: a code for programs, a place and a sentence for people.
public struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What kind of mistake it is.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        /// The code's name, which stays the same from release to release.
        public let description: String

        private init(_ description: String) {
            self.description = description
        }

        /// A file that was named is not there.
        public static let fileMissing = Code("fileMissing")
        /// The file is there and cannot be read: a directory, no permission, an error of the disk.
        public static let fileUnreadable = Code("fileUnreadable")
        /// The file is larger than ``DaemonConfiguration/maximumFileSize``.
        public static let fileTooLarge = Code("fileTooLarge")
        /// The file is no UTF-8 text.
        public static let notText = Code("notText")
        /// The file breaks TOML's grammar.
        public static let syntax = Code("syntax")
        /// A key or a table is given twice.
        public static let duplicateKey = Code("duplicateKey")
        /// There is no such key, table or environment variable.
        public static let unknownKey = Code("unknownKey")
        /// A key is missing that has no default.
        public static let missingKey = Code("missingKey")
        /// The value is of another type than the key's.
        public static let wrongType = Code("wrongType")
        /// The value has the right type and is not one that the key takes.
        public static let invalidValue = Code("invalidValue")
        /// An environment variable could stand for more than one key.
        public static let ambiguous = Code("ambiguous")
        /// The path of a socket is longer than the system allows.
        public static let pathTooLong = Code("pathTooLong")
    }

    /// Where the mistake is.
    public enum Place: Hashable, Sendable, CustomStringConvertible {
        /// In a file, as far as the line and column are known; both count from 1.
        case file(String, line: Int? = nil, column: Int? = nil)
        /// In an environment variable.
        case environment(String)
        /// On the command line.
        case commandLine
        /// In a default value.
        case defaults

        /// The place as editors and compilers write it: `altnet.toml:7`.
        public var description: String {
            switch self {
            case .file(let name, let line, let column):
                name + (line.map { ":\($0)" } ?? "") + (column.map { ":\($0)" } ?? "")
            case .environment(let name): Readable.text(name)
            case .commandLine: "command line"
            case .defaults: "configuration"
            }
        }
    }

    /// What kind of mistake it is.
    public let code: Code
    /// Where the mistake is.
    public let place: Place
    /// What is wrong and what to do about it, without the place.
    public let sentence: String

    /// A mistake of a kind at a place.
    public init(_ code: Code, _ place: Place, _ sentence: String) {
        self.code = code
        self.place = place
        self.sentence = sentence
    }

    /// The place and the sentence, in one line.
    public var description: String { "\(self.place): \(self.sentence)" }
}

/// Text from outside in a form that fits into a sentence.
enum Readable {
    /// Longer texts are cut: enough to recognise a value, short enough for one line of a terminal.
    static let maximumLength = 80

    /// The text with everything that is no visible character replaced, and cut.
    static func text(_ text: String, maximumLength: Int = Self.maximumLength) -> String {
        var readable = String.UnicodeScalarView()
        for scalar in text.unicodeScalars.prefix(maximumLength) {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate, .unassigned:
                readable.append("?")
            default:
                readable.append(scalar)
            }
        }
        return String(readable) + (text.unicodeScalars.count > maximumLength ? "…" : "")
    }

    /// The text between backticks.
    static func quoted(_ text: String) -> String { "`\(Self.text(text))`" }

    /// "a", "a and b", "a, b and c".
    static func list(_ words: [String], _ conjunction: String = "and") -> String {
        guard let last = words.last, words.count > 1 else { return words.first ?? "" }
        return words.dropLast().joined(separator: ", ") + " \(conjunction) " + last
    }

    /// The known word that was probably meant. A word much longer than all of ours is near to none of them, and
    /// comparing it would take long.
    static func nearest(to word: String, among candidates: some Sequence<String>) -> String? {
        word.utf8.count > 2 * Self.maximumLength ? nil : NearestWord.to(word, among: candidates)
    }

    /// A number without a fraction that says nothing.
    static func number(_ value: Double) -> String {
        value == value.rounded() && abs(value) < 1e15 ? String(Int(value)) : String(value)
    }
}
