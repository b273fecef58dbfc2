// SPDX-License-Identifier: MIT

import AltNetBitcoin
import AltNetHeaderChain
import Glibc
import HeaderTestSupport
import Testing

@testable import AltNetStore

/// A full disk is played by the limit on the size of files, which is the whole process's. So that other tests do not
/// meet it, it is far above everything that they write, and the store is filled up to there with bytes that are no
/// headers: it does not look at what it appends.
@Suite("HeaderStore on a full disk", .serialized)
struct FullDiskTests {
    private static let fill = 24

    /// A store of some 60 MB.
    private func withLargeStore(_ body: (HeaderStore, _ file: () -> [UInt8]) throws -> Void) throws {
        let directory = try TemporaryDirectory()
        let data = try DataDirectory(path: directory.path)
        var chain = HeaderChain(network: .regtest, salt: 1)
        let store = try HeaderStore(in: data, loadingInto: &chain)
        let frame = [UInt8](repeating: 7, count: HeaderStore.maximumFrame * BlockHeader.size)
        for _ in 0..<Self.fill { try store.append(frame) }
        try body(store) { directory.file("headers.dat") }
    }

    /// Lets no file grow beyond a size while `body` runs.
    private func withFileSizeLimit(_ bytes: Int, _ body: () throws -> Void) throws {
        signal(SIGXFSZ, SIG_IGN)
        let fileSize = __rlimit_resource_t(RLIMIT_FSIZE.rawValue)
        var old = rlimit()
        try #require(getrlimit(fileSize, &old) == 0)
        var limited = old
        limited.rlim_cur = rlim_t(bytes)
        try #require(setrlimit(fileSize, &limited) == 0)
        defer { setrlimit(fileSize, &old) }
        try body()
    }

    private func expectFailure(_ store: HeaderStore, appending headers: [UInt8]) {
        let error = #expect(throws: StoreError.self) { try store.append(headers) }
        #expect(error?.code == .system)
        #expect(error?.description.contains("headers.dat") == true)
    }

    @Test("leaves the file as it was, and goes on with what is missing when there is room again")
    func full() throws {
        let headers = HeaderMiner.bytes(300)
        func part(_ range: Range<Int>) -> [UInt8] { Array(headers[range.lowerBound * 80..<range.upperBound * 80]) }
        try self.withLargeStore { store, file in
            let first = UInt32(Self.fill * HeaderStore.maximumFrame) + 1
            try store.append(part(0..<100))
            let before = file()
            try self.withFileSizeLimit(before.count + 1000) {
                self.expectFailure(store, appending: part(100..<200))
                let after = file()
                #expect(after == before)
                // What is there can be read, what is not there cannot, and later headers do not take its place.
                let last = try store.headers(of: [HeaderNode(first + 99)])
                #expect(last == part(99..<100))
                #expect(throws: StoreError.self) { try store.headers(of: [HeaderNode(first + 100)]) }
                self.expectFailure(store, appending: part(200..<201))
            }
            self.expectFailure(store, appending: part(200..<201))
            try store.append(part(100..<200))
            try store.append(part(200..<300))
            let read = try store.headers(of: (first..<first + 300).map { HeaderNode($0) })
            #expect(read == headers)
            let end = file()
            #expect(end.count == before.count + 2 * HeaderStore.frameOverhead + 200 * BlockHeader.size)
        }
    }

    @Test("takes a batch of several frames whole or not at all")
    func laterFrame() throws {
        let headers = [UInt8](repeating: 9, count: (HeaderStore.maximumFrame + 50) * BlockHeader.size)
        try self.withLargeStore { store, file in
            let before = file().count
            try self.withFileSizeLimit(before + headers.count - 1000) {
                self.expectFailure(store, appending: headers)
                #expect(file().count == before)
            }
            try store.append(headers)
            #expect(file().count == before + headers.count + 2 * HeaderStore.frameOverhead)
        }
    }
}
