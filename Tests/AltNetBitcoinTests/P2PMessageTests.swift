// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import Testing

@Suite("CompactSize")
struct CompactSizeTests {
    @Test(
        "has one spelling for each number",
        arguments: [
            (0, "00"), (0xfc, "fc"), (0xfd, "fdfd00"), (0xffff, "fdffff"), (0x1_0000, "fe00000100"),
            (0xffff_ffff, "feffffffff"), (0x1_0000_0000, "ff0000000001000000"), (.max, "ffffffffffffffffff"),
        ] as [(UInt64, String)]
    )
    func spelling(value: UInt64, hex: String) throws {
        var bytes: [UInt8] = []
        bytes.appendCompactSize(value)
        #expect(Hex.encode(bytes) == hex)
        var reader = ByteReader(bytes)
        #expect(try reader.compactSize() == value)
        #expect(reader.isAtEnd)
        for count in bytes.indices {
            #expect(throws: ByteReaderError.self) {
                var short = ByteReader(bytes[..<count])
                _ = try short.compactSize()
            }
        }
    }

    @Test(
        "refuses a longer spelling than needed",
        arguments: ["fd0000", "fdfc00", "fe00000000", "feffff0000", "ff0000000000000000", "ffffffffff00000000"]
    )
    func notMinimal(hex: String) throws {
        var reader = ByteReader(try #require(Hex.decode(hex)))
        #expect(throws: ByteReaderError.notMinimal) { try reader.compactSize() }
    }

    @Test("refuses a count above the caller's limit, up to the largest there is")
    func limits() throws {
        for value: UInt64 in [11, 0xffff, 1 << 31, 1 << 63, .max] {
            var bytes: [UInt8] = []
            bytes.appendCompactSize(value)
            var reader = ByteReader(bytes)
            #expect(throws: ByteReaderError.tooLong(length: value, limit: 10)) { try reader.compactCount(limit: 10) }
        }
        var reader = ByteReader([10])
        #expect(try reader.compactCount(limit: 10) == 10)
    }
}

@Suite("P2PMessage")
struct P2PMessageTests {
    private func decode(_ command: String, _ payload: [UInt8]) throws -> P2PMessage {
        try P2PMessage(command: command, payload: payload)
    }

    private func expectFailure(
        _ command: String,
        _ payload: [UInt8],
        _ error: P2PPayloadError,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(throws: error, sourceLocation: sourceLocation) { try self.decode(command, payload) }
    }

    private func count(_ value: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendCompactSize(value)
        return bytes
    }

    @Test("comes back from its own bytes", arguments: P2PSamples.messages)
    func roundTrip(message: P2PMessage) throws {
        #expect(try self.decode(message.command, message.payload) == message)
    }

