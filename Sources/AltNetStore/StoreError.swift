// SPDX-License-Identifier: MIT

/// Why a store cannot be opened or written. The text is for the operator and names the file.
public struct StoreError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What programs act on.
    public enum Code: String, Hashable, Sendable {
        /// Another process holds the data directory.
        case locked
        /// The file belongs to another network, or starts at another header.
        case mismatch
        /// The file was written by a newer version of AltNet.
        case newerVersion
        /// Acknowledged bytes in the middle of the file are not what was written.
        case damaged
        /// The system refused: no space, no permission, an error of the disk.
        case system
    }

    public let code: Code
    public let description: String

    public init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}
