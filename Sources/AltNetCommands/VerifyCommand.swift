// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetHeaderChain
internal import ArgumentParser
internal import Glibc

struct HeadersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "headers", abstract: "Checks files of raw 80-byte headers, and moves them in and out of a daemon.",
        subcommands: [Verify.self, Import.self, Export.self])

    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Checks a file of consecutive headers by every consensus rule, without a daemon.",
            discussion: """
                The file starts at height 1, or right after the trusted header that --from gives. Prints count, tip, \
                total work and time; the first bad header is named with its height and the rule it breaks, and the \
                status is 1.

                Total work counts from genesis, or from the trusted header, whose own work is not included.
                """)

        @Argument(help: "A file of raw 80-byte headers.", completion: .file())
        var file: String

        @Option(help: "main, testnet3, testnet4, signet or regtest.")
        var network = "main"

        @Option(
            help: ArgumentHelp(
                "The trusted header just before the first one in the file: its height, a colon, 160 hexadecimal digits.",
                valueName: "height:header"))
        var from: String?

        @Flag(help: "Print one JSON value for programs.")
        var json = false

        struct Report: Encodable {
            struct Rejection: Encodable {
                var height: UInt32
                var rule: String
                var explanation: String
            }

            var valid: Bool
            var network: String
            var headers: Int
            var height: UInt32
            var tip: String
            var work: String
            var seconds: Double
            /// The first bad header.
            var rejection: Rejection?
            /// Why the file itself cannot be read to its end.
            var problem: String?
            /// What could not be checked because of where the trusted header lies.
            var notes: [String]
        }

        func run() async throws {
            let cursor = try self.start()
            let report: Report
            do {
                report = try self.verify(from: cursor)
            } catch let problem as HeaderFile.Problem {
                throw Failure.exit(problem.description, status: EX_NOINPUT)
            }
            print(self.json ? try JSONText.of(report) : Self.text(report))
            if !report.valid { throw ExitCode(1) }
        }

        private func start() throws -> HeaderCursor {
            guard let network = Network(name: self.network) else {
                let nearest = NearestWord.to(self.network, among: Network.allCases.map(\.rawValue))
                throw ValidationError(
                    "there is no network \(self.network)\(nearest.map { "; did you mean \($0)?" } ?? "")")
            }
            guard let from else { return HeaderCursor(genesisOf: network) }
            let parts = from.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count == 2, let height = UInt32(parts[0]), let bytes = Hex.decode(parts[1]),
                let header = BlockHeader(bytes: bytes)
            else {
                throw ValidationError("--from: expected a height, a colon and a header of 160 hexadecimal digits")
            }
            guard height < UInt32.max else { throw ValidationError("--from: the height \(height) is too large") }
            return HeaderCursor(network: network, trusted: header, height: height)
        }

        private func verify(from start: HeaderCursor) throws -> Report {
            var cursor = start
            var count = 0
            var rejection: HeaderRejection?
            var problem: String?
            let clock = ContinuousClock()
            let began = clock.now
            let now = WallClockTime(seconds: Int64(time(nil)))
            let file = try HeaderFile(reading: self.file)
            while rejection == nil {
                let headers: [UInt8]
                do {
                    headers = try file.next()
                } catch let found as HeaderFile.Problem where count > 0 {
                    problem = found.description
                    break
                }
                guard !headers.isEmpty else { break }
                rejection = headers.withUnsafeBytes { cursor.advance(over: $0, now: now) { _ in } }
                count = Int(cursor.height - start.height)
            }
            return Report(
                valid: rejection == nil && problem == nil, network: start.network.rawValue, headers: count,
                height: cursor.height, tip: cursor.hash.description, work: cursor.work.description,
                seconds: (clock.now - began).inSeconds,
                rejection: rejection.map {
                    Report.Rejection(height: $0.height, rule: $0.rule.name, explanation: $0.rule.description)
                }, problem: problem, notes: Self.notes(start: start, end: cursor))
        }

        private static func notes(start: HeaderCursor, end: HeaderCursor) -> [String] {
            let interval = Network.retargetInterval
            let next = (start.height / interval + 1) * interval
            guard !start.knowsPeriodStart, end.height >= next, !start.network.neverRetargets else { return [] }
            return [
                "The retarget at height \(next) was only checked to stay within a factor of four: the first header of "
                    + "its period lies before the trusted header. Trust one at a multiple of \(interval) instead."
            ]
        }

        private static func text(_ report: Report) -> String {
            var lines: [String] = []
            if let rejection = report.rejection {
                lines.append("INVALID  header at height \(rejection.height): \(rejection.rule)")
                lines.append("         \(rejection.explanation)")
            }
            if let problem = report.problem { lines.append("INVALID  \(problem)") }
            lines += [
                "headers  \(report.headers) valid\(report.valid ? "" : " before that")",
                "tip      \(report.tip)", "height   \(report.height)", "work     \(report.work.trimmingZeros)",
                "seconds  \((report.seconds * 1000).rounded() / 1000)",
            ]
            lines += report.notes.map { "note     \($0)" }
            return lines.joined(separator: "\n")
        }
    }
}
