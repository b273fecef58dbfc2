// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetHeaderChain
import Glibc
import HeaderTestSupport
import Testing

@testable import AltNetStore

@Suite("HeaderStore")
struct HeaderStoreTests {
    private static let now = WallClockTime(seconds: 1_900_000_000)

    /// A tree with branches of equal and unequal length, as batches in the order they were accepted.
    private static func batches() -> [[BlockHeader]] {
        let main = HeaderMiner.chain(30)
        let branch = HeaderMiner.chain(12, on: main[9], salt: 1)
        let equal = HeaderMiner.chain(20, on: main[9], salt: 2)
        return [
            Array(main[..<12]), [main[12]], branch, Array(main[13...]), Array(equal[..<5]), Array(equal[5...]),
            [HeaderMiner.header(on: equal[19].hash, time: equal[19].time + 1)],
        ]
    }

    private static func insert(_ headers: [BlockHeader], into chain: inout HeaderChain) throws {
        let parent = try #require(headers.first.flatMap { chain.find($0.previous) })
        let run = headers.bytes.withUnsafeBytes { ValidatedRun($0, on: parent, of: chain, now: Self.now) }
        try #require(run.rejection == nil)
        _ = chain.insert(run)
    }

    /// Opens the store of a directory, and closes it when `body` returns.
    @discardableResult
    private static func open<Result>(
        _ directory: TemporaryDirectory, start: HeaderChainStart = .genesis, network: Network = .regtest,
        _ body: (HeaderStore, inout HeaderChain) throws -> Result
    ) throws -> Result {
        let data = try DataDirectory(path: directory.path + "/data")
        var chain = HeaderChain(network: network, start: start, salt: 1)
        let store = try HeaderStore(in: data, loadingInto: &chain)
        return try body(store, &chain)
    }

    /// Writes batches, and returns the tree and where each frame ends.
    private static func write(
        _ batches: [[BlockHeader]], to directory: TemporaryDirectory
    ) throws -> (chains: [HeaderChain], ends: [Int]) {
        try Self.open(directory) { store, chain in
            var chains = [chain]
            var ends = [directory.file("data/headers.dat").count]
            for batch in batches {
                try Self.insert(batch, into: &chain)
                try store.append(batch.bytes)
                chains.append(chain)
                ends.append(directory.file("data/headers.dat").count)
            }
            try store.synchronize()
            return (chains, ends)
        }
    }

    private static func expectSame(_ left: HeaderChain, _ right: HeaderChain, _ comment: String = "") throws {
        #expect(left.count == right.count && left.tip == right.tip && left.tipHeight == right.tipHeight, "\(comment)")
        guard left.count == right.count else { return }
        for number in 0..<UInt32(left.count) {
            let node = HeaderNode(number)
            let isSame =
                left.hash(of: node) == right.hash(of: node) && left.parent(of: node) == right.parent(of: node)
                && left.height(of: node) == right.height(of: node) && left.work(of: node) == right.work(of: node)
                && left.time(of: node) == right.time(of: node) && left.bits(of: node) == right.bits(of: node)
                && left.isInBestChain(node) == right.isInBestChain(node)
            #expect(isSame, "node \(number) \(comment)")
        }
        let cursors = (left.cursor(at: left.tip), right.cursor(at: right.tip))
        #expect(cursors.0.medianTimePast == cursors.1.medianTimePast && cursors.0.hash == cursors.1.hash)
    }

    private static func expectError(
        _ code: StoreError.Code, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
    ) {
        let error = #expect(throws: StoreError.self, sourceLocation: sourceLocation, performing: body)
        #expect(error?.code == code, sourceLocation: sourceLocation)
    }

