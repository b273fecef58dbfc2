// SPDX-License-Identifier: MIT

import AltNetAlternativeAddresses
import AltNetKeys
import AltNetLightning
import AltNetLightningStore
import AltNetTestKit
import Foundation
import Synchronization
import Testing

@testable import AltNetLightningDriver

@Suite("AlternativeAddressBook")
struct AlternativeAddressBookTests {
    private static func node(_ number: UInt8) throws -> NodeID {
        try #require(NodePrivateKey(bytes: [UInt8](repeating: 0, count: 31) + [number])).publicKey
    }

    @Test("the record is on the disk when the message goes out, and lets in; what is lost is told again")
    func order() async throws {
        let directory = TemporaryDirectory.make()
        let copy = TemporaryDirectory.make()
        let peer = try Self.node(1)
        let seen = Mutex<[Int]>([])
        let hasRoom = Mutex(false)
        let book = try AlternativeAddressBook(
            AlternativeAddresses.Settings(
                ourselves: try Self.node(9), allowed: [peer], channels: [peer: [UInt8](repeating: 1, count: 32)]),
            store: try AlternativeAddressStore(directory: directory), logsAddresses: false
        ) { message, node in
            // What a crash in this moment would leave.
            for name in (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? [] {
                try? FileManager.default.removeItem(atPath: "\(copy)/\(name)")
                try? FileManager.default.copyItem(atPath: "\(directory)/\(name)", toPath: "\(copy)/\(name)")
            }
            let left = (try? AlternativeAddressStore(directory: copy).load())?.given ?? []
            seen.withLock { $0.append(left.count { $0.peer == node && $0.until == nil }) }
            return hasRoom.withLock { $0 }
        }
        let endpoint = AlternativeEndpoint(
            id: EndpointID("e"), address: try LightningAddress(text: "8.8.8.8:1"), isUp: true)
        await book.connected(peer)
        #expect(!book.admits(peer, at: EndpointID("e")))
        await book.update(endpoint)
        #expect(book.admits(peer, at: EndpointID("e")))
        #expect(!book.admits(try Self.node(2), at: EndpointID("e")))
        // The link had no room: it is sent with the next link.
        hasRoom.withLock { $0 = true }
        await book.connected(peer)
        await book.connected(peer)
        #expect(seen.withLock { $0 } == [1, 1])
        let counters = await book.snapshot().counters
        #expect(counters[.admitted] == 1 && counters[.turnedAway] == 2)
        _ = try await book.clear(peer)
        #expect(!book.admits(peer, at: EndpointID("e")))
        #expect(seen.withLock { $0 } == [1, 1, 0])
    }

    @Test("a disk that fails lets nobody in, sends nothing more and is told")
    func failure() async throws {
        let directory = TemporaryDirectory.make()
        let peer = try Self.node(1)
        let sent = Mutex(0)
        let book = try AlternativeAddressBook(
            AlternativeAddresses.Settings(
                ourselves: try Self.node(9), allowed: [peer], channels: [peer: [UInt8](repeating: 1, count: 32)]),
            store: try AlternativeAddressStore(directory: directory), logsAddresses: false
        ) { _, _ in
            sent.withLock { $0 += 1 }
            return true
        }
        let file = "\(directory)/\(AlternativeAddressStore.fileName)"
        // No page of it can be written any more: what is open is a directory entry's worth of nothing.
        for suffix in ["", "-wal"] { truncate("\(file)\(suffix)", 0) }
        await book.connected(peer)
        await book.update(
            AlternativeEndpoint(id: EndpointID("e"), address: try LightningAddress(text: "8.8.8.8:1"), isUp: true))
        let failure = await book.failed()
        #expect(failure?.code == .damaged || failure?.code == .system, "\(String(describing: failure))")
        #expect(!book.admits(peer, at: EndpointID("e")))
        #expect(sent.withLock { $0 } == 0)
    }
}
