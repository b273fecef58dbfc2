// SPDX-License-Identifier: MIT

internal import Glibc

/// Reads a whole file of bounded size.
enum InputFile {
    /// Why a file cannot be read.
    struct Problem: Error, CustomStringConvertible {
        let description: String
    }

    private static let piece = 1 << 20

    static func read(_ path: String, atMost limit: Int) throws -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.problem(path) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        while true {
            let start = bytes.count
            bytes.append(contentsOf: repeatElement(0, count: Self.piece))
            let count = bytes.withUnsafeMutableBytes {
                Glibc.read(descriptor, $0.baseAddress.map { $0 + start }, Self.piece)
            }
            guard count >= 0 || errno == EINTR else { throw Self.problem(path) }
            bytes.removeLast(Self.piece - max(0, count))
            if count == 0 { return bytes }
            guard bytes.count <= limit else { throw Problem(description: "\(path) is larger than \(limit) bytes") }
        }
    }

    private static func problem(_ path: String) -> Problem {
        Problem(description: "cannot read \(path): \(String(cString: strerror(errno)))")
    }
}
