// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import HeaderTestSupport
import Testing

@testable import AltNetHeaderChain

@Suite("HeaderChain")
struct HeaderChainTests {
    private static let now = WallClockTime(seconds: 1_700_000_000)

    private static func insert(
        _ headers: [BlockHeader], on parent: HeaderNode, into chain: inout HeaderChain
    ) -> (nodes: Range<UInt32>, change: TipChange) {
        let run = headers.bytes.withUnsafeBytes { ValidatedRun($0, on: parent, of: chain, now: Self.now) }
        #expect(run.rejection == nil)
        #expect(run.headers.count == headers.count)
        return chain.insert(run)
    }

    @Test("begins with the start alone")
    func empty() throws {
        let chain = HeaderChain(network: .main, salt: 1)
        #expect(chain.count == 1)
        #expect(chain.tip == .start)
        #expect(chain.tipHeight == 0)
        #expect(chain.find(Network.main.chainHash) == .start)
        #expect(chain.find(.zero) == nil)
        #expect(chain.parent(of: .start) == nil)
        #expect(chain.best(at: 0) == .start)
        #expect(chain.best(at: 1) == nil)
        #expect(chain.locator(below: .start) == [Network.main.chainHash])
        #expect(chain.heights(after: [], stop: .zero, limit: 10)?.isEmpty == true)
    }

    @Test("grows, branches, and changes over when a branch has more work, not when it has as much")
    func reorganisation() throws {
        var chain = HeaderChain(network: .regtest, salt: 1)
        let main = HeaderMiner.chain(5)
        #expect(Self.insert(main, on: .start, into: &chain).change == .extended(joined: 5))
        let fork = try #require(chain.best(at: 2))
        let branch = HeaderMiner.chain(4, on: main[1], salt: 1)
        #expect(Self.insert(Array(branch[0..<3]), on: fork, into: &chain).change == .unchanged)
        #expect(chain.hash(of: chain.tip) == main[4].hash)
        let last = try #require(chain.find(branch[2].hash))
        #expect(!chain.isInBestChain(last))
        #expect(chain.fork(of: last) == fork)
        #expect(
            Self.insert([branch[3]], on: last, into: &chain).change
                == .reorganised(fork: 2, left: 3, joined: 4, oldTip: main[4].hash))
        #expect(chain.hash(of: chain.tip) == branch[3].hash)
        #expect(
            (0...6).compactMap { chain.best(at: $0) }.map(chain.hash)
                == [Network.regtest.chainHash] + main[0..<2].map(\.hash) + branch.map(\.hash))
    }

    @Test("keeps the good part of a run and tells what was wrong with the rest")
    func partialRun() throws {
        var chain = HeaderChain(network: .regtest, salt: 1)
        var headers = HeaderMiner.chain(5)
        headers[3] = HeaderMiner.mined(headers[3], isProven: false)
        let run = headers.bytes.withUnsafeBytes { ValidatedRun($0, on: .start, of: chain, now: Self.now) }
        #expect(run.headers.map(\.hash) == headers[0..<3].map(\.hash))
        #expect(run.rejection?.position == 3)
        #expect(run.rejection?.height == 4)
        #expect(run.work == UInt256(8))
        #expect(chain.insert(run).nodes == 1..<4)
        #expect(chain.tipHeight == 3)
    }

    @Test("begins at a trusted header and knows nothing before it")
    func trusted() throws {
        let headers = HeaderMiner.chain(20)
        var chain = HeaderChain(
            network: .regtest, start: .trusted(height: 1000, header: headers[9]), salt: 1)
        #expect(Self.insert(Array(headers[10...]), on: .start, into: &chain).change == .extended(joined: 10))
        #expect(chain.tipHeight == 1010)
        #expect(chain.best(at: 999) == nil)
        #expect(chain.find(headers[8].hash) == nil)
        // Of the work before the start nothing is known, so nothing is counted.
        #expect(chain.work(of: chain.tip) == UInt256(20))
        #expect(chain.locator(below: chain.tip).last == headers[9].hash)
        #expect(chain.heights(after: [headers[8].hash], stop: .zero, limit: 3) == nil)
        #expect(chain.heights(after: [headers[9].hash], stop: .zero, limit: 3) == 1001..<1004)
    }

    @Test("restores what was stored, and refuses strangers and what is there already")
    func restore() throws {
        let headers = HeaderMiner.chain(4)
        var chain = HeaderChain(network: .regtest, salt: 1)
        func restore(_ header: BlockHeader) -> Bool {
            chain.restore(
                hash: header.hash, previous: header.previous, time: header.time, bits: header.bits,
                workOfHeader: header.bits.work)
        }
        #expect(!restore(headers[1]))
        #expect(restore(headers[0]))
        #expect(!restore(headers[0]))
        #expect(restore(headers[1]))
        #expect(chain.count == 3)
        chain.finishRestoring()
        #expect(Self.insert([headers[2]], on: chain.tip, into: &chain).change == .extended(joined: 1))
    }

    @Test("saturates work beyond 128 bits instead of wrapping")
    func hugeWork() {
        var chain = HeaderChain(network: .regtest, salt: 1)
        for number in 1...3 as ClosedRange<UInt64> {
            let isRestored = chain.restore(
                hash: BlockHash(number: UInt256(number)), previous: chain.hash(of: chain.tip), time: 1,
                bits: CompactTarget(0x0300_0001), workOfHeader: .max)
            #expect(isRestored)
        }
        #expect(chain.work(of: chain.tip) == UInt256(.max, .max, 0, 0))
        #expect(chain.tipHeight == 3)
    }

    @Test("finds every hash again while the index grows, and none that is not there")
    func index() {
        var index = HeaderIndex(salt: 0x1234_5678_9abc_def0)
        var hashes: [BlockHash] = []
        var generator = SeededRandom(seed: 7)
        for number in 0..<5000 as Range<UInt32> {
            // Hashes of equal low words, as somebody who grinds them would make.
            let hash = BlockHash(number: UInt256(UInt64(number % 7), generator.next(), 0, UInt64(number)))
            #expect(index.find(hash, in: hashes) == nil)
            let isNew = index.insert(hash, as: number, in: hashes)
            let isNewAgain = index.insert(hash, as: number, in: hashes + [hash])
            #expect(isNew && !isNewAgain)
            hashes.append(hash)
            guard number % 500 == 0 else { continue }
            for (place, hash) in hashes.enumerated() { #expect(index.find(hash, in: hashes) == UInt32(place)) }
        }
    }
}

