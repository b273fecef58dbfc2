// SPDX-License-Identifier: MIT

import AltNetDriverProtocol
import AltNetPeerRecords
import AltNetTestKit
import Synchronization
import Testing

@testable import AltNetDriverKit

/// An orchestrator that answers when the test says so.
private final class Silent: Sendable {
    private let asked = Mutex<[UInt64]>([])

    var ids: [UInt64] { self.asked.withLock { $0 } }

    func take(_ event: DriverEvent) {
        if case .peerQuestion(let id, _) = event { self.asked.withLock { $0.append(id) } }
    }
}

@Suite("The peer store of the orchestrator", .timeLimit(.minutes(5)))
struct OrchestratorBookTests {
    static func peer() throws -> PeerID { try PeerID(bytes: [0x12, 0x20] + [UInt8](repeating: 1, count: 32)) }

    private static func book(limit: Duration = .seconds(600)) -> (OrchestratorBook, Silent) {
        let silent = Silent()
        return (OrchestratorBook(limit: limit) { silent.take($0) }, silent)
    }

    @Test("A question that is not answered ends with its time")
    func timeLimit() async throws {
        let (book, silent) = Self.book(limit: .milliseconds(20))
        let peer = try Self.peer()
        let error = await #expect(throws: OrchestratorBook.Unanswered.self) { _ = try await book.known([peer]) }
        #expect(error?.description.contains("has not answered") == true)
        #expect(silent.ids.count == 1)
    }

    @Test("Who gives up asks no more, and its turn comes back with the answer and not before")
    func cancelled() async throws {
        let (book, silent) = Self.book()
        let peer = try Self.peer()
        let open = PeerMessageRules.maximumOpen
        let asking = (0..<open).map { _ in Task { try await book.known([peer]) } }
        try await Condition.wait("all turns are taken") { silent.ids.count == open }
        for task in asking { task.cancel() }
        for task in asking { await #expect(throws: CancellationError.self) { _ = try await task.value } }
        let waiting = Task { try await book.known([peer]) }
        let givenUp = Task { try await book.known([peer]) }
        givenUp.cancel()
        await #expect(throws: CancellationError.self) { _ = try await givenUp.value }
        #expect(silent.ids.count == open)
        // An answer for which nobody waits gives a turn, once.
        let first = try #require(silent.ids.first)
        for _ in 0..<2 { await book.heard(.peerAnswer(id: first, .known([]))) }
        try await Condition.wait("the next one asks") { silent.ids.count == open + 1 }
        await book.heard(.peerAnswer(id: try #require(silent.ids.last), .known([])))
        #expect(try await waiting.value.isEmpty)
        await book.close()
    }

    @Test("When the driver stops, everybody who waits hears so")
    func stop() async throws {
        let (book, silent) = Self.book()
        let peer = try Self.peer()
        let open = PeerMessageRules.maximumOpen
        let asking = (0..<open + 3).map { _ in Task { try await book.known([peer]) } }
        try await Condition.wait("all turns are taken") { silent.ids.count == open }
        await book.close()
        for task in asking {
            await #expect(throws: OrchestratorBook.Unanswered.self) { _ = try await task.value }
        }
    }
}
