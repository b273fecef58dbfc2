// SPDX-License-Identifier: MIT

internal import Glibc

/// A new file that only its owner can read, or standard output.
struct OutputFile {
    /// Why a file cannot be written.
    struct Problem: Error, CustomStringConvertible {
        let description: String
    }

    private let path: String
    private let descriptor: Int32

    /// - Parameter path: a file that is not there yet; `nil` for standard output.
    init(_ path: String?) throws(Problem) {
        self.path = path ?? "standard output"
        guard let path else {
            self.descriptor = STDOUT_FILENO
            return
        }
        self.descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard self.descriptor >= 0 else { throw self.problem }
    }

    func write(_ bytes: [UInt8]) throws(Problem) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(self.descriptor, $0.baseAddress, $0.count) }
            guard count >= 0 || errno == EINTR else { throw self.problem }
            rest = rest.dropFirst(max(0, count))
        }
    }

    /// Removes what was written so far: a part of the whole would be taken for it.
    func discard() {
        guard self.descriptor != STDOUT_FILENO else { return }
        unlink(self.path)
        _ = Glibc.close(self.descriptor)
    }

    /// MUST be called at the end: a full disk may only be noticed now.
    func close() throws(Problem) {
        guard self.descriptor != STDOUT_FILENO else { return }
        guard fsync(self.descriptor) == 0, Glibc.close(self.descriptor) == 0 else { throw self.problem }
    }

    private var problem: Problem {
        Problem(description: "cannot write \(self.path): \(String(cString: strerror(errno)))")
    }
}
