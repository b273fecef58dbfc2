// SPDX-License-Identifier: MIT

/// Text that somebody else chose: a user agent, an error message, an alias.
///
/// Only `description` may reach a log, a terminal or a page: printable ASCII, everything else as `?`, and no more than
/// ``maximumLength`` characters, so that nobody can hide lines, move the cursor or fill a disk.
public struct UntrustedText: Hashable, Sendable, CustomStringConvertible {
    /// Longer texts are cut: enough for a BIP 14 user agent, which is 256 bytes at most.
    public static let maximumLength = 256

    public let description: String

    /// - Parameter maximumLength: where the text is cut; more than usual only for what people want to read in full.
    public init(_ bytes: some Sequence<UInt8>, maximumLength: Int = Self.maximumLength) {
        let printable = bytes.prefix(maximumLength).map { byte -> UInt8 in
            (0x20...0x7e).contains(byte) ? byte : UInt8(ascii: "?")
        }
        self.description = String(decoding: printable, as: UTF8.self)
    }

    public init(_ text: String) {
        self.init(text.utf8)
    }
}