    /// The first message of the example conversation in the protocol's documentation: an empty `verack` on main.
    @Test("has the bytes that the protocol's documentation shows")
    func knownBytes() {
        #expect(
            Hex.encode(P2PMessage.verack.encoded(for: .main)) == "f9beb4d976657261636b000000000000000000005df6e0e2"
        )
        #expect(Hex.encode(P2PMessage.ping(1).payload) == "0100000000000000")
        #expect(
            Hex.encode(P2PMessage.getheaders(locator: [.zero], stop: .zero).payload)
                == "80110100" + "01" + String(repeating: "00", count: 64)
        )
    }

    /// Payloads written by the Python implementation in Bitcoin Core's functional tests (`messages.py`).
    @Test(
        "agrees with an independent implementation",
        arguments: [
            (.sendcmpct(highBandwidth: true, version: 2), "010200000000000000"),
            (.feefilter(1000), "e803000000000000"),
            (.ping(0x0102_0304_0506_0708), "0807060504030201"),
            (
                .headers(Network.main.genesis.bytes),
                "010100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e"
                    + "67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c00"
            ),
            (
                .inv([P2PInventory(type: P2PInventory.block, hash: BlockHash(number: UInt256(7)))]),
                "01" + "02000000" + "07" + String(repeating: "00", count: 31)
            ),
            (
                .getdata([P2PInventory(type: P2PInventory.witnessBlock, hash: BlockHash(number: UInt256(7)))]),
                "01" + "02000040" + "07" + String(repeating: "00", count: 31)
            ),
            (
                .addr([P2PSamples.documentationAddress]),
                "0100f15365090400000000000000000000000000000000ffffc0000201208d"
            ),
            (
                .addrv2([P2PSamples.documentationAddress, P2PSamples.onionAddress]),
                "0200f15365fd09040104c0000201208d00f15365fd0904042079bcc625184b05194975c28b66b66b0469f7f6556fb1ac3189"
                    + "a79b40dda32f1f208d"
            ),
        ] as [(P2PMessage, String)]
    )
    func independent(message: P2PMessage, hex: String) throws {
        #expect(Hex.encode(message.payload) == hex)
        #expect(try self.decode(message.command, try #require(Hex.decode(hex))) == message)
    }

    /// From the same source; its addresses are `0.0.0.0`, not the zeros that ours are.
    @Test("reads the version message of an independent implementation")
    func independentVersion() throws {
        let hex =
            "80110100090400000000000000f1536500000000010000000000000000000000000000000000ffff000000000000"
            + "010000000000000000000000000000000000ffff000000000000efcdab8967452301"
            + "102f5361746f7368693a33312e302e302fa0bb0d0000"
        var expected = P2PSamples.version
        expected.receiver = try #require(P2PAddressField(services: 1, address: [0, 0, 0, 0], port: 0))
        expected.sender = expected.receiver
        #expect(expected.receiver.address == nil)
        #expect(try self.decode("version", try #require(Hex.decode(hex))) == .version(expected))
    }

    /// The receiver's address as Bitcoin's wiki has it in its example of a version message: services 1, 10.0.0.1:8333.
    @Test("carries the addresses of both sides, which is how a node behind a NAT learns its own")
    func addresses() throws {
        var version = P2PSamples.version
        version.receiver = try #require(P2PAddressField(services: 1, address: [10, 0, 0, 1], port: 8333))
        let payload = P2PMessage.version(version).payload
        #expect(Hex.encode(payload[20..<46]) == "010000000000000000000000000000000000ffff0a000001208d")
        #expect(try self.decode("version", payload) == .version(version))
        #expect(version.receiver.address == [10, 0, 0, 1])
        #expect(version.receiver.port == 8333)
        let six = [0x20, 0x01, 0x0d, 0xb8] + [UInt8](repeating: 7, count: 12)
        version.sender = try #require(P2PAddressField(address: six, port: 1))
        guard case .version(let read) = try self.decode("version", P2PMessage.version(version).payload) else { return }
        #expect(read.sender.address == six)
        #expect(P2PAddressField.empty.address == nil)
        #expect(P2PAddressField(address: [1, 2, 3], port: 1) == nil)
    }

    @Test("fails when its payload ends anywhere before its end", arguments: P2PSamples.messages)
    func truncated(message: P2PMessage) {
        let payload = message.payload
        for length in payload.indices {
            let short = Array(payload[..<length])
            switch message {
            case .tx, .unknown: continue
            case .block where length >= BlockHeader.size: continue
            case .version where self.endsAfterAField(length): continue
            default:
                #expect(throws: P2PPayloadError.self, "\(message.command) of \(length) bytes") {
                    try self.decode(message.command, short)
                }
            }
        }
    }

    /// Where Bitcoin Core lets a `version` end: after the receiver's address, the nonce, the user agent, the height.
    private func endsAfterAField(_ length: Int) -> Bool {
        [46, 80, 81 + P2PSamples.version.userAgent.count, 85 + P2PSamples.version.userAgent.count].contains(length)
    }

    @Test("reads a version message that ends after the receiver's address, so that its age can be named")
    func oldVersion() throws {
        let message = try self.decode("version", Array(P2PMessage.version(P2PSamples.version).payload[..<46]))
        guard case .version(let version) = message else { return #expect(Bool(false), "\(message)") }
        #expect(version.protocolVersion == 70016)
        #expect(version.nonce == 0)
        #expect(version.userAgent.isEmpty)
        #expect(version.relay)
    }

    @Test("ignores what follows in version and ping, and nothing else", arguments: P2PSamples.messages)
    func trailingBytes(message: P2PMessage) throws {
        let longer = message.payload + [0]
        switch message {
        case .version, .ping: #expect(try self.decode(message.command, longer) == message)
        case .block, .tx, .unknown: break
        default:
            #expect(throws: P2PPayloadError.bytes(.trailingBytes(1))) { try self.decode(message.command, longer) }
        }
    }

    @Test(
        "refuses a count above its limit before it reads an entry",
        arguments: [
            ("headers", P2PMessage.maximumHeaders), ("inv", P2PMessage.maximumInventory),
            ("getdata", P2PMessage.maximumInventory), ("notfound", P2PMessage.maximumInventory),
            ("addr", P2PMessage.maximumAddresses), ("addrv2", P2PMessage.maximumAddresses),
        ]
    )
    func countLimits(command: String, limit: Int) {
        for value in [UInt64(limit) + 1, 1 << 32, .max] {
            self.expectFailure(command, self.count(value), .bytes(.tooLong(length: value, limit: limit)))
        }
        // One less is in order, and then the entries are missing.
        let entry = command == "headers" ? 80 : command.hasPrefix("addr") ? 4 : 4
        self.expectFailure(command, self.count(UInt64(limit)), .bytes(.truncated(needed: entry, available: 0)))
    }

    @Test("refuses counts that are not in their shortest form", arguments: ["headers", "inv", "addr", "addrv2"])
    func notMinimal(command: String) {
        self.expectFailure(command, [0xfd, 1, 0], .bytes(.notMinimal))
    }

    @Test("accepts a locator of 101 hashes and no more")
    func locatorLimit() throws {
        let full = P2PMessage.getheaders(locator: [BlockHash](repeating: .zero, count: 101), stop: .zero)
        #expect(try self.decode("getheaders", full.payload) == full)
        let tooLong = P2PMessage.getheaders(locator: [BlockHash](repeating: .zero, count: 102), stop: .zero)
        self.expectFailure("getheaders", tooLong.payload, .bytes(.tooLong(length: 102, limit: 101)))
    }

    @Test("accepts 2000 headers and refuses one with transactions")
    func headers() throws {
        let genesis = Network.main.genesis.bytes
        let full = P2PMessage.headers([UInt8]((0..<2000).map { _ in genesis }.joined()))
        #expect(try self.decode("headers", full.payload) == full)
        self.expectFailure("headers", [2] + genesis + [0] + genesis + [1], .headerWithTransactions(index: 1))
        self.expectFailure("headers", [1] + genesis + [0xfd, 0, 0], .bytes(.notMinimal))
    }

    @Test("refuses a user agent above 256 bytes")
    func userAgent() throws {
        var version = P2PSamples.version
        version.userAgent = [UInt8](repeating: 65, count: 256)
        #expect(try self.decode("version", P2PMessage.version(version).payload) == .version(version))
        let prefix = P2PMessage.version(version).payload[..<80]
        self.expectFailure(
            "version",
            prefix + [0xfd, 1, 1] + [UInt8](repeating: 65, count: 300),
            .bytes(.tooLong(length: 257, limit: 256))
        )
    }

    @Test("cuts our own user agent instead of sending an invalid message")
    func ownUserAgent() throws {
        var version = P2PSamples.version
        version.userAgent = [UInt8](repeating: 65, count: 1000)
        guard case .version(let read) = try self.decode("version", P2PMessage.version(version).payload) else { return }
        #expect(read.userAgent.count == P2PVersion.maximumUserAgentLength)
    }

    @Test("refuses a boolean of BIP 152 that is neither 0 nor 1")
    func sendcmpct() {
        self.expectFailure("sendcmpct", [2] + [UInt8](repeating: 0, count: 8), .notABoolean(2))
    }

    @Test("needs a header's worth of a block")
    func block() {
        self.expectFailure(
            "block",
            [UInt8](repeating: 0, count: 79),
            .bytes(.truncated(needed: 80, available: 79))
        )
    }

    @Test("takes any command that it does not know for unknown", arguments: ["", "mempool", "VERSION", "verack "])
    func unknown(command: String) throws {
        #expect(try self.decode(command, [1, 2]) == .unknown(command: command, size: 2))
    }
}

