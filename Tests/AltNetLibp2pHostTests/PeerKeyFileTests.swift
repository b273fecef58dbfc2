// SPDX-License-Identifier: MIT

import AltNetLibp2pHost
import AltNetPeerRecords
import AltNetTestKit
import Foundation
import Testing

@Suite("The file with the key")
struct PeerKeyFileTests {
    @Test("Many who make the key at the same time get the same one, and leave nothing else behind")
    func race() async throws {
        for _ in 0..<20 {
            let directory = TemporaryDirectory.make()
            let path = directory + "/peer.key"
            let keys = try await withThrowingTaskGroup(of: PeerID.self) { group in
                for _ in 0..<8 { group.addTask { try PeerKeyFile.load(path).peerID } }
                return try await group.reduce(into: Set<PeerID>()) { $0.insert($1) }
            }
            #expect(keys.count == 1)
            #expect(try PeerKeyFile.load(path).peerID == keys.first)
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == ["peer.key"])
        }
    }
}
