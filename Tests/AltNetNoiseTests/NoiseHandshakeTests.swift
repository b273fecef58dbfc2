// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import AltNetNoise
import Testing

@Suite("NoiseHandshake (BOLT 8)")
struct NoiseHandshakeTests {
    struct Failure: Sendable, CustomTestStringConvertible {
        let name: String
        let input: String
        /// `nil`: the act is too short, and is waited for.
        let error: NoiseError?

        var testDescription: String { self.name }
    }

    static let initiatorFailures = [
        Failure(name: "act2 short read", input: String(NoiseVectors.actTwo.dropLast(2)), error: nil),
        Failure(
            name: "act2 bad version",
            input: "0102466d7fcae563e5cb09a0d1870bb580344804617879a14949cf22285f1bae3f27"
                + "6e2470b93aac583c9ef6eafca3f730ae",
            error: .badVersion(.two, version: 1)
        ),
        Failure(
            name: "act2 bad key serialization",
            input: "0004466d7fcae563e5cb09a0d1870bb580344804617879a14949cf22285f1bae3f27"
                + "6e2470b93aac583c9ef6eafca3f730ae",
            error: .badKey(.two)
        ),
        Failure(
            name: "act2 bad MAC",
            input: "0002466d7fcae563e5cb09a0d1870bb580344804617879a14949cf22285f1bae3f27"
                + "6e2470b93aac583c9ef6eafca3f730af",
            error: .badMAC(.two)
        ),
    ]

    static let responderActOneFailures = [
        Failure(name: "act1 short read", input: String(NoiseVectors.actOne.dropLast(2)), error: nil),
        Failure(
            name: "act1 bad version",
            input: "01036360e856310ce5d294e8be33fc807077dc56ac80d95d9cd4ddbd21325eff73f7"
                + "0df6086551151f58b8afe6c195782c6a",
            error: .badVersion(.one, version: 1)
        ),
        Failure(
            name: "act1 bad key serialization",
            input: "00046360e856310ce5d294e8be33fc807077dc56ac80d95d9cd4ddbd21325eff73f7"
                + "0df6086551151f58b8afe6c195782c6a",
            error: .badKey(.one)
        ),
        Failure(
            name: "act1 bad MAC",
            input: "00036360e856310ce5d294e8be33fc807077dc56ac80d95d9cd4ddbd21325eff73f7"
                + "0df6086551151f58b8afe6c195782c6b",
            error: .badMAC(.one)
        ),
    ]

    static let responderActThreeFailures = [
        Failure(
            name: "act3 bad version",
            input: "01b9e3a702e93e3a9948c2ed6e5fd7590a6e1c3a0344cfc9d5b57357049aa22355361aa02e55a8fc28fe"
                + "f5bd6d71ad0c38228dc68b1c466263b47fdf31e560e139ba",
            error: .badVersion(.three, version: 1)
        ),
        Failure(name: "act3 short read", input: String(NoiseVectors.actThree.dropLast(2)), error: nil),
        Failure(
            name: "act3 bad MAC for ciphertext",
            input: "00c9e3a702e93e3a9948c2ed6e5fd7590a6e1c3a0344cfc9d5b57357049aa22355361aa02e55a8fc28fe"
                + "f5bd6d71ad0c38228dc68b1c466263b47fdf31e560e139ba",
            error: .badStaticKeyMAC
        ),
        Failure(
            name: "act3 bad rs",
            input: "00bfe3a702e93e3a9948c2ed6e5fd7590a6e1c3a0344cfc9d5b57357049aa2235536ad09a8ee351870c2"
                + "bb7f78b754a26c6cef79a98d25139c856d7efd252c2ae73c",
            error: .badKey(.three)
        ),
        Failure(
            name: "act3 bad MAC",
            input: "00b9e3a702e93e3a9948c2ed6e5fd7590a6e1c3a0344cfc9d5b57357049aa22355361aa02e55a8fc28fe"
                + "f5bd6d71ad0c38228dc68b1c466263b47fdf31e560e139bb",
            error: .badMAC(.three)
        ),
    ]

