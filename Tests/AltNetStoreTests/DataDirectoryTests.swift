// SPDX-License-Identifier: MIT

import AltNetStore
import Foundation
import Testing

@Suite("DataDirectory")
struct DataDirectoryTests {
    private func mode(_ path: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        return try #require(attributes[.posixPermissions] as? NSNumber).intValue
    }

    @Test("is made with its parents, for its owner only")
    func creation() throws {
        let temporary = try TemporaryDirectory()
        let path = temporary.path + "/a/b//c"
        let directory = try DataDirectory(path: path)
        #expect(try self.mode(temporary.path + "/a/b/c") == 0o700)
        #expect(try self.mode(temporary.path + "/a/b/c/lock") == 0o600)
        #expect(directory.file("x") == path + "/x")
    }

    @Test("is refused when others can enter it, and left as it is", arguments: [0o755, 0o710, 0o701, 0o770])
    func openToOthers(mode: Int) throws {
        let temporary = try TemporaryDirectory()
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: temporary.path)
        let error = #expect(throws: StoreError.self) { try DataDirectory(path: temporary.path) }
        #expect(error?.code == .system)
        #expect(error?.description.contains("chmod 700 \(temporary.path)") == true)
        #expect(try self.mode(temporary.path) == mode)
    }

    @Test("belongs to one at a time, and to the next one afterwards")
    func lock() throws {
        let temporary = try TemporaryDirectory()
        do {
            let first = try DataDirectory(path: temporary.path)
            let error = #expect(throws: StoreError.self) { try DataDirectory(path: temporary.path) }
            #expect(error?.code == .locked)
            #expect(error?.description.contains(temporary.path) == true)
            withExtendedLifetime(first) {}
        }
        #expect(throws: Never.self) { try DataDirectory(path: temporary.path) }
    }

    @Test("names what is in its way", arguments: ["file", "file/below", ""])
    func failure(name: String) throws {
        let temporary = try TemporaryDirectory()
        temporary.write([1], to: "file")
        let path = name.isEmpty ? "" : temporary.path + "/" + name
        let error = #expect(throws: StoreError.self) { try DataDirectory(path: path) }
        #expect(error?.code == .system)
        #expect(name.isEmpty || error?.description.contains(temporary.path + "/file") == true)
    }

    @Test("may be given from where we stand")
    func relative() throws {
        let temporary = try TemporaryDirectory()
        let up = String(repeating: "../", count: FileManager.default.currentDirectoryPath.split(separator: "/").count)
        let directory = try DataDirectory(path: up + temporary.path.dropFirst() + "/x")
        #expect(FileManager.default.fileExists(atPath: temporary.path + "/x/lock"))
        withExtendedLifetime(directory) {}
    }
}