@Suite("Addresses in addr and addrv2 (BIP 155)")
struct P2PAddressTests {
    private func entry(network: UInt8, length: [UInt8], bytes: Int) -> [UInt8] {
        [1] + [0, 0, 0, 0] + [0] + [network] + length + [UInt8](repeating: 1, count: bytes) + [0x20, 0x8d]
    }

    /// The bytes of an `addrv2` with one onion address, put together by hand from BIP 155.
    @Test("have the layout of BIP 155")
    func layout() throws {
        let key = [UInt8](repeating: 0xab, count: 32)
        let bytes: [UInt8] = [1] + [0x78, 0x56, 0x34, 0x12] + [0xfd, 0x09, 0x04] + [4] + [32] + key + [0x20, 0x8d]
        let address = NodeAddress(lastSeen: 0x1234_5678, services: 0x0409, networkID: 4, address: key, port: 8333)
        #expect(try P2PMessage(command: "addrv2", payload: bytes) == .addrv2([address]))
        #expect(P2PMessage.addrv2([address]).payload == bytes)
    }

    @Test("must have the length of their network", arguments: NodeAddress.Medium.allCases)
    func lengths(medium: NodeAddress.Medium) throws {
        for length in 0...64 where length != medium.addressLength {
            let error = P2PPayloadError.wrongAddressLength(networkID: medium.rawValue, length: length)
            #expect(throws: error) {
                try P2PMessage(
                    command: "addrv2",
                    payload: self.entry(network: medium.rawValue, length: [UInt8(length)], bytes: length)
                )
            }
        }
    }

    @Test("of networks that nobody knows yet are kept, up to 512 bytes")
    func unknownNetworks() throws {
        for length in [0, 1, 252] {
            let payload = self.entry(network: 8, length: [UInt8(length)], bytes: length)
            guard case .addrv2(let addresses) = try P2PMessage(command: "addrv2", payload: payload) else { continue }
            #expect(addresses.map(\.address.count) == [length])
            #expect(addresses.map(\.medium) == [nil])
        }
        #expect(throws: P2PPayloadError.bytes(.tooLong(length: 513, limit: 512))) {
            try P2PMessage(
                command: "addrv2",
                payload: self.entry(network: 8, length: [0xfd, 0x01, 0x02], bytes: 513)
            )
        }
    }

    @Test("of IPv4 travel in addr under ::ffff:0:0/96")
    func mapped() {
        let address = NodeAddress(lastSeen: 1, services: 1, networkID: 1, address: [192, 0, 2, 1], port: 8333)
        #expect(
            Hex.encode(P2PMessage.addr([address]).payload)
                == "01" + "01000000" + "0100000000000000" + "00000000000000000000ffff" + "c0000201" + "208d"
        )
    }

    @Test("that do not fit into addr are left out")
    func leftOut() throws {
        let message = P2PMessage.addr(NodeAddress.Medium.allCases.map(P2PSamples.address) + [P2PSamples.unknownNetwork])
        let expected = [NodeAddress.Medium.ipv4, .ipv6, .torV2].map(P2PSamples.address)
        #expect(try P2PMessage(command: "addr", payload: message.payload) == .addr(expected))
    }
}
