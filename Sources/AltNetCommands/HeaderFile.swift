// SPDX-License-Identifier: MIT

internal import AltNetBitcoin
internal import Glibc

/// A file of raw 80-byte headers, read and written piece by piece.
struct HeaderFile: ~Copyable {
    /// Why a file cannot be used.
    struct Problem: Error, CustomStringConvertible {
        let description: String
    }

    /// The most headers read at once.
    static let piece = 16_384

    private let path: String
    private let descriptor: Int32

    init(reading path: String) throws {
        self.path = path
        self.descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard self.descriptor >= 0 else { throw Self.problem("open", path) }
    }

    /// Creates a file, or empties the one that is there.
    init(writing path: String) throws {
        self.path = path
        self.descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard self.descriptor >= 0 else { throw Self.problem("create", path) }
    }

    deinit {
        close(self.descriptor)
    }

    /// The next headers, none at the end.
    ///
    /// - Throws: ``Problem`` when the file ends in the middle of a header.
    func next() throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Self.piece * BlockHeader.size)
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeMutableBytes {
                read(self.descriptor, $0.baseAddress.map { $0 + done }, $0.count - done)
            }
            if count == 0 { break }
            if count < 0 {
                guard errno == EINTR else { throw Self.problem("read", self.path) }
                continue
            }
            done += count
        }
        bytes.removeLast(bytes.count - done)
        guard bytes.count.isMultiple(of: BlockHeader.size) else {
            throw Problem(
                description:
                    "\(self.path) ends with \(bytes.count % BlockHeader.size) bytes that are no whole header of 80")
        }
        return bytes
    }

    func write(_ bytes: [UInt8]) throws {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(self.descriptor, $0.baseAddress.map { $0 + done }, $0.count - done)
            }
            if count < 0 {
                guard errno == EINTR else { throw Self.problem("write", self.path) }
                continue
            }
            done += count
        }
    }

    private static func problem(_ verb: String, _ path: String) -> Problem {
        Problem(description: "cannot \(verb) \(path): \(String(cString: strerror(errno)))")
    }
}
