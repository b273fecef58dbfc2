// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import Testing

@Suite("NodePrivateKey and NodeID")
struct NodeKeyTests {
    @Test("the public keys of BOLT 8's private keys are those of the vectors")
    func publicKeys() throws {
        let initiator = "034f355bdcb7cc0af728ef3cceb9615d90684bb5b2ca5f859ab0f0b704075871aa"
        let responder = "028d7500dd4c12685d1f568b4c2b5048e8534b873319f3a8daa612b469132ec7f7"
        #expect(NodePrivateKey(bytes: Array(repeating: 0x11, count: 32))?.publicKey.description == initiator)
        #expect(NodePrivateKey(bytes: Array(repeating: 0x21, count: 32))?.publicKey.description == responder)
    }

    @Test(
        "numbers that are no private key are refused",
        arguments: [
            String(repeating: "00", count: 32), String(repeating: "ff", count: 32),
            "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", "", "01",
            String(repeating: "11", count: 31), String(repeating: "11", count: 33),
        ]
    )
    func badPrivateKeys(_ hex: String) throws {
        #expect(NodePrivateKey(bytes: try #require(Hex.decode(hex))) == nil)
    }

    @Test(
        "bytes that are no point are refused",
        arguments: [
            "", "02", "044f355bdcb7cc0af728ef3cceb9615d90684bb5b2ca5f859ab0f0b704075871aa",
            "02ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            "034f355bdcb7cc0af728ef3cceb9615d90684bb5b2ca5f859ab0f0b704075871", "zz",
        ]
    )
    func badPublicKeys(_ hex: String) {
        #expect(NodeID(hex: hex) == nil)
    }

    @Test("a private key survives its bytes and never shows them")
    func redaction() throws {
        let key = try #require(NodePrivateKey(bytes: Array(repeating: 0x11, count: 32)))
        #expect(NodePrivateKey(bytes: key.secretBytes)?.publicKey == key.publicKey)
        var dumped = ""
        dump(key, to: &dumped)
        for text in ["\(key)", String(reflecting: key), dumped] {
            #expect(!text.contains("1111111111"))
            #expect(!text.contains("17, 17, 17"))
        }
    }
}
