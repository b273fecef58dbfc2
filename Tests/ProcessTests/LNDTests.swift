// SPDX-License-Identifier: MIT

import AltNetControl
import AltNetTestKit
import Foundation
import Testing

@Suite(
    "Attached to LND, with real daemons", .serialized, .timeLimit(.minutes(5)),
    .enabled(if: FakeLND.isInstalled, Comment(rawValue: FakeLND.missing)))
struct LNDTests {
    /// A daemon whose only links are those of an LND.
    private func daemon(_ node: FakeLND.Node, macaroon: String? = nil) async throws -> DaemonProcess {
        try await DaemonProcess.start(
            settings: [
                "drivers.lightning.enabled": "true", "drivers.lightning.lnd": node.address,
                "drivers.lightning.lnd_certificate": node.certificate,
                "drivers.lightning.lnd_macaroon": macaroon ?? node.macaroon,
            ])
    }

    private func altnet(_ arguments: [String], at daemon: DaemonProcess) async throws -> Programs.Result {
        let result = try await Programs.run(
            "altnet", arguments + ["--network", "regtest", "--data-directory", daemon.dataDirectory])
        #expect(result.status == 0, "\(result.output)\(result.errors)")
        return result
    }

    private func mine(_ count: Int, at daemon: DaemonProcess) async throws {
        _ = try await self.altnet(["regtest", "mine", "--count", "\(count)"], at: daemon)
    }

    @Test("headers flow over the connection of two LNDs, and again after one of them was restarted")
    func headers() async throws {
        let fake = try await FakeLND.start(["alice", "bob"])
        let (alice, bob) = (try fake.node("alice"), try fake.node("bob"))
        let (here, there) = (try await self.daemon(alice), try await self.daemon(bob))
        // What is said to a peer before its daemon runs is lost, so that an answer would be waited for in vain.
        for name in ["alice", "bob"] { try await fake.isSubscribed(to: name) }
        try await fake.tell(#""do":"link","node":"alice","other":"bob""#)
        // One link at each end, known by the other node's key.
        for (daemon, peer) in [(here, bob), (there, alice)] {
            let links = try await Condition.value("a link over LND") {
                let links = try await daemon.control.links()
                return links.isEmpty ? nil : links
            }
            #expect(links.map(\.remote) == [peer.id])
            #expect(links.map(\.exposure) == ["pseudonym"])
        }
        try await self.mine(250, at: here)
        try await there.reaches(250)
        // Over LND and nothing else: these are the messages of our protocol, and none is of another type.
        let types = Set((try await fake.tell(#""do":"sent","node":"alice""#).sent ?? []).map(\.type))
        #expect(types.isSuperset(of: [44403, 44405]) && types.isSubset(of: [44401, 44403, 44405]))

        try await fake.tell(#""do":"stop","node":"bob""#)
        try await Condition.wait("the link is gone") { try await there.control.links().isEmpty }
        try await fake.tell(#""do":"start","node":"bob""#)
        try await self.mine(20, at: there)
        try await here.reaches(270)
        try await self.mine(5, at: here)
        try await there.reaches(275)
        for daemon in [here, there] { #expect(await (try daemon.stop()) == 0) }
    }

    @Test("a macaroon that LND does not accept, and an LND that is away, are told in words")
    func refused() async throws {
        let fake = try await FakeLND.start(["alice"])
        let alice = try fake.node("alice")
        let macaroon = TemporaryDirectory.make() + "/wrong.macaroon"
        let bytes = Data([2] + [UInt8](repeating: 7, count: 90))
        #expect(
            FileManager.default.createFile(
                atPath: macaroon, contents: bytes, attributes: [.posixPermissions: 0o600]))
        let daemon = try await self.daemon(alice, macaroon: macaroon)
        try await self.reports("the macaroon in \(macaroon) is not enough", at: daemon)
        // The operator mends it, and the driver, which is started again and again, finds it so.
        try Data(contentsOf: URL(fileURLWithPath: alice.macaroon)).write(to: URL(fileURLWithPath: macaroon))
        // The pauses before it is started again grow to a minute.
        try await Condition.wait("the driver runs", within: .seconds(150)) {
            try await daemon.control.drivers().first { $0.name == "lightning" }?.state == "attached"
        }
        try await fake.tell(#""do":"stop","node":"alice""#)
        let other = try await self.daemon(alice)
        try await self.reports("nothing listens at \(alice.address)", at: other)
    }

    /// Waits until `altnet drivers` says it.
    private func reports(_ words: String, at daemon: DaemonProcess) async throws {
        do {
            try await Condition.wait(words) { try await self.altnet(["drivers"], at: daemon).output.contains(words) }
        } catch {
            throw Condition.Failure("\(error); \(try await self.altnet(["drivers"], at: daemon).output)")
        }
    }
}
