// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetLightning
import Foundation
import Testing

@Suite("HeaderCompression")
struct HeaderCompressionTests {
    /// 2,634 headers of the main chain, when the files that the project's machines share are there.
    static let realHeaders: [UInt8]? = {
        let shared =
            ProcessInfo.processInfo.environment["ALTNET_SHARED"]
            ?? URL(fileURLWithPath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent()
            .deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("shared").path
        return FileManager.default.contents(atPath: shared + "/data/mainnet-headers-586656.bin").map { Array($0) }
    }()

    /// A run of linked headers whose fields vary in every way that matters; none has proof of work.
    static func run(of count: Int, _ random: inout SeededRandom) -> [UInt8] {
        var headers: [UInt8] = []
        var header = Network.regtest.genesis
        for _ in 0..<count {
            let previous = header.hash
            if Int.random(in: 0..<3, using: &random) == 0 {
                header.version = .random(in: .min ... .max, using: &random)
            }
            if Int.random(in: 0..<5, using: &random) == 0 {
                header.bits = CompactTarget(.random(in: .min ... .max, using: &random))
            }
            let steps: [Int64] = [0, 1, 600, -7200, 32767, 32768, -32768, -32769, 1 << 40, -(1 << 40)]
            let time = Int64(header.time) + (steps.randomElement(using: &random) ?? 0)
            header.time = UInt32(clamping: time)
            header.previous = previous
            header.merkleRoot = BlockHash(
                number: UInt256(
                    .random(in: .min ... .max, using: &random),
                    .random(in: .min ... .max, using: &random),
                    3,
                    4
                )
            )
            header.nonce = .random(in: .min ... .max, using: &random)
            header.append(to: &headers)
        }
        return headers
    }

    static func compress(_ headers: [UInt8]) -> [UInt8] {
        var output: [UInt8] = []
        HeaderCompression.compress(headers, into: &output)
        return output
    }

    @Test("decompressing gives back any run of linked headers, and compressing it again the same bytes")
    func roundTrip() throws {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededRandom(seed: seed)
        for _ in 0..<200 {
            let count = Int.random(in: 0...40, using: &random)
            let headers = Self.run(of: count, &random)
            let compressed = Self.compress(headers)
            #expect(compressed.count <= HeaderCompression.maximumLength(of: count))
            #expect(try HeaderCompression.decompress(compressed[...], limit: count) == headers, "seed \(seed)")
        }
    }

    @Test("whatever can be read is the only encoding of what it says")
    func canonical() throws {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededRandom(seed: seed)
        let compressed = Self.compress(Self.run(of: 6, &random))
        var accepted = 0
        for _ in 0..<20_000 {
            var changed = compressed
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let index = Int.random(in: changed.indices, using: &random)
                changed[index] =
                    Bool.random(using: &random)
                    ? .random(in: 0...7, using: &random) : .random(in: 0...255, using: &random)
            }
            guard let headers = try? HeaderCompression.decompress(changed[...], limit: 10) else { continue }
            accepted += 1
            #expect(Self.compress(headers) == changed, "seed \(seed)")
        }
        #expect(accepted > 0)
    }

    @Test("headers that are cut off anywhere are refused, unless the cut is between two")
    func truncation() throws {
        var random = SeededRandom(seed: 7)
        let headers = Self.run(of: 5, &random)
        let compressed = Self.compress(headers)
        let whole = Set((0...5).map { Self.compress(Array(headers.prefix($0 * 80))).count })
        for length in 0..<compressed.count {
            let result = Result { try HeaderCompression.decompress(compressed.prefix(length), limit: 10) }
            switch result {
            case .success(let read):
                #expect(whole.contains(length))
                #expect(headers.starts(with: read))
            case .failure(let error):
                #expect(!whole.contains(length))
                #expect(error as? HeaderCompressionError == .truncated)
            }
        }
    }

    @Test("more headers than asked for are refused")
    func tooMany() {
        var random = SeededRandom(seed: 8)
        let compressed = Self.compress(Self.run(of: 5, &random))
        for limit in 0..<5 {
            #expect(throws: HeaderCompressionError.tooMany(limit: limit)) {
                try HeaderCompression.decompress(compressed[...], limit: limit)
            }
        }
        #expect(throws: Never.self) { try HeaderCompression.decompress(compressed[...], limit: 5) }
    }

    @Test("a repeated version, repeated bits, a small time difference in full and unknown flags are refused")
    func redundancy() {
        let first = Network.regtest.genesis
        let root = Array(repeating: UInt8(9), count: 32)
        let nonce: [UInt8] = [1, 2, 3, 4]
        let (version, bits): ([UInt8], [UInt8]) = ([1, 0, 0, 0], [0xff, 0xff, 0x7f, 0x20])
        var time: [UInt8] = []
        time.appendLittleEndian(first.time + 5)
        let wrong: [[UInt8]] = [
            [1] + version + root + [0, 5] + nonce, [4] + root + [0, 5] + bits + nonce, [2] + root + time + nonce,
            [8] + root + [0, 5] + nonce, [0x80] + root + [0, 5] + nonce,
        ]
        for header in wrong {
            #expect(throws: HeaderCompressionError.notCanonical) {
                try HeaderCompression.decompress((first.bytes + header)[...], limit: 2)
            }
        }
        #expect(throws: Never.self) {
            try HeaderCompression.decompress((first.bytes + [0] + root + [0, 5] + nonce)[...], limit: 2)
        }
    }

    @Test("a time difference that leaves 32 bits is refused")
    func timeWrap() {
        var first = Network.regtest.genesis
        first.time = 3
        let header = [0] + Array(repeating: UInt8(9), count: 32) + [0xff, 0xf0] + [1, 2, 3, 4]
        #expect(throws: HeaderCompressionError.notCanonical) {
            try HeaderCompression.decompress((first.bytes + header)[...], limit: 2)
        }
    }

    @Test(
        "real headers shrink by at least 40 %",
        .enabled(if: realHeaders != nil, "the shared headers are not on this machine: set ALTNET_SHARED")
    )
    func realHeadersShrink() throws {
        let headers = try #require(Self.realHeaders)
        #expect(headers.count == 2634 * 80)
        let compressed = Self.compress(headers)
        #expect(try HeaderCompression.decompress(compressed[...], limit: 2634) == headers)
        let saved = 1 - Double(compressed.count) / Double(headers.count)
        print(
            "header compression: \(headers.count) bytes to \(compressed.count), "
                + String(format: "%.1f %% fewer", saved * 100)
        )
        #expect(saved >= 0.40)
    }
}
