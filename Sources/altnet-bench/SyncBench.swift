// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetControl
internal import AltNetHeaderChain
internal import AltNetStore
internal import AltNetTestKit
internal import Foundation

/// 900,000 headers: loading them, holding them, and moving them from one daemon to another.
enum SyncBench {
    static let count: UInt32 = 900_000

    /// A file of generated headers, spaced so that the last one is not in the future.
    static func makeChain() async throws -> String {
        let path = TemporaryDirectory.make() + "/chain"
        let result = try await Programs.run(
            "altnet", ["regtest", "mine", "--count", "\(Self.count)", "--seed", "1", "--output", path])
        precondition(result.status == 0, result.errors)
        return path
    }

    static func run(_ chain: String) async throws {
        var best = Double.infinity
        for round in 0..<3 {
            // No import in between: a fresh daemon each round, so that no cache helps.
            let bob = try await DaemonProcess.start(settings: ["drivers.lightning.listen": "127.0.0.1:0"])
            let imported = try await Programs.run(
                "altnet",
                ["headers", "import", chain, "--network", "regtest", "--data-directory", bob.dataDirectory])
            precondition(imported.status == 0, imported.errors)
            let target = try await bob.listening("lightning")
            let alice = try await DaemonProcess.start(settings: ["drivers.lightning.listen": "127.0.0.1:0"])
            _ = try await alice.listening("lightning")
            let start = ContinuousClock.now
            try await alice.control.openTarget(target, driver: "lightning")
            try await alice.reaches(Self.count, within: .seconds(120))
            best = min(best, (ContinuousClock.now - start).inSeconds)
            if round == 2 {
                Figure.print(
                    "memory of the daemon after the sync", Double(alice.residentBytes) / 1e6, "MB", atMost: 150)
            }
            try await alice.stop()
            try await bob.stop()
            if round == 2 { try await Self.restart(alice.dataDirectory) }
        }
        Figure.print("900,000 headers over the Lightning link, daemon to daemon", best, "s", atMost: 3)
        Figure.print(
            "that is", Double(Self.count) / best, "headers/s", atLeast: 400_000 / 1.4,
            of: "Bitcoin Core 31 over plain loopback TCP")
    }

    private static func restart(_ dataDirectory: String) async throws {
        let start = ContinuousClock.now
        let daemon = try await DaemonProcess.start(dataDirectory: dataDirectory)
        Figure.print(
            "start of the daemon with 900,000 headers, until it answers", (ContinuousClock.now - start).inSeconds, "s")
        Figure.print("memory of the daemon with 900,000 headers", Double(daemon.residentBytes) / 1e6, "MB", atMost: 150)
        try await daemon.stop()
    }
}

/// The header store by itself.
enum StoreBench {
    static func run(_ chainFile: String) throws {
        let headers = Array(try Data(contentsOf: URL(fileURLWithPath: chainFile)))
        let path = TemporaryDirectory.make()
        do {
            let directory = try DataDirectory(path: path)
            var chain = HeaderChain(network: .regtest, salt: 1)
            let store = try HeaderStore(in: directory, loadingInto: &chain)
            let seconds = try Stopwatch.once {
                for offset in stride(from: 0, to: headers.count, by: 8192 * BlockHeader.size) {
                    try store.append(Array(headers[offset..<min(offset + 8192 * BlockHeader.size, headers.count)]))
                }
                try store.synchronize()
            }
            Figure.print("storing 900,000 headers, on the disk", seconds, "s")
        }
        let seconds = try Stopwatch.best(of: 3) {
            let directory = try DataDirectory(path: path)
            var chain = HeaderChain(network: .regtest, salt: 1)
            _ = try HeaderStore(in: directory, loadingInto: &chain)
            precondition(chain.tipHeight == SyncBench.count)
        }
        Figure.print("loading 900,000 headers", seconds, "s", atMost: 0.5)
    }
}
