// SPDX-License-Identifier: MIT

public import AltNetPeerRecords
public import AltNetTestKit
internal import Foundation
internal import Synchronization

/// A peer of py-libp2p in a process of its own (`Tests/Tools/libp2p_peer.py`, or `libp2p_dht.py` for a node of a DHT).
public final class PythonPeer: Sendable {
    /// What it says in one line.
    public struct Report: Decodable, Sendable {
        public struct Record: Decodable, Sendable {
            public let peer: String
            public let sequence: UInt64
            public let addresses: [String]
        }

        public let event: String?
        /// The command that this answers.
        public let `do`: String?
        public let error: String?
        public let peer: String?
        public let addresses: [String]?
        public let protocols: [String]?
        public let record: Record?
        public let same: Bool?
        public let pushed: Bool?
        public let microseconds: [Int]?
        /// Of a DHT: peers that were found, and whether others told the record.
        public let peers: [String]?
        public let told: Bool?
    }

    private static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path
    /// Whether `scripts/setup --tests` could install it.
    public static let isInstalled = FileManager.default.fileExists(
        atPath: "\(repository)/.build/venv-libp2p/.installed")
    /// What tests that are skipped say.
    public static let missing = "no py-libp2p in .build/venv-libp2p: scripts/setup --tests installs it"
    /// The interpreter that has py-libp2p.
    public static let python = "\(repository)/.build/venv-libp2p/bin/python3"

    public let peer: PeerID
    /// With its id at the end.
    public let address: Multiaddress
    private let process: BackgroundProcess
    /// Lines that have been looked at.
    private let seen = Mutex(0)

    private init(peer: PeerID, address: Multiaddress, process: BackgroundProcess) {
        self.peer = peer
        self.address = address
        self.process = process
    }

    /// Starts one with a new key of that kind, and waits until it listens.
    public static func start(
        key: String = "ed25519", script: String = "libp2p_peer.py"
    ) async throws -> PythonPeer {
        let process = try BackgroundProcess(
            Self.python, ["\(Self.repository)/Tests/Tools/\(script)", "--key", key])
        let ready = try await Condition.value("py-libp2p listens", within: .seconds(60)) { () -> Report? in
            guard process.isRunning else { throw Condition.Failure("py-libp2p ended: \(process.errors)") }
            return Self.reports(of: process).first
        }
        guard let peer = ready.peer, let address = ready.addresses?.first else {
            throw Condition.Failure("py-libp2p does not say who it is")
        }
        let result = PythonPeer(
            peer: try PeerID(text: peer), address: try Multiaddress(text: address), process: process)
        result.seen.withLock { $0 = 1 }
        return result
    }

    /// Gives it a command, and waits for the answer.
    public func run(_ command: [String: String], numbers: [String: Int] = [:]) async throws -> Report {
        var object: [String: Any] = command
        for (key, value) in numbers { object[key] = value }
        let line = String(decoding: try JSONSerialization.data(withJSONObject: object), as: UTF8.self)
        try self.process.write(line + "\n")
        let report = try await Condition.value("py-libp2p answers \(command)", within: .seconds(60)) {
            () -> Report? in
            guard self.process.isRunning else { throw Condition.Failure("py-libp2p ended: \(self.process.errors)") }
            let reports = Self.reports(of: self.process)
            return self.seen.withLock { seen in
                guard seen < reports.count else { return nil }
                seen += 1
                return reports[seen - 1]
            }
        }
        if let error = report.error { throw Condition.Failure("\(error)\n\(self.process.errors.suffix(4_000))") }
        return report
    }

    /// Ends it at once, as if the machine were gone.
    public func kill() { self.process.kill() }

    /// Ends it; its exit status.
    public func finish() async throws -> Int32 { try await self.process.finish() }

    /// What it wrote to standard error.
    public var errors: String { self.process.errors }

    private static func reports(of process: BackgroundProcess) -> [Report] {
        // The last piece is empty, or a line that is not complete yet.
        process.output.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
            .compactMap { try? JSONDecoder().decode(Report.self, from: Data($0.utf8)) }
    }
}
