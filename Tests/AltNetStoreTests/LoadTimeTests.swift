// SPDX-License-Identifier: MIT

import AltNetBitcoin
import AltNetHeaderChain
import AltNetStore
import HeaderTestSupport
import Testing

@Suite("HeaderStore at full size", .serialized)
struct LoadTimeTests {
    #if DEBUG
        private static let count = 50_000
    #else
        /// As many as the main chain has.
        private static let count = 900_000
    #endif

    @Test("opens as many headers as the main chain has in half a second")
    func load() throws {
        let directory = try TemporaryDirectory()
        let headers = HeaderMiner.bytes(Self.count, spacing: 500)
        do {
            let data = try DataDirectory(path: directory.path)
            var chain = HeaderChain(network: .regtest, salt: 1)
            try HeaderStore(in: data, loadingInto: &chain).append(headers)
        }
        var best = Duration.seconds(1000)
        for _ in 0..<3 {
            let data = try DataDirectory(path: directory.path)
            var chain = HeaderChain(network: .regtest, salt: 1)
            best = try min(best, ContinuousClock().measure { _ = try HeaderStore(in: data, loadingInto: &chain) })
            #expect(chain.tipHeight == UInt32(Self.count))
            #expect(chain.hash(of: chain.tip) == DoubleSHA256.hash(Array(headers.suffix(BlockHeader.size))))
        }
        print("opened \(Self.count) headers in \(best)")
        #if !DEBUG
            #expect(best < .milliseconds(500))
        #endif
    }
}