    @Test("gives the same tree back after it was closed, with the same tip among equals")
    func reopen() throws {
        let directory = try TemporaryDirectory()
        let (chains, _) = try Self.write(Self.batches(), to: directory)
        let last = try #require(chains.last)
        try Self.open(directory) { store, chain in
            try Self.expectSame(chain, last)
            // And it goes on.
            let more = HeaderMiner.chain(3, on: Self.batches()[6][0])
            try Self.insert(more, into: &chain)
            try store.append(more.bytes)
        }
        try Self.open(directory) { _, chain in #expect(chain.count == last.count + 3) }
    }

    @Test("keeps the first of two equal tips over a restart, whichever it was")
    func firstSeen() throws {
        let parent = Network.regtest.genesis
        for salt in [1, 2] as [UInt64] {
            let directory = try TemporaryDirectory()
            let batches = [
                HeaderMiner.chain(2, on: parent, salt: salt), HeaderMiner.chain(2, on: parent, salt: 3 - salt),
            ]
            _ = try Self.write(batches, to: directory)
            try Self.open(directory) { _, chain in #expect(chain.hash(of: chain.tip) == batches[0][1].hash) }
        }
    }

    @Test("reads headers in any order, in runs and over frames")
    func headers() throws {
        let directory = try TemporaryDirectory()
        let batches = Self.batches()
        let all = [Network.regtest.genesis] + batches.flatMap { $0 }
        func expect(_ numbers: [UInt32], in store: HeaderStore) throws {
            let bytes = try store.headers(of: numbers.map { HeaderNode($0) })
            #expect(bytes == numbers.map { all[Int($0)] }.bytes, "\(numbers)")
        }
        _ = try Self.write(batches, to: directory)
        try Self.open(directory) { store, _ in
            var generator = SeededRandom(seed: 1)
            try expect([], in: store)
            try expect(Array(0..<UInt32(all.count)), in: store)
            for _ in 0..<200 {
                let first = UInt32.random(in: 0..<UInt32(all.count), using: &generator)
                let second = UInt32.random(in: 0..<UInt32(all.count), using: &generator)
                try expect(Array(min(first, second)...max(first, second)), in: store)
                try expect([first, second, first], in: store)
            }
            #expect(throws: StoreError.self) { try store.headers(of: [HeaderNode(UInt32(all.count))]) }
            // And what has just been appended.
            let more = HeaderMiner.chain(1, on: batches[6][0])
            try store.append(more.bytes)
            #expect(try store.headers(of: [HeaderNode(UInt32(all.count))]) == more.bytes)
        }
    }

    @Test("splits what is larger than a frame")
    func largeBatch() throws {
        let directory = try TemporaryDirectory()
        let headers = HeaderMiner.bytes(HeaderStore.maximumFrame + 100)
        try Self.open(directory) { store, _ in
            try store.append(headers)
            let nodes = (1...UInt32(HeaderStore.maximumFrame + 100)).map { HeaderNode($0) }
            #expect(try store.headers(of: nodes) == headers)
        }
        #expect(
            directory.file("data/headers.dat").count
                == HeaderStore.preambleSize + 2 * HeaderStore.frameOverhead + headers.count)
        try Self.open(directory) { _, chain in #expect(chain.tipHeight == UInt32(HeaderStore.maximumFrame + 100)) }
    }

    @Test("keeps every whole frame of a file that was cut off anywhere")
    func truncation() throws {
        let original = try TemporaryDirectory()
        let (chains, ends) = try Self.write(Self.batches(), to: original)
        let bytes = original.file("data/headers.dat")
        #expect(ends.last == bytes.count)
        // At every byte of the last frame and of the one before, and here and there.
        let lengths = Set(ends[5]...ends[7]).union(stride(from: 0, to: bytes.count, by: 97)).union(ends)
            .union(ends.map { $0 + 1 }).subtracting([bytes.count + 1])
        for length in lengths.sorted() {
            let directory = try TemporaryDirectory()
            directory.write(Array(bytes[..<length]), to: "data/headers.dat")
            let whole = ends.count { $0 <= length }
            try Self.open(directory) { store, chain in
                try Self.expectSame(chain, chains[max(0, whole - 1)], "cut at \(length)")
                // What was lost is fetched and stored again.
                for batch in Self.batches()[max(0, whole - 1)...] { try store.append(batch.bytes) }
            }
            #expect(directory.file("data/headers.dat") == bytes, "cut at \(length)")
        }
    }

    @Test("cuts off room that was made and never written to, and what was half written in it")
    func zeroTail() throws {
        let original = try TemporaryDirectory()
        let (chains, ends) = try Self.write(Self.batches(), to: original)
        let bytes = original.file("data/headers.dat")
        // The last frame in part, then zeros to where it would have ended, or beyond.
        for written in [0, 1, 4, 5, 8, 12, 15, 16, 17, 60] {
            for room in [ends[7] - ends[6], 5000, 200_000] where written < ends[7] - ends[6] {
                let directory = try TemporaryDirectory()
                let head = bytes[..<(ends[6] + written)]
                let file = Array(head) + [UInt8](repeating: 0, count: room - written)
                directory.write(file, to: "data/headers.dat")
                if written > 16, room > ends[7] - ends[6] {
                    // A whole frame with a wrong checksum and something behind it: that is no unfinished write.
                    #expect(throws: StoreError.self) { try Self.open(directory) { _, _ in } }
                    continue
                }
                guard written < 12 || room == ends[7] - ends[6] else { continue }
                try Self.open(directory) { _, chain in
                    try Self.expectSame(chain, chains[6], "\(written) bytes written of \(room)")
                }
                #expect(directory.file("data/headers.dat") == Array(bytes[..<ends[6]]))
            }
        }
        // A file with nothing in it but zeros is a new one.
        let directory = try TemporaryDirectory()
        directory.write([UInt8](repeating: 0, count: 50), to: "data/headers.dat")
        try Self.open(directory) { _, chain in #expect(chain.count == 1) }
    }

    @Test("notices every flipped bit before the last frame, and changes nothing then")
    func flippedBits() throws {
        let original = try TemporaryDirectory()
        let (_, ends) = try Self.write(Self.batches(), to: original)
        let bytes = original.file("data/headers.dat")
        var generator = SeededRandom(seed: 11)
        // Every bit of the preamble and of all heads, and some of every header.
        var places = Set(0..<HeaderStore.preambleSize).union(ends[..<6].flatMap { Array($0..<$0 + 16) })
        for start in ends[..<6] {
            places.formUnion((0..<30).map { _ in Int.random(in: start..<ends[6], using: &generator) })
        }
        let directory = try TemporaryDirectory()
        for place in places.sorted() where place < ends[6] {
            let isHead = place < HeaderStore.preambleSize || ends.contains(where: { $0 <= place && place < $0 + 16 })
            for bit in 0..<(isHead ? 8 : 2) {
                var damaged = bytes
                damaged[place] ^= 1 << UInt8(bit)
                directory.write(damaged, to: "data/headers.dat")
                let error = #expect(throws: StoreError.self, "byte \(place), bit \(bit)") {
                    try Self.open(directory) { _, _ in }
                }
                // A flip in the format's number may look like a newer one.
                let isVersion = (8..<12).contains(place)
                #expect(
                    error?.code == .damaged || isVersion && error?.code == .newerVersion, "byte \(place), bit \(bit)")
                #expect(error?.description.contains(directory.path) == true)
                #expect(directory.file("data/headers.dat") == damaged, "byte \(place), bit \(bit)")
            }
        }
    }

    @Test("notices frames that are whole but do not follow")
    func strangeFrames() throws {
        let original = try TemporaryDirectory()
        let (_, ends) = try Self.write(Self.batches(), to: original)
        let bytes = original.file("data/headers.dat")
        func frame(_ index: Int) -> [UInt8] { Array(bytes[ends[index]..<ends[index + 1]]) }
        let preamble = Array(bytes[..<ends[0]])
        for (name, frames) in [
            ("a gap", frame(0) + frame(3)), ("a repetition", frame(0) + frame(0)),
            ("a repetition later", frame(0) + frame(1) + frame(0)), ("another order", frame(1) + frame(0)),
            ("an orphan at the end", frame(0) + frame(6)),
        ] {
            let directory = try TemporaryDirectory()
            directory.write(preamble + frames, to: "data/headers.dat")
            let error = #expect(throws: StoreError.self, "\(name)") { try Self.open(directory) { _, _ in } }
            #expect(error?.code == .damaged, "\(name)")
        }
    }

    @Test("is opened for the network and the start that it was made for only")
    func mismatch() throws {
        let directory = try TemporaryDirectory()
        _ = try Self.write(Self.batches(), to: directory)
        let before = directory.file("data/headers.dat")
        let trusted = HeaderChainStart.trusted(height: 5, header: Self.batches()[0][4])
        for (network, start) in [(Network.main, .genesis), (.signet, .genesis), (.regtest, trusted)]
            as [(Network, HeaderChainStart)]
        {
            let error = #expect(throws: StoreError.self) {
                try Self.open(directory, start: start, network: network) { _, _ in }
            }
            #expect(error?.code == .mismatch)
        }
        directory.write(Array("no header file at all ".utf8) + before, to: "data/headers.dat")
        Self.expectError(.damaged) { try Self.open(directory) { _, _ in } }
        directory.write(Array("short".utf8), to: "data/headers.dat")
        Self.expectError(.damaged) { try Self.open(directory) { _, _ in } }
        #expect(directory.file("data/headers.dat") == Array("short".utf8))
        var newer = before
        newer[8] = 2
        directory.write(newer, to: "data/headers.dat")
        Self.expectError(.newerVersion) { try Self.open(directory) { _, _ in } }
    }

    @Test("begins at a trusted header")
    func trusted() throws {
        let directory = try TemporaryDirectory()
        let headers = HeaderMiner.chain(20)
        let start = HeaderChainStart.trusted(height: 700_000, header: headers[4])
        try Self.open(directory, start: start) { store, chain in
            try Self.insert(Array(headers[5...]), into: &chain)
            try store.append(Array(headers[5...]).bytes)
            #expect(try store.headers(of: [.start]) == headers[4].bytes)
        }
        try Self.open(directory, start: start) { _, chain in
            #expect(chain.tipHeight == 700_015)
            #expect(chain.hash(of: chain.tip) == headers[19].hash)
        }
        let other = HeaderChainStart.trusted(height: 700_001, header: headers[4])
        Self.expectError(.mismatch) { try Self.open(directory, start: other) { _, _ in } }
    }

    @Test("flushes from another thread")
    func synchronizer() async throws {
        let directory = try TemporaryDirectory()
        let synchronizer = try Self.open(directory) { store, _ in
            try store.append(HeaderMiner.bytes(10))
            return store.synchronizer
        }
        try await Task.detached { try synchronizer.synchronize() }.value
    }
}