/// The tree against a model that keeps a dictionary and recomputes everything by walking.
@Suite("HeaderChain against a naive model")
struct HeaderChainModelTests {
    private static let now = WallClockTime(seconds: 1_700_000_000)

    private struct Branch {
        let parent: BlockHash
        let headers: [BlockHeader]
    }

    /// A random tree as branches, each on a header of an earlier one.
    private static func branches(using generator: inout SeededRandom) -> [Branch] {
        var pool = [Network.regtest.genesis]
        return (0..<Int.random(in: 1...9, using: &generator)).map { number in
            // Mostly near the end, so that long competitions are common.
            let from = Bool.random(using: &generator) ? pool.count / 2 : 0
            let parent = pool[Int.random(in: from..<pool.count, using: &generator)]
            let headers = HeaderMiner.chain(
                Int.random(in: 1...6, using: &generator), on: parent,
                spacing: UInt32.random(in: 1...3000, using: &generator), salt: UInt64(number) + 1)
            pool += headers
            return Branch(parent: parent.hash, headers: headers)
        }
    }

    @Test("has the same best chain, changes, forks, answers and cursors", arguments: 0..<30 as Range<UInt64>)
    func trees(group: UInt64) throws {
        for seed in group * 40..<(group + 1) * 40 {
            var generator = SeededRandom(seed: seed)
            var waiting = Self.branches(using: &generator)
            var model = NaiveChain(Network.regtest.genesis)
            var chain = HeaderChain(network: .regtest, salt: generator.next())
            while !waiting.isEmpty {
                // A random one of those whose parent is there, perhaps in two pieces.
                let ready = waiting.indices.filter { model.contains(waiting[$0].parent) }
                let index = try #require(ready.randomElement(using: &generator))
                let branch = waiting.remove(at: index)
                let cut = Int.random(in: 0...branch.headers.count, using: &generator)
                for piece in [branch.headers[..<cut], branch.headers[cut...]] where !piece.isEmpty {
                    let before = model.best
                    for header in piece { model.add(header) }
                    let parent = try #require(piece.first.flatMap { chain.find($0.previous) })
                    let run = Array(piece).bytes.withUnsafeBytes {
                        ValidatedRun($0, on: parent, of: chain, now: Self.now)
                    }
                    let count = UInt32(chain.count)
                    let (nodes, change) = chain.insert(run)
                    #expect(nodes == count..<count + UInt32(piece.count), "seed \(seed)")
                    #expect(change == NaiveChain.change(from: before, to: model.best), "seed \(seed)")
                }
                try Self.compare(chain, with: model, seed: seed)
            }
            try Self.compareAnswers(chain, with: model, seed: seed, using: &generator)
        }
    }

