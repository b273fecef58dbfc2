// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetConfiguration
internal import AltNetControl
internal import AltNetHeaderChain
internal import AltNetHeaderSync
internal import AltNetOrchestrator
internal import AltNetStore
internal import ArgumentParser
internal import Glibc

extension HeadersCommand {
    struct Import: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Adds a file of headers to the store of a daemon, running or stopped.",
            discussion: """
                Every header is checked; those that are stored already are passed over. When the command ends with \
                status 0, all headers of the file are on the disk. A minimum of work is not asked for: you know where \
                the file comes from.
                """)

        @Argument(help: "A file of raw 80-byte headers.", completion: .file())
        var file: String

        @OptionGroup var daemon: DaemonOptions

        func run() async throws {
            try await HeaderTransfer(options: self.daemon).importFile(self.file)
        }
    }

    struct Export: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Writes the best chain of a daemon, running or stopped, to a file of raw headers.")

        @Argument(help: "The file to write; one that is there is replaced.", completion: .file())
        var file: String

        @Option(help: "The height of the first header. Default: the first one after the start of the chain.")
        var from: UInt32?

        @Option(help: "The most headers. Default: all up to the tip.")
        var count: UInt32?

        @OptionGroup var daemon: DaemonOptions

        func run() async throws {
            try await HeaderTransfer(options: self.daemon).exportFile(
                self.file, from: self.from, count: self.count ?? .max)
        }
    }
}

/// Moves headers between files and a store, through the daemon when it runs and directly when it does not.
struct HeaderTransfer {
    /// What `--json` prints.
    private struct Report: Encodable {
        var headers: UInt32
        var added: UInt32?
        var height: UInt32
        var tip: String
        var rejection: String?
        var rule: String?
    }

    /// A store: the daemon's word, or the files themselves.
    private protocol Backend {
        mutating func add(_ headers: [UInt8]) async throws -> ImportReport
        func headers(from height: UInt32, count: UInt32) async throws -> [UInt8]
        var startHeight: UInt32 { get }
        var startHash: BlockHash { get async throws }
    }

    let options: DaemonOptions

    func importFile(_ path: String) async throws {
        try await self.reportingProblems {
            let file = try HeaderFile(reading: path)
            var backend = try await self.backend(creating: true)
            var total: UInt32 = 0
            var added: UInt32 = 0
            var last: ImportReport?
            while last?.rejection == nil {
                var headers = try file.next()
                if total == 0, let first = BlockHeader(bytes: headers.prefix(BlockHeader.size)),
                    first.hash == (try await backend.startHash)
                {
                    // A file that begins with the first header itself, which every store has.
                    headers.removeFirst(BlockHeader.size)
                }
                guard !headers.isEmpty else { break }
                let report = try await backend.add(headers)
                total += UInt32(headers.count / BlockHeader.size)
                added += report.added
                last = report
            }
            guard let last else { throw HeaderFile.Problem(description: "\(path) holds no header to import") }
            let report = Report(
                headers: total, added: added, height: last.chain.height, tip: last.chain.tip,
                rejection: last.rejection, rule: last.rule)
            print(
                self.options.json
                    ? try JSONText.of(report)
                    : "\(added) of \(total) headers were new; the best chain is at height \(report.height), \(report.tip)"
            )
            if let rejection = last.rejection { throw Failure.exit(rejection) }
        }
    }

    func exportFile(_ path: String, from: UInt32?, count: UInt32) async throws {
        try await self.reportingProblems {
            let backend = try await self.backend(creating: false)
            var height = from ?? backend.startHeight + 1
            var left = count
            var total: UInt32 = 0
            var last: BlockHash?
            // Asked before the file is touched, so that a mistyped height does not empty it.
            var headers = try await backend.headers(from: height, count: min(left, Self.page))
            guard !headers.isEmpty else { throw ControlError("there are no headers from height \(height) on") }
            let file = try HeaderFile(writing: path)
            while !headers.isEmpty {
                try file.write(headers)
                let number = UInt32(headers.count / BlockHeader.size)
                last = DoubleSHA256.hash(Array(headers.suffix(BlockHeader.size)))
                total += number
                height += number
                left -= number
                headers = left == 0 ? [] : try await backend.headers(from: height, count: min(left, Self.page))
            }
            let report = Report(headers: total, height: height - 1, tip: last?.description ?? "")
            print(
                self.options.json
                    ? try JSONText.of(report)
                    : "\(total) headers, up to height \(report.height), in \(path)")
        }
    }

    /// How many headers are asked for at once.
    private static let page: UInt32 = 50_000

    private func reportingProblems(_ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let error as HeaderFile.Problem {
            throw Failure.exit(error.description, status: EX_IOERR)
        } catch let error as ControlError {
            throw Failure.exit(error.description)
        } catch let error as StoreError {
            throw Failure.exit(error.description)
        }
    }

    private func backend(creating: Bool) async throws -> any Backend {
        let configuration = try self.options.settings.load()
        guard creating || access("\(configuration.networkDirectory)/headers.dat", F_OK) == 0 else {
            throw ControlError("there is no header store in \(configuration.networkDirectory)")
        }
        do {
            return try StoppedDaemon(configuration)
        } catch let error as StoreError where error.code == .locked {
            let client = ControlClient(socketPath: configuration.controlSocket)
            return RunningDaemon(client: client, startHeight: try await client.status().chain.startHeight)
        }
    }

    private struct RunningDaemon: Backend {
        let client: ControlClient
        let startHeight: UInt32

        func add(_ headers: [UInt8]) async throws -> ImportReport {
            try await self.client.importHeaders(headers)
        }

        func headers(from height: UInt32, count: UInt32) async throws -> [UInt8] {
            try await self.client.headers(from: height, count: count)
        }

        var startHash: BlockHash {
            get async throws {
                let header = BlockHeader(bytes: try await self.client.headers(from: self.startHeight, count: 1))
                return header?.hash ?? .zero
            }
        }
    }

    private struct StoppedDaemon: Backend {
        private let directory: DataDirectory
        private let store: HeaderStore
        private var sync: HeaderSync

        init(_ configuration: DaemonConfiguration) throws {
            self.directory = try DataDirectory(path: configuration.networkDirectory)
            var chain = HeaderChain(
                network: configuration.network, start: configuration.chain.start,
                salt: UInt64.random(in: 0...UInt64.max))
            self.store = try HeaderStore(in: self.directory, loadingInto: &chain)
            self.sync = HeaderSync(
                chain: chain, configuration: HeaderSync.Configuration(network: configuration.network), seed: 0)
        }

        var startHeight: UInt32 { self.sync.chain.startHeight }
        var startHash: BlockHash { self.sync.chain.hash(of: .start) }

        mutating func add(_ headers: [UInt8]) async throws -> ImportReport {
            let (added, rejection, directives) = self.sync.onImport(
                headers, now: .zero, wallClock: WallClockTime(seconds: Int64(time(nil))))
            for case .store(_, let accepted, _) in directives { try self.store.append(accepted) }
            try self.store.synchronize()
            return ImportReport(added: added, rejection: rejection, chain: self.sync.chain)
        }

        func headers(from height: UInt32, count: UInt32) async throws -> [UInt8] {
            let chain = self.sync.chain
            guard height >= chain.startHeight else {
                throw ControlError("the chain starts at \(chain.startHeight), there is no header \(height)")
            }
            let end = min(UInt64(height) + UInt64(count), UInt64(chain.tipHeight) + 1)
            guard UInt64(height) < end else { return [] }
            return try self.store.headers(of: (height..<UInt32(end)).lazy.compactMap { chain.best(at: $0) })
        }
    }
}
