// SPDX-License-Identifier: MIT

import AltNetAlternativeAddresses
import AltNetBase
import AltNetKeys
import AltNetLightning
import AltNetLightningStore
import AltNetTestKit
import Foundation
import GRDB
import Glibc
import Testing

@Suite("AlternativeAddressStore")
struct AlternativeAddressStoreTests {
    private static func node(_ number: UInt8) throws -> NodeID {
        try #require(NodePrivateKey(bytes: [UInt8](repeating: 0, count: 31) + [number])).publicKey
    }

    private static func given(_ id: Int64, _ peer: UInt8, ended: Bool = false) throws -> GivenAddress {
        GivenAddress(
            id: id, peer: try Self.node(peer), address: try LightningAddress(text: "[2001:db8::\(id)]:19735"),
            endpoint: EndpointID("listen-1/‘ö’"), channelID: [UInt8](repeating: peer, count: 32),
            since: WallClockTime(milliseconds: -5),
            sentAt: ended ? nil : WallClockTime(milliseconds: 1_800_000_000_123),
            until: ended ? WallClockTime(milliseconds: 1_800_000_000_999) : nil)
    }

    private static func received(_ peer: UInt8, _ host: String) throws -> ReceivedAddress {
        ReceivedAddress(
            peer: try Self.node(peer), address: try LightningAddress(text: "\(host):9735"),
            channelID: [UInt8](repeating: peer, count: 32), receivedAt: WallClockTime(milliseconds: 3),
            validatedAt: WallClockTime(milliseconds: 4), lastSuccessAt: nil,
            lastFailureAt: WallClockTime(milliseconds: 5))
    }

    private static func mode(_ path: String) -> mode_t {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_mode & 0o777 : 0
    }

    @Test("gives back after a restart what was changed, in files that only their owner can read")
    func roundTrip() throws {
        let directory = TemporaryDirectory.make()
        let records = [try Self.given(1, 1, ended: true), try Self.given(7, 1), try Self.given(8, 2)]
        let received = [try Self.received(1, "8.8.8.8"), try Self.received(2, "node.example.org")]
        let peers = [
            PeerRecord(peer: try Self.node(1), isWithheld: true, mayHold: false, stood: .milliseconds(61_234)),
            PeerRecord(peer: try Self.node(2), mayHold: true),
        ]
        do {
            let store = try AlternativeAddressStore(directory: directory)
            #expect(try store.load() == StoredAddresses())
            try store.apply(records.map { .given($0) } + received.map { .received($0) } + peers.map { .peer($0) })
        }
        do {
            let store = try AlternativeAddressStore(directory: directory)
            let loaded = try store.load()
            #expect(loaded.given == records)
            #expect(Set(loaded.received) == Set(received) && Set(loaded.peers) == Set(peers))
            try store.apply([
                .forgetGiven(id: 1), .forgetReceived(try Self.node(2)), .forgetPeer(try Self.node(1)),
                .given(try Self.given(7, 1, ended: true)),
            ])
            #expect(try store.onionService(EndpointID("o")) == nil)
            let onion = OnionServiceRecord(
                key: "ED25519-V3:AAAA",
                address: try LightningAddress(
                    text: "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion:9735"))
            try store.save(onion, of: EndpointID("o"))
            #expect(try store.onionService(EndpointID("o")) == onion)
            #expect(!"\(onion) \(String(reflecting: onion))".contains("AAAA"))
            for name in try FileManager.default.contentsOfDirectory(atPath: directory) {
                #expect(Self.mode("\(directory)/\(name)") == 0o600, "\(name)")
            }
        }
        let loaded = try AlternativeAddressStore(directory: directory).load()
        #expect(loaded.given == [try Self.given(7, 1, ended: true), records[2]])
        #expect(loaded.received == [received[0]] && loaded.peers == [peers[1]])
    }

    @Test("changes are on the disk when they return, or not at all")
    func crash() throws {
        let directory = TemporaryDirectory.make()
        let copy = TemporaryDirectory.make()
        let store = try AlternativeAddressStore(directory: directory)
        for id in 1...20 as ClosedRange<Int64> {
            try store.apply([.given(try Self.given(id, 1)), .peer(PeerRecord(peer: try Self.node(1), mayHold: true))])
            // What a killed process leaves are its files as they are, with nothing closed or tidied up.
            for name in try FileManager.default.contentsOfDirectory(atPath: copy) {
                try FileManager.default.removeItem(atPath: "\(copy)/\(name)")
            }
            for name in try FileManager.default.contentsOfDirectory(atPath: directory) {
                try FileManager.default.copyItem(atPath: "\(directory)/\(name)", toPath: "\(copy)/\(name)")
            }
            let left = try AlternativeAddressStore(directory: copy).load()
            #expect(left.given.map(\.id) == Array(1...id) && left.peers.count == 1)
        }
    }

    @Test("one process at a time")
    func locked() throws {
        let directory = TemporaryDirectory.make()
        let store = try AlternativeAddressStore(directory: directory)
        #expect(Self.failure(directory)?.code == .locked)
        try store.apply([.given(try Self.given(1, 1))])
    }

    @Test("a newer, damaged or readable file is refused by name and left as it is")
    func refused() throws {
        let newer = TemporaryDirectory.make()
        try AlternativeAddressStore(directory: newer).apply([.given(try Self.given(1, 1))])
        let path = "\(newer)/\(AlternativeAddressStore.fileName)"
        try DatabaseQueue(path: path).write {
            try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('99 from the future')")
        }
        #expect(Self.failure(newer)?.code == .newerVersion)
        #expect(Self.failure(newer)?.description.contains(path) == true)

        let unreadable = TemporaryDirectory.make()
        try AlternativeAddressStore(directory: unreadable).apply([.given(try Self.given(1, 1))])
        let second = "\(unreadable)/\(AlternativeAddressStore.fileName)"
        try DatabaseQueue(path: second).write { try $0.execute(sql: "UPDATE given SET address = x'0108080808'") }
        #expect(throws: AlternativeAddressStoreError.self) {
            try AlternativeAddressStore(directory: unreadable).load()
        }

        let noise = TemporaryDirectory.make()
        let third = "\(noise)/\(AlternativeAddressStore.fileName)"
        let bytes = Data((0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        #expect(FileManager.default.createFile(atPath: third, contents: bytes, attributes: [.posixPermissions: 0o600]))
        #expect(Self.failure(noise)?.code == .damaged)
        #expect(FileManager.default.contents(atPath: third) == bytes)

        chmod(third, 0o640)
        #expect(Self.failure(noise)?.description.contains("chmod 600") == true)
        #expect(Self.failure("/nonexistent")?.code == .system)
    }

    private static func failure(_ directory: String) -> AlternativeAddressStoreError? {
        do throws(AlternativeAddressStoreError) {
            _ = try AlternativeAddressStore(directory: directory)
            return nil
        } catch {
            return error
        }
    }
}
