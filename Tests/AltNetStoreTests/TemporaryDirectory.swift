// SPDX-License-Identifier: MIT

import Foundation
import Testing

/// A directory of a test, which is gone with the value.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("altnet-test-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: url, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        self.path = url.path
    }

    deinit {
        try? FileManager.default.removeItem(atPath: self.path)
    }

    /// The bytes of a file, none if there is no such file.
    func file(_ name: String) -> [UInt8] {
        [UInt8](FileManager.default.contents(atPath: "\(self.path)/\(name)") ?? Data())
    }

    func write(_ bytes: [UInt8], to name: String) {
        let path = "\(self.path)/\(name)"
        try? FileManager.default.createDirectory(
            atPath: URL(fileURLWithPath: path).deletingLastPathComponent().path, withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        #expect(FileManager.default.createFile(atPath: path, contents: Data(bytes)))
    }
}
