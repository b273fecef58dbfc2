// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import AltNetNoise
import Testing

/// The parties and acts of BOLT 8, appendix A.
enum NoiseVectors {
    static let actOne =
        "00036360e856310ce5d294e8be33fc807077dc56ac80d95d9cd4ddbd21325eff73f70df6086551151f58b8afe6c195782c6a"
    static let actTwo =
        "0002466d7fcae563e5cb09a0d1870bb580344804617879a14949cf22285f1bae3f276e2470b93aac583c9ef6eafca3f730ae"
    static let actThree =
        "00b9e3a702e93e3a9948c2ed6e5fd7590a6e1c3a0344cfc9d5b57357049aa22355361aa02e55a8fc28fef5bd6d71ad0c3822"
        + "8dc68b1c466263b47fdf31e560e139ba"
    static let initiatorID = "034f355bdcb7cc0af728ef3cceb9615d90684bb5b2ca5f859ab0f0b704075871aa"
    static let responderID = "028d7500dd4c12685d1f568b4c2b5048e8534b873319f3a8daa612b469132ec7f7"

    /// A key whose 32 bytes are all alike, as the vectors' keys are.
    static func key(_ byte: UInt8) throws -> NodePrivateKey {
        try #require(NodePrivateKey(bytes: Array(repeating: byte, count: 32)))
    }

    static func bytes(_ hex: String) throws -> [UInt8] {
        try #require(Hex.decode(hex))
    }

    static func initiator() throws -> NoiseHandshake {
        let remote = try #require(NodeID(hex: responderID))
        return NoiseHandshake(initiator: try key(0x11), remote: remote, ephemeral: try key(0x12))
    }

    static func responder() throws -> NoiseHandshake {
        NoiseHandshake(responder: try key(0x21), ephemeral: try key(0x22))
    }

    /// Both transports of the successful handshake of the vectors.
    static func transports() throws -> (initiator: NoiseTransport, responder: NoiseTransport) {
        var (initiator, responder) = (try initiator(), try responder())
        let actOne = initiator.onConnected()
        let actTwo = responder.onBytes(actOne.written)
        let actThree = initiator.onBytes(actTwo.written)
        let end = responder.onBytes(actThree.written)
        return (try #require(actThree.transport), try #require(end.transport))
    }
}

extension [NoiseHandshake.Directive] {
    var written: [UInt8] {
        self.flatMap { directive -> [UInt8] in
            if case .write(let bytes) = directive { bytes } else { [] }
        }
    }

    var transport: NoiseTransport? {
        if case .established(let transport)? = self.last { transport } else { nil }
    }

    var error: NoiseError? {
        if case .failed(let error)? = self.last { error } else { nil }
    }
}
