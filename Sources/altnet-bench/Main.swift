// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetHeaderChain
internal import AltNetStore
internal import AltNetTestKit
internal import Foundation

/// Measures what AltNet promises, each figure beside its limit from the same run, as one JSON object a line.
///
///     altnet-bench [headers] [noise] [onion] [messages] [records] [peers] [punch] [store] [sync]
///
/// All without arguments.
@main
struct Bench {
    static func main() async {
        do {
            try await Self.run()
        } catch {
            FileHandle.standardError.write(Data("bench: \(error)\n".utf8))
            exit(1)
        }
    }

    private static func run() async throws {
        let wanted = CommandLine.arguments.dropFirst()
        // What `peers` starts.
        if wanted.count == 2, wanted.first == PeerStoreBench.memoryPart, let directory = wanted.last {
            return try PeerStoreBench.printMemory(directory)
        }
        func runs(_ name: String) -> Bool { wanted.isEmpty || wanted.contains(name) }
        if runs("headers") { try HeaderBench.run() }
        if runs("noise") { try NoiseBench.run() }
        if runs("onion") { try OnionBench.run() }
        if runs("messages") { try await MessageBench.run() }
        if runs("records") { try RecordBench.run() }
        if runs("peers") { try PeerStoreBench.run() }
        if runs("punch") { try await PunchBench.run() }
        if runs("store") || runs("sync") {
            let chain = try await SyncBench.makeChain()
            if runs("store") { try StoreBench.run(chain) }
            if runs("sync") { try await SyncBench.run(chain) }
        }
    }
}

/// One line of output.
struct Figure: Encodable {
    var name: String
    var value: Double
    var unit: String
    /// What the value is measured against, from the same run or from the text of the requirement.
    var limit: Double?
    var limitName: String?
    var met: Bool?

    /// Prints a figure that must be at least, or at most, its limit.
    static func print(
        _ name: String, _ value: Double, _ unit: String, atLeast least: Double? = nil, atMost most: Double? = nil,
        of limitName: String? = nil
    ) {
        let figure = Figure(
            name: name, value: (value * 1000).rounded() / 1000, unit: unit, limit: least ?? most, limitName: limitName,
            met: least.map { value >= $0 } ?? most.map { value <= $0 })
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let line = (try? encoder.encode(figure)).map { String(decoding: $0, as: UTF8.self) } ?? name
        FileHandle.standardOutput.write(Data((line + "\n").utf8))
    }
}

/// Times.
enum Stopwatch {
    /// The best of several runs, in seconds: what the code can do when nothing else is in the way.
    static func best(of runs: Int = 5, _ body: () throws -> Void) rethrows -> Double {
        var best = Double.infinity
        for _ in 0..<runs { best = min(best, try Self.once(body)) }
        return best
    }

    static func once(_ body: () throws -> Void) rethrows -> Double {
        let start = ContinuousClock.now
        try body()
        return (ContinuousClock.now - start).inSeconds
    }
}
