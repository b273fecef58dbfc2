// SPDX-License-Identifier: MIT

internal import Foundation

/// A private Tor network on loopback, `Tests/Tools/tor_network.py`: onion services of one client are reached through
/// another one. It ends with this value, or with the process.
public final class TorNetwork: Sendable {
    /// A Tor of the network's with a port for each purpose, as `host:port`.
    public struct Client: Sendable, Decodable {
        public let socks: String
        public let control: String
        /// The file with the control port's cookie.
        public let cookie: String
    }

    private struct Report: Decodable {
        let clients: [Client]
    }

    private static let python = "/usr/bin/python3"
    private static let tool =
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path + "/Tests/Tools/tor_network.py"

    /// Whether there can be one: the tool needs Tor, its key generator and Python.
    public static let isPossible = ["/usr/bin/tor-gencert", TorNetwork.python].allSatisfy {
        FileManager.default.isExecutableFile(atPath: $0)
    }
    /// Why tests are skipped without it.
    public static let missing = "tor or python3 is not installed; scripts/setup --tests installs them"

    public let clients: [Client]
    private let process: BackgroundProcess

    private init(clients: [Client], process: BackgroundProcess) {
        self.clients = clients
        self.process = process
    }

    deinit {
        self.process.kill()
    }

    /// Starts one and waits until an onion service was reached through every client: some 15 seconds.
    public static func start(clients: Int = 2) async throws -> TorNetwork {
        let process = try BackgroundProcess(
            Self.python, [Self.tool, "--clients", "\(clients)", "--directory", TemporaryDirectory.make()])
        let report = try await Condition.value("the Tor network is ready", within: .seconds(150)) { () -> Report? in
            guard process.isRunning else { throw Condition.Failure("no Tor network: \(process.errors)") }
            return try? JSONDecoder().decode(Report.self, from: Data(process.output.utf8))
        }
        return TorNetwork(clients: report.clients, process: process)
    }
}
