// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetControl
internal import AltNetHeaderChain
internal import ArgumentParser
internal import Glibc

struct RegtestCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "regtest", abstract: "Tools for trying things out on the regression test network.",
        subcommands: [Mine.self])

    struct Mine: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Finds block headers on top of a daemon's best chain and hands them to it.",
            discussion: """
                The headers carry real proof of work for the regression test network, which takes two attempts each. \
                There are no blocks behind them: their Merkle roots are random.

                With --output, the headers build on the genesis and go to a file instead; no daemon is needed.
                """)

        @Option(help: "How many headers.")
        var count: UInt32 = 1

        @Option(help: "Write to this file instead, starting after the genesis.", completion: .file())
        var output: String?

        @Option(
            help:
                "A number that makes the headers the same every time, given --spacing too. Default: others every time.")
        var seed: UInt64?

        @Option(
            help: ArgumentHelp(
                "Seconds between header times. Default: now for a daemon; for a file, so that the last is not in the future.",
                valueName: "seconds"))
        var spacing: UInt32?

        @OptionGroup var daemon: DaemonOptions

        /// The most headers at once: what a file of 4 GB holds is beyond any test.
        static let maximumCount: UInt32 = 50_000_000

        func validate() throws {
            guard (1...Self.maximumCount).contains(self.count) else {
                throw ValidationError("--count must be from 1 to \(Self.maximumCount)")
            }
        }

        func run() async throws {
            do {
                if let output { try self.mineToFile(output) } else { try await self.mineForDaemon() }
            } catch let error as HeaderFile.Problem {
                throw Failure.exit(error.description, status: EX_IOERR)
            } catch let error as ControlError {
                throw Failure.exit(error.description)
            }
        }

        private func mineToFile(_ path: String) throws {
            let genesis = Network.regtest.genesis
            let now = UInt32(clamping: time(nil))
            let spacing = self.spacing ?? max(1, (now - genesis.time) / (self.count + 1))
            var miner = RegtestMiner(on: genesis, seed: self.seed ?? UInt64.random(in: 0...UInt64.max))
            let file = try HeaderFile(writing: path)
            var left = self.count
            while left > 0 {
                let piece = min(left, UInt32(HeaderFile.piece))
                try file.write(miner.mine(piece) { $0 &+ spacing })
                left -= piece
            }
            let tip = miner.tip.hash.description
            print(
                self.daemon.json
                    ? try JSONText.of(["file": path, "headers": "\(self.count)", "tip": tip])
                    : "\(self.count) headers in \(path), tip \(tip)")
        }

        private func mineForDaemon() async throws {
            let client = try self.daemon.client()
            let status = try await client.status()
            guard status.network == Network.regtest.rawValue else {
                throw ControlError("the daemon follows \(status.network); headers can only be found on regtest")
            }
            guard let tip = BlockHeader(bytes: try await client.headers(from: status.chain.height, count: 1)) else {
                throw ControlError("the daemon's tip changed while it was asked for; try again")
            }
            var miner = RegtestMiner(on: tip, seed: self.seed ?? UInt64.random(in: 0...UInt64.max))
            var left = self.count
            var report: ImportReport?
            while left > 0 {
                let piece = min(left, UInt32(HeaderFile.piece))
                let now = UInt32(clamping: time(nil))
                // A header must be later than the median of the eleven before; later than its predecessor is enough.
                // Headers that are more than seconds reach back, so that the last one is not in the future.
                var back = left
                let headers = miner.mine(piece) { previous in
                    back -= 1
                    return self.spacing.map { previous &+ $0 } ?? max(previous &+ 1, now &- back)
                }
                let answer = try await client.importHeaders(headers)
                if let rejection = answer.rejection { throw ControlError(rejection) }
                report = answer
                left -= piece
            }
            guard let report else { return }
            print(
                self.daemon.json
                    ? try JSONText.of(report)
                    : "\(self.count) found; the best chain is at height \(report.chain.height), \(report.chain.tip)")
        }
    }
}
