// SPDX-License-Identifier: MIT

internal import Glibc

/// Whose a file is, and who may do what with it.
///
/// Here rather than where it is asked: beside SwiftNIO, which has a module with the same system header, the compiler
/// does not always find the members of `stat` in `Glibc`.
public struct FileFacts: Hashable, Sendable {
    public let owner: UInt32
    /// Who may read, write and enter or execute: the last twelve bits of the mode.
    public let permissions: UInt32
    public let isSymbolicLink: Bool

    /// `nil` when there is no such file, or it cannot be looked at.
    ///
    /// - Parameter followingLinks: whether a symbolic link stands for what it leads to.
    public init?(of path: String, followingLinks: Bool = true) {
        var status = stat()
        guard (followingLinks ? stat(path, &status) : lstat(path, &status)) == 0 else { return nil }
        self.owner = status.st_uid
        self.permissions = status.st_mode & 0o7777
        self.isSymbolicLink = status.st_mode & S_IFMT == S_IFLNK
    }
}
