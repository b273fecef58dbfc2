// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetHeaderChain
internal import Foundation

/// Header validation on one core, beside the bare double SHA-256 of the same bytes.
enum HeaderBench {
    static func run() throws {
        let now = WallClockTime(seconds: Int64(Date().timeIntervalSince1970))
        var miner = RegtestMiner(on: Network.regtest.genesis, seed: 1)
        let generated = miner.mine(500_000) { $0 &+ 600 }
        try Self.compare("generated", generated, repeats: 1, now: now) { HeaderCursor(genesisOf: .regtest) }
        Self.insertion(generated, now: now)

        let shared = ProcessInfo.processInfo.environment["ALTNET_SHARED"] ?? "../shared"
        guard let real = FileManager.default.contents(atPath: "\(shared)/data/mainnet-headers-586656.bin"),
            let first = BlockHeader(bytes: real.prefix(BlockHeader.size))
        else {
            FileHandle.standardError.write(Data("bench: no real headers; say where with ALTNET_SHARED\n".utf8))
            return
        }
        try Self.compare("real", Array(real.dropFirst(BlockHeader.size)), repeats: 100, now: now) {
            HeaderCursor(network: .main, trusted: first, height: 586_656)
        }
    }

    private static func compare(
        _ name: String, _ headers: [UInt8], repeats: Int, now: WallClockTime, from start: () -> HeaderCursor
    ) throws {
        let count = Double(headers.count / BlockHeader.size * repeats)
        var checksum: UInt64 = 0
        // In turn, so that both see the same machine.
        var bare = Double.infinity
        var validated = Double.infinity
        for _ in 0..<5 {
            bare = min(
                bare,
                Stopwatch.once {
                    headers.withUnsafeBytes { bytes in
                        for _ in 0..<repeats {
                            for offset in stride(from: 0, to: bytes.count, by: BlockHeader.size) {
                                let header = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + BlockHeader.size])
                                checksum ^= DoubleSHA256.hash(header).number.limbs.0
                            }
                        }
                    }
                })
            validated = min(
                validated,
                Stopwatch.once {
                    for _ in 0..<repeats {
                        var cursor = start()
                        let rejection = headers.withUnsafeBytes { cursor.advance(over: $0, now: now) { _ in } }
                        precondition(rejection == nil, "the bench's headers must be valid")
                    }
                })
        }
        Figure.print("double SHA-256 of \(name) headers", count / bare, "headers/s")
        Figure.print("validation of \(name) headers, every rule", count / validated, "headers/s")
        Figure.print(
            "validation of \(name) headers against bare hashing", validated / bare, "times", atMost: 1.5,
            of: "of the hashing time")
        precondition(checksum != 1)
    }

    private static func insertion(_ headers: [UInt8], now: WallClockTime) {
        let seconds = Stopwatch.best(of: 3) {
            var chain = HeaderChain(network: .regtest, salt: 7)
            let batch = 8192 * BlockHeader.size
            for offset in stride(from: 0, to: headers.count, by: batch) {
                headers.withUnsafeBytes { bytes in
                    let part = UnsafeRawBufferPointer(rebasing: bytes[offset..<min(offset + batch, bytes.count)])
                    _ = chain.insert(ValidatedRun(part, on: chain.tip, of: chain, now: now))
                }
            }
        }
        Figure.print(
            "validation and keeping in the tree", Double(headers.count / BlockHeader.size) / seconds, "headers/s")
    }
}
