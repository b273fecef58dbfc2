// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDialing
internal import AltNetDriverProtocol
internal import AltNetLibp2p
internal import AltNetLibp2pHost
internal import AltNetPeerRecords
internal import FoundationEssentials

/// What the operator can ask of the libp2p host: `peer.dial` and `dht.find`.
struct PeerOperations: Sendable {
    let host: Libp2pHost
    let service: KademliaService?

    static func names(hasDHT: Bool) -> [String] { ["peer.dial"] + (hasDHT ? ["dht.find"] : []) }

    private struct Failure: Error, CustomStringConvertible {
        let description: String

        init(_ description: String) { self.description = description }
    }

    func perform(_ name: String, _ body: [UInt8]) async -> OperationOutcome {
        do {
            switch name {
            case "peer.dial": return try await self.dial(try Self.decode(body))
            case "dht.find": return try await self.find(try Self.decode(body))
            default: return .failure("there is no operation \(name)")
            }
        } catch let error as DecodingError {
            return .failure("the operation's JSON is not as docs/libp2p.md says: \(error)")
        } catch {
            return .failure("\(error)")
        }
    }

    // MARK: - peer.dial

    private struct Dial: Decodable {
        let peer: String
        let policy: [String]?
        let timeoutSeconds: Int?
    }

    private struct DialReport: Encodable {
        let address: String
        let milliseconds: Double
        let agent: String?
    }

    private func dial(_ question: Dial) async throws -> OperationOutcome {
        let peer = try PeerID(text: question.peer)
        let policy = try question.policy.map { try DialPolicy(setting: $0) }
        let started = ContinuousClock.now
        let link = try await Self.within(question.timeoutSeconds ?? 30) {
            try await self.host.connect(to: peer, policy: policy, insists: true)
        }
        let taken = (ContinuousClock.now - started).inSeconds * 1_000
        // What it calls itself comes a moment later.
        return try Self.success(
            DialReport(
                address: link.address.description, milliseconds: taken, agent: link.identify?.agentVersion))
    }

    // MARK: - dht.find

    private struct Find: Decodable {
        let peer: String
        let timeoutSeconds: Int?
    }

    private struct FindReport: Encodable {
        let peer: String
        /// Of the signed record; digits, as it may have 64 bits.
        let sequence: String?
        /// What the record certifies.
        let addresses: [String]
        let hearsay: [String]
        /// How many nodes answered.
        let answered: Int
    }

    private func find(_ question: Find) async throws -> OperationOutcome {
        guard let service else { throw Failure("this driver takes no part in a DHT") }
        let peer = try PeerID(text: question.peer)
        guard let found = try await Self.within(question.timeoutSeconds ?? 60, { try await service.find(peer) }) else {
            throw Failure("nobody in the DHT knows \(peer)")
        }
        return try Self.success(
            FindReport(
                peer: peer.description, sequence: found.record.map { "\($0.record.sequence)" },
                addresses: found.record?.record.addresses.map(\.description) ?? [],
                hearsay: found.hearsay.map(\.description), answered: found.answered))
    }

    // MARK: -

    private static func decode<Question: Decodable>(_ body: [UInt8]) throws -> Question {
        try JSONDecoder().decode(Question.self, from: Data(body))
    }

    private static func success(_ report: some Encodable) throws -> OperationOutcome {
        .success([UInt8](try JSONEncoder().encode(report)))
    }

    /// Cancels what takes too long; nobody waits longer for an operation than 120 seconds.
    private static func within<Result: Sendable>(
        _ seconds: Int, _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        guard (1...100).contains(seconds) else { throw Failure("a time limit is 1 to 100 seconds") }
        return try await withThrowingTaskGroup(of: Result.self) { group in
            group.addTask { try await body() }
            group.addTask {
                try await Task.sleep(for: .seconds(seconds))
                throw Failure("it took longer than \(seconds) seconds")
            }
            defer { group.cancelAll() }
            guard let first = try await group.next() else { throw Failure("nothing was done") }
            return first
        }
    }
}
