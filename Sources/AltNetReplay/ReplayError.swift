// SPDX-License-Identifier: MIT

/// Why a recording or a file of arrival times cannot be replayed.
public struct ReplayError: Error, Hashable, Sendable, CustomStringConvertible {
    public var file: String
    /// Counted from 1; 0 for the file as a whole.
    public var line: Int
    /// What is wrong, as half a sentence.
    public var what: String

    public init(file: String, line: Int, _ what: String) {
        self.file = file
        self.line = line
        self.what = what
    }

    /// One sentence for the operator.
    public var description: String {
        self.line > 0 ? "\(self.file), line \(self.line): \(self.what)" : "\(self.file): \(self.what)"
    }
}
