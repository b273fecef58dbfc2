// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetLibp2pHost
import AltNetPeerRecords
import Libp2pTestSupport
import Testing

@Suite("Libp2pStream: cancelling", .timeLimit(.minutes(5))) struct StreamCancellationTests {
    // Several connections, as one may not open streams without end.
    @Test("readers that are cancelled while bytes arrive lock nothing up", arguments: 0..<8)
    func readers(connection: Int) async throws {
        let ours = try await TestHost.start(try TestHost.key(31))
        let theirs = try await TestHost.start(try TestHost.key(32))
        let link = try await ours.host.connect(to: theirs.peer, addresses: theirs.addresses)
        for round in 0..<40 {
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<16 {
                    group.addTask {
                        // A task within a task, as with a time limit: cancelling the outer one cancels the inner.
                        let reader = Task {
                            await withTaskGroup(of: Void.self) { inner in
                                inner.addTask {
                                    guard let stream = try? await link.openStream(protocols: [TestHost.echo]) else {
                                        return
                                    }
                                    try? await stream.write([UInt8](repeating: 1, count: 64))
                                    while (try? await stream.read()) != nil {
                                        try? await stream.write([UInt8](repeating: 1, count: 64))
                                    }
                                }
                            }
                        }
                        // Another moment for each: bytes come all the time.
                        for _ in 0..<(number * 7 + round * 13) % 200 { await Task.yield() }
                        reader.cancel()
                        await reader.value
                    }
                }
            }
        }
        #expect(link.isOpen)
        await ours.host.shutdown()
        await theirs.host.shutdown()
    }
}
