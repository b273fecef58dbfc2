// SPDX-License-Identifier: MIT

import AltNetBase
import Testing

@testable import AltNetLibp2p

@Suite("multistream-select 1.0.0")
struct MultistreamTests {
    static func lines(_ lines: String...) -> [UInt8] {
        var bytes: [UInt8] = []
        for line in lines { Multistream.append(line, to: &bytes) }
        return bytes
    }

    @Test("A line is its length, its text and a newline, as in the specification")
    func form() {
        #expect(Self.lines("na") == [0x03, 0x6e, 0x61, 0x0a])
        #expect(Self.lines("/multistream/1.0.0") == [19] + Array("/multistream/1.0.0\n".utf8))
    }

    @Test("The dialer proposes one protocol after the other, its first together with the header")
    func dialer() throws {
        var dialer = MultistreamDialer(["/a", "/b", "/c"])
        var output: [UInt8] = []
        dialer.start(&output)
        #expect(output == Self.lines("/multistream/1.0.0", "/a"))
        output = []
        var input = Self.lines("/multistream/1.0.0", "na")[...]
        #expect(try dialer.onBytes(&input, output: &output) == nil)
        #expect(output == Self.lines("/b"))
        input = (Self.lines("/b") + [1, 2, 3])[...]
        #expect(try dialer.onBytes(&input, output: &output) == "/b")
        #expect(Array(input) == [1, 2, 3])
    }

    @Test("The listener answers the header, refuses what it has not, and leaves the rest to the protocol")
    func listener() throws {
        var listener = MultistreamListener()
        var output: [UInt8] = []
        var input = (Self.lines("/multistream/1.0.0", "ls", "/x", "/b") + [9])[...]
        #expect(try listener.onBytes(&input, output: &output) { $0 == "/b" } == "/b")
        #expect(output == Self.lines("/multistream/1.0.0", "na", "na", "/b"))
        #expect(Array(input) == [9])
    }

    @Test("Both sides agree whatever way the bytes are cut")
    func cuts() throws {
        for size in 1...40 {
            var dialer = MultistreamDialer(["/not/this", "/nor/this", "/this"])
            var listener = MultistreamListener()
            var toListener: [UInt8] = []
            var toDialer: [UInt8] = []
            dialer.start(&toListener)
            var agreed: (String?, String?) = (nil, nil)
            while agreed.0 == nil || agreed.1 == nil {
                var piece = toListener.prefix(size)
                toListener.removeFirst(piece.count)
                if let name = try listener.onBytes(&piece, output: &toDialer, isServed: { $0 == "/this" }) {
                    agreed.1 = name
                }
                piece = toDialer.prefix(size)
                toDialer.removeFirst(piece.count)
                if let name = try dialer.onBytes(&piece, output: &toListener) { agreed.0 = name }
            }
            #expect(agreed.0 == "/this" && agreed.1 == "/this")
        }
    }

    static let refusals: [(bytes: [UInt8], error: MultistreamError)] = [
        (Self.lines("GET / HTTP/1.1"), .notMultistream(UntrustedText("GET / HTTP/1.1"))),
        ([0x00], .badLength),
        ([0x81, 0x00], .badLength),
        ([0x81, 0x08], .lineTooLong),
        ([0xff, 0xff, 0x01], .lineTooLong),
        ([0x02, 0x61, 0x62], .noNewline),
    ]

    @Test("What is no line is refused by name", arguments: 0..<6)
    func refused(index: Int) {
        let (bytes, error) = Self.refusals[index]
        var output: [UInt8] = []
        #expect(throws: error) {
            var listener = MultistreamListener()
            var input = bytes[...]
            _ = try listener.onBytes(&input, output: &output) { _ in true }
        }
        #expect(throws: error) {
            var dialer = MultistreamDialer(["/a"])
            var input = bytes[...]
            _ = try dialer.onBytes(&input, output: &output)
        }
    }

    @Test("An answer that is neither the proposal nor `na` ends the negotiation")
    func wrongAnswer() {
        var dialer = MultistreamDialer(["/a"])
        var output: [UInt8] = []
        var input = Self.lines("/multistream/1.0.0", "/b")[...]
        #expect(throws: MultistreamError.unexpectedAnswer(UntrustedText("/b"))) {
            _ = try dialer.onBytes(&input, output: &output)
        }
    }

    @Test("A dialer whose proposals are all refused says which")
    func notSupported() {
        var dialer = MultistreamDialer(["/a", "/b"])
        var output: [UInt8] = []
        var input = Self.lines("/multistream/1.0.0", "na", "na")[...]
        #expect(throws: MultistreamError.notSupported(["/a", "/b"])) {
            _ = try dialer.onBytes(&input, output: &output)
        }
    }

    @Test("A listener refuses 32 proposals, and ends with the next")
    func tooMany() throws {
        var listener = MultistreamListener()
        var output: [UInt8] = []
        var input = Self.lines("/multistream/1.0.0")[...]
        _ = try listener.onBytes(&input, output: &output) { _ in false }
        for _ in 0..<Multistream.maximumProposals {
            input = Self.lines("/x")[...]
            #expect(try listener.onBytes(&input, output: &output) { _ in false } == nil)
        }
        input = Self.lines("/x")[...]
        #expect(throws: MultistreamError.tooManyProposals) {
            _ = try listener.onBytes(&input, output: &output) { _ in false }
        }
    }
}
