// SPDX-License-Identifier: MIT

internal import Glibc

/// Reads the text files below `/proc` in which the kernel lists what it knows.
public enum KernelTable {
    /// The most that is read: as many routes as ``DefaultGateway`` looks at, of 128 bytes each, and neighbours likewise.
    static let maximumBytes = 512 * 1024

    /// The text of a table; `nil` when it cannot be opened.
    ///
    /// Such a file says that it is empty, and comes in pieces of a page at most: `String(contentsOfFile:)` and
    /// `FileManager.contents(atPath:)` stop after the first.
    public static func text(_ path: String) -> String? {
        guard let file = fopen(path, "re") else { return nil }
        defer { fclose(file) }
        let bytes = [UInt8](unsafeUninitializedCapacity: Self.maximumBytes) { buffer, count in
            // Reads on until the end, or until the buffer is full.
            count = fread(buffer.baseAddress, 1, buffer.count, file)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
