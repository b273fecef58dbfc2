// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import FoundationEssentials
internal import Glibc

/// Reads a whole file of bounded size.
enum InputFile {
    /// Why a file cannot be read.
    struct Problem: Error, CustomStringConvertible {
        let description: String
    }

    private static let piece = 1 << 20

    /// - Parameter path: `-` for standard input.
    static func read(_ path: String, atMost limit: Int) throws -> [UInt8] {
        let descriptor = open(path == "-" ? "/dev/stdin" : path, O_RDONLY | O_CLOEXEC)
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

extension InputFile {
    /// The most bytes of a record's file: a sealed record in hexadecimal digits, and blanks.
    private static let maximumRecordFile = 65_536

    /// A sealed record: its bytes, hexadecimal digits or base 64.
    ///
    /// The three are told apart without doubt: a record has control characters near its beginning, so that it is no
    /// text, and a text that could be both is hexadecimal.
    static func record(_ path: String) throws -> [UInt8] {
        let bytes: [UInt8]
        do {
            bytes = try Self.read(path, atMost: Self.maximumRecordFile)
        } catch let problem as Problem {
            throw Failure.exit(problem.description, status: EX_NOINPUT)
        }
        let digits = bytes.filter { ![0x20, 0x09, 0x0a, 0x0d].contains($0) }
        guard digits.allSatisfy({ (0x21...0x7e).contains($0) }) else { return bytes }
        let text = String(decoding: digits, as: UTF8.self)
        if let decoded = Hex.decode(text) { return decoded }
        // The alphabet of URLs, and texts without padding, too.
        let usual = text.replacing("-", with: "+").replacing("_", with: "/")
        let padding = String(repeating: "=", count: (4 - usual.utf8.count % 4) % 4)
        return Data(base64Encoded: usual + padding).map { [UInt8]($0) } ?? bytes
    }
}