    @Test("transport-initiator successful handshake")
    func initiatorSucceeds() throws {
        var handshake = try NoiseVectors.initiator()
        #expect(Hex.encode(handshake.onConnected().written) == NoiseVectors.actOne)
        let directives = handshake.onBytes(try NoiseVectors.bytes(NoiseVectors.actTwo))
        #expect(Hex.encode(directives.written) == NoiseVectors.actThree)
        #expect(directives.transport?.remote.description == NoiseVectors.responderID)
    }

    @Test("transport-responder successful handshake")
    func responderSucceeds() throws {
        var handshake = try NoiseVectors.responder()
        #expect(handshake.onConnected().isEmpty)
        let actTwo = handshake.onBytes(try NoiseVectors.bytes(NoiseVectors.actOne))
        #expect(Hex.encode(actTwo.written) == NoiseVectors.actTwo)
        let end = handshake.onBytes(try NoiseVectors.bytes(NoiseVectors.actThree))
        #expect(end.written.isEmpty)
        #expect(end.transport?.remote.description == NoiseVectors.initiatorID)
    }

    @Test("the initiator refuses what the vectors call wrong", arguments: initiatorFailures)
    func initiatorFails(_ failure: Failure) throws {
        var handshake = try NoiseVectors.initiator()
        #expect(Hex.encode(handshake.onConnected().written) == NoiseVectors.actOne)
        Self.expect(failure, handshake.onBytes(try NoiseVectors.bytes(failure.input)))
    }

    @Test("the responder refuses a wrong act one", arguments: responderActOneFailures)
    func responderFailsInActOne(_ failure: Failure) throws {
        var handshake = try NoiseVectors.responder()
        Self.expect(failure, handshake.onBytes(try NoiseVectors.bytes(failure.input)))
    }

    @Test("the responder refuses a wrong act three", arguments: responderActThreeFailures)
    func responderFailsInActThree(_ failure: Failure) throws {
        var handshake = try NoiseVectors.responder()
        #expect(
            Hex.encode(handshake.onBytes(try NoiseVectors.bytes(NoiseVectors.actOne)).written) == NoiseVectors.actTwo
        )
        Self.expect(failure, handshake.onBytes(try NoiseVectors.bytes(failure.input)))
    }

    @Test("acts may arrive byte by byte")
    func byteByByte() throws {
        var (initiator, responder) = (try NoiseVectors.initiator(), try NoiseVectors.responder())
        let actTwo = initiator.onConnected().written.flatMap { responder.onBytes([$0]) }
        let actThree = actTwo.written.flatMap { initiator.onBytes([$0]) }
        let end = actThree.written.flatMap { responder.onBytes([$0]) }
        #expect(actThree.transport != nil)
        #expect(end.transport != nil)
    }

    @Test("nothing happens after a failure")
    func nothingAfterFailure() throws {
        var handshake = try NoiseVectors.responder()
        #expect(handshake.onBytes(Array(repeating: 1, count: 50)).error == .badVersion(.one, version: 1))
        #expect(handshake.onBytes(try NoiseVectors.bytes(NoiseVectors.actOne)).isEmpty)
    }

    @Test("a changed bit anywhere in an act ends the handshake")
    func everyBitCounts() throws {
        for index in 0..<50 {
            var responder = try NoiseVectors.responder()
            var actOne = try NoiseVectors.bytes(NoiseVectors.actOne)
            actOne[index] ^= 0x40
            #expect(responder.onBytes(actOne).error != nil, "act one, byte \(index)")
        }
        for index in 0..<66 {
            var responder = try NoiseVectors.responder()
            _ = responder.onBytes(try NoiseVectors.bytes(NoiseVectors.actOne))
            var actThree = try NoiseVectors.bytes(NoiseVectors.actThree)
            actThree[index] ^= 0x40
            #expect(responder.onBytes(actThree).error != nil, "act three, byte \(index)")
        }
    }

    private static func expect(_ failure: Failure, _ directives: [NoiseHandshake.Directive]) {
        if let error = failure.error {
            #expect(directives.error == error)
            #expect(directives.written.isEmpty)
        } else {
            #expect(directives.isEmpty)
        }
    }
}
