// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetDriverProtocol
import AltNetTestKit
import Foundation
import Testing

@testable import AltNetPunchDriver

@Suite("The key of a coordination endpoint on the disk")
struct EndpointKeyFileTests {
    private static func file() -> EndpointKeyFile { EndpointKeyFile(path: TemporaryDirectory.make() + "/tor.key") }

    @Test("a key comes back as it was, replaces the one before, and is its owner's alone")
    func roundTrip() throws {
        let file = Self.file()
        #expect(try file.load() == nil)
        for number in 1...2 {
            let key = EndpointKeyFile.Key(
                text: "ED25519-V3:abc\(number)=", since: WallClockTime(seconds: 1_700_000_000))
            try file.save(key)
            #expect(try file.load() == key)
        }
        let attributes = try FileManager.default.attributesOfItem(atPath: file.path)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        #expect(!(try String(contentsOfFile: file.path, encoding: .utf8)).contains("abc1"))
        file.remove()
        #expect(try file.load() == nil)
    }

    @Test("a file that others can read, or that holds something else, is refused")
    func refused() throws {
        let file = Self.file()
        try file.save(EndpointKeyFile.Key(text: "a", since: WallClockTime(seconds: 1)))
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: file.path)
        #expect(throws: DriverSetupError.self) { try file.load() }
        for text in ["", "abc", "x y\n", "1 2 3\n", String(repeating: "1", count: 5000)] {
            try text.write(toFile: file.path, atomically: false, encoding: .utf8)
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file.path)
            #expect(throws: DriverSetupError.self, "\(text.prefix(10))") { try file.load() }
        }
    }

    @Test("a key is not printed")
    func redacted() {
        let key = EndpointKeyFile.Key(text: "secret", since: WallClockTime(seconds: 1))
        var dumped = ""
        dump(key, to: &dumped)
        #expect(!"\(key)\(String(reflecting: key))\(dumped)".contains("secret"))
    }
}
