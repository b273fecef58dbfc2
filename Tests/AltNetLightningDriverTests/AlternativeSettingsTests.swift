// SPDX-License-Identifier: MIT

import AltNetDriverProtocol
import AltNetLightning
import AltNetTestKit
import Foundation
import Testing

@testable import AltNetLightningDriver

@Suite("AlternativeSettings")
struct AlternativeSettingsTests {
    static let key = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    static let channel = String(repeating: "ab", count: 32)

    private func read(_ values: [String: SettingValue]) throws -> AlternativeSettings {
        var settings = DriverSettings(values)
        let read = try AlternativeSettings(&settings)
        try settings.finish()
        return read
    }

    @Test("ports of a range correspond to those that are announced")
    func ranges() throws {
        let settings = try self.read([
            "alt_addr_peers": .text("\(Self.key)@\(Self.channel)"),
            "alt_listen": .texts(["10.0.0.5:19735", "0.0.0.0:20000-20100", "[::1]:5-5"]),
            "alt_announce": .texts(["a.example.org:1", "[2001:db8::7]:30000-30100", "192.0.2.1:9-9"]),
        ])
        #expect(settings.listeners.map(\.isShared) == [true, false, true])
        #expect(settings.listeners[0].address(port: 19735)?.text == "a.example.org:1")
        #expect(settings.listeners[1].address(port: 20000)?.text == "[2001:db8::7]:30000")
        #expect(settings.listeners[1].address(port: 20100)?.text == "[2001:db8::7]:30100")
        #expect(settings.listeners[2].address(port: 5)?.text == "192.0.2.1:9")
        #expect(settings.peers.count == 1 && settings.channels.values.first == [UInt8](repeating: 0xab, count: 32))
        let free = try self.read(["alt_addr_peers": .text(Self.key), "alt_listen": .text("127.0.0.1:0")])
        #expect(free.listeners[0].address(port: 777)?.text == "127.0.0.1:777")
        #expect(try self.read([:]).peers.isEmpty)
    }

    @Test(
        "what cannot be told to a peer, or to nobody, is refused; no sentence shows an address",
        arguments: [
            (["alt_listen": ["0.0.0.0:7070"]], "all interfaces"), (["alt_listen": ["[::]:7070"]], "all interfaces"),
            (["alt_listen": ["77.7.7.7"]], "neither host:port"),
            (["alt_listen": ["77.7.7.7:5-4"]], "neither host:port"),
            (["alt_listen": ["77.7.7.7:0-4"]], "port 0"), (["alt_listen": ["77.7.7:1"]], "no address"),
            (["alt_listen": ["77.7.7.7:1"], "alt_announce": ["77.7.7.8:1", "77.7.7.9:1"]], "as many entries"),
            (["alt_listen": ["77.7.7.7:1-9"], "alt_announce": ["77.7.7.8:1-8"]], "as many ports"),
            (["alt_listen": ["77.7.7.7:1"], "alt_announce": ["77.7.7.8:0"]], "neither host:port"),
            (["alt_listen": [], "alt_announce": []], "an address to give"),
            (["alt_listen": (1...9).map { "77.7.7.7:\($0)" }], "more than 8"),
            (["tor_control": ["77.7.7.7"]], "must be a text"),
        ] as [([String: [String]], String)])
    func refused(_ lists: [String: [String]], _ part: String) {
        var values = lists.mapValues { SettingValue.texts($0) }
        values["alt_addr_peers"] = .text(Self.key)
        let error = #expect(throws: DriverSetupError.self) { try self.read(values) }
        #expect(error?.description.contains(part) == true, "\(String(describing: error))")
        #expect(error?.description.contains("77.7") == false)
    }

    @Test("peers need a key and a channel that is one; addresses need peers")
    func peers() {
        for text in ["02", "\(Self.key)@", "\(Self.key)@ab", "\(Self.key)@\(String(repeating: "0", count: 64))"] {
            #expect(throws: DriverSetupError.self) {
                try self.read(["alt_addr_peers": .text(text), "alt_listen": .text("127.0.0.1:0")])
            }
        }
        #expect(throws: DriverSetupError.self) {
            try self.read(["alt_addr_peers": .texts([Self.key, Self.key]), "alt_listen": .text("127.0.0.1:0")])
        }
        #expect(throws: DriverSetupError.self) { try self.read(["alt_listen": .text("127.0.0.1:0")]) }
        #expect(throws: DriverSetupError.self) { try self.read(["tor_control": .text("unix:/a")]) }
    }

    @Test("the password of Tor's control port is read without its line end, from a file that is its owner's alone")
    func password() throws {
        let path = TemporaryDirectory.make() + "/password"
        func read(_ text: String, _ mode: Int) throws -> String? {
            _ = FileManager.default.createFile(
                atPath: path, contents: Data(text.utf8), attributes: [.posixPermissions: mode])
            return try self.read([
                "alt_addr_peers": .text(Self.key), "tor_control": .text("127.0.0.1:9051"),
                "tor_control_password_file": .text(path),
            ]).torPassword
        }
        #expect(try read("opens it\n", 0o600) == "opens it")
        #expect(throws: DriverSetupError.self) { try read("opens it\n", 0o644) }
        #expect(throws: DriverSetupError.self) { try read(String(repeating: "a", count: 1025), 0o600) }
    }
}
