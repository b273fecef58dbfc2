// SPDX-License-Identifier: MIT

import Testing

@testable import AltNetTransport

@Suite("KernelTable")
struct KernelTableTests {
    @Test("a table of several pages is read to its end")
    func pages() throws {
        // The memory of this process: hundreds of lines, and the stack's after those of all libraries.
        let text = try #require(KernelTable.text("/proc/self/maps"))
        #expect(text.utf8.count > 8_192)
        #expect(text.contains("[stack]"))
    }

    @Test("a table has a bound, and what is not there is none")
    func bounds() {
        #expect((KernelTable.text("/dev/zero") ?? "").utf8.count == KernelTable.maximumBytes)
        #expect(KernelTable.text("/proc/none") == nil)
        #expect(KernelTable.text("/dev/null")?.isEmpty == true)
    }
}