    private static func compare(_ chain: HeaderChain, with model: NaiveChain, seed: UInt64) throws {
        #expect(chain.count == model.order.count, "seed \(seed)")
        #expect(chain.tipHeight == UInt32(model.best.count - 1), "seed \(seed)")
        for (height, hash) in model.best.enumerated() {
            let node = try #require(chain.best(at: UInt32(height)))
            #expect(chain.hash(of: node) == hash, "seed \(seed)")
        }
        for (number, hash) in model.order.enumerated() {
            let node = try #require(chain.find(hash))
            let path = model.path(to: hash)
            #expect(Int(node.number) == number, "seed \(seed)")
            #expect(chain.height(of: node) == UInt32(path.count - 1), "seed \(seed)")
            #expect(chain.work(of: node) == UInt256(UInt64(2 * path.count)), "seed \(seed)")
            #expect(chain.parent(of: node).map(chain.hash) == path.dropLast().last, "seed \(seed)")
            let fork = zip(path, model.best).prefix { $0 == $1 }.count - 1
            #expect(chain.height(of: chain.fork(of: node)) == UInt32(fork), "seed \(seed)")
            #expect(chain.isInBestChain(node) == model.best.contains(hash), "seed \(seed)")
        }
    }

    private static func compareAnswers(
        _ chain: HeaderChain, with model: NaiveChain, seed: UInt64, using generator: inout SeededRandom
    ) throws {
        for hash in model.order {
            let node = try #require(chain.find(hash))
            let path = model.path(to: hash)
            // A locator lies in the path, goes down, and ends at the start.
            let heights = chain.locator(below: node).map { path.firstIndex(of: $0) ?? .max }
            #expect(heights.last == 0 && heights == heights.sorted(by: >), "seed \(seed)")
            #expect(Set(heights).count == heights.count, "seed \(seed)")
            #expect(heights.first == max(0, path.count - 2), "seed \(seed)")
            // A cursor that is built here judges like one that walked here.
            var cursor = HeaderCursor(genesisOf: .regtest)
            let headers = path.dropFirst().compactMap { model.headers[$0] }
            #expect(headers.bytes.withUnsafeBytes { cursor.advance(over: $0, now: Self.now) { _ in } } == nil)
            expectSame(chain.cursor(at: node), cursor, "seed \(seed)")
            expectSame(chain.rebuiltCursor(at: node), cursor, "seed \(seed)")
        }
        for _ in 0..<10 {
            let stranger = BlockHash(number: UInt256(generator.next()))
            let locator = (0..<Int.random(in: 0...3, using: &generator)).map { _ in
                model.order.randomElement(using: &generator) ?? stranger
            }
            let stop = [.zero, stranger, model.order.randomElement(using: &generator) ?? stranger][
                Int.random(in: 0..<3, using: &generator)]
            let limit = UInt32.random(in: 0...5, using: &generator)
            let answer = chain.heights(after: locator, stop: stop, limit: limit)?.map { model.best[Int($0)] }
            #expect(
                answer == model.answer(locator, stop: stop, limit: Int(limit)),
                "seed \(seed): \(locator) to \(stop), at most \(limit)")
        }
    }

    /// A chain of headers that nobody mined, for questions that need no work.
    private static func line(_ count: Int) throws -> HeaderChain {
        var chain = HeaderChain(network: .regtest, salt: 1)
        for number in 1...UInt64(count) {
            let isRestored = chain.restore(
                hash: BlockHash(number: UInt256(number, 1, 0, 0)), previous: chain.hash(of: chain.tip),
                time: UInt32(number), bits: Network.regtest.proofOfWorkLimit, workOfHeader: UInt256(2))
            try #require(isRestored)
        }
        chain.finishRestoring()
        return chain
    }

    @Test(
        "makes everybody answer one of two locators who has anything above what is known",
        arguments: [1, 2] as [UInt64])
    func locators(seed: UInt64) throws {
        var generator = SeededRandom(seed: seed)
        let chain = try Self.line(3000)
        let tops = Array(0...70) + (0..<30).map { _ in UInt32.random(in: 71...3000, using: &generator) }
        for top in tops {
            let bottoms = [0, top / 2, top] + (0..<2).map { _ in UInt32.random(in: 0...top, using: &generator) }
            for bottom in bottoms {
                let node = try #require(chain.best(at: top))
                let lower = try #require(chain.best(at: bottom))
                let (plain, shifted) = try (
                    Self.rungs(chain, chain.locator(below: node, above: lower)),
                    Self.rungs(chain, chain.locator(below: node, above: lower, isShifted: true))
                )
                #expect(plain.count <= 101 && shifted.count <= 101)
                #expect(plain.contains(bottom) && shifted.contains(bottom) && plain.last == 0 && shifted.last == 0)
                #expect(top == bottom || !plain.contains(top))
                #expect(plain == plain.sorted(by: >) && Set(plain).count == plain.count)
                #expect(shifted == shifted.sorted(by: >) && Set(shifted).count == shifted.count)
                #expect(Set(plain).intersection(shifted).filter { $0 > bottom }.isEmpty, "\(bottom)...\(top)")
                // Whoever has all of it shows the tip at once.
                if top > bottom { #expect(top - (plain.first ?? 0) <= 1 + (top - bottom) / 2, "\(bottom)...\(top)") }
            }
        }
    }

    private static func rungs(_ chain: HeaderChain, _ locator: [BlockHash]) throws -> [UInt32] {
        try locator.map { chain.height(of: try #require(chain.find($0))) }
    }
}

/// A chain of headers the slow way.
private struct NaiveChain {
    private(set) var headers: [BlockHash: BlockHeader] = [:]
    private(set) var order: [BlockHash] = []
    /// The hashes of the best chain from the start on.
    private(set) var best: [BlockHash]

    init(_ genesis: BlockHeader) {
        self.headers[genesis.hash] = genesis
        self.order = [genesis.hash]
        self.best = [genesis.hash]
    }

    func contains(_ hash: BlockHash) -> Bool { self.headers[hash] != nil }

    mutating func add(_ header: BlockHeader) {
        self.headers[header.hash] = header
        self.order.append(header.hash)
        // Of equal work, which is equal length here, the first that was seen stays.
        let path = self.path(to: header.hash)
        if path.count > self.best.count { self.best = path }
    }

    func path(to hash: BlockHash) -> [BlockHash] {
        var path: [BlockHash] = []
        var walker = hash
        while let header = self.headers[walker] {
            path.append(walker)
            walker = header.previous
        }
        return path.reversed()
    }

    static func change(from old: [BlockHash], to new: [BlockHash]) -> TipChange {
        guard let oldTip = old.last, oldTip != new.last else { return .unchanged }
        let fork = zip(old, new).prefix { $0 == $1 }.count - 1
        let joined = UInt32(new.count - 1 - fork)
        guard old.count - 1 > fork else { return .extended(joined: joined) }
        return .reorganised(
            fork: UInt32(fork), left: UInt32(old.count - 1 - fork), joined: joined, oldTip: oldTip)
    }

    func answer(_ locator: [BlockHash], stop: BlockHash, limit: Int) -> [BlockHash] {
        // Without a locator one header is asked for by its hash.
        guard !locator.isEmpty || stop == .zero else { return self.best.contains(stop) && limit > 0 ? [stop] : [] }
        let fork = locator.lazy.compactMap { self.best.firstIndex(of: $0) }.first ?? 0
        var answer: [BlockHash] = []
        for hash in self.best[(fork + 1)...].prefix(limit) {
            answer.append(hash)
            if hash == stop { break }
        }
        return answer
    }
}

@Suite("RegtestMiner")
struct RegtestMinerTests {
    @Test("finds the same valid headers for the same seed, and goes on where it stopped")
    func chain() throws {
        var first = RegtestMiner(on: Network.regtest.genesis, seed: 1)
        var second = RegtestMiner(on: Network.regtest.genesis, seed: 1)
        var other = RegtestMiner(on: Network.regtest.genesis, seed: 2)
        let headers = first.mine(20) { $0 + 600 }
        let again = second.mine(5) { $0 + 600 } + second.mine(15) { $0 + 600 }
        let others = other.mine(20) { $0 + 600 }
        #expect(headers == again && headers != others)
        var cursor = HeaderCursor(genesisOf: .regtest)
        let now = WallClockTime(seconds: 1_700_000_000)
        #expect(headers.withUnsafeBytes { cursor.advance(over: $0, now: now) { _ in } } == nil)
        #expect(cursor.height == 20 && cursor.hash == first.tip.hash)
    }
}
