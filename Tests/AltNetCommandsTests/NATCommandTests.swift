// SPDX-License-Identifier: MIT

import ArgumentParser
import Testing

@testable import AltNetCommands

@Suite("altnet nat: what it takes")
struct NATCommandTests {
    @Test(
        "what only the witnesses of the command line are asked with is refused without them, with status 64",
        arguments: [["--minimum", "5"], ["--allow-private"], ["--minimum", "3", "--allow-private"]])
    func withoutWitness(options: [String]) throws {
        let error = #expect(throws: (any Error).self) { try ControlCommand.parseAsRoot(["nat", "check"] + options) }
        let refusal = try #require(error)
        #expect(ControlCommand.exitCode(for: refusal) == .validationFailure)
        #expect(ControlCommand.exitCode(for: refusal).rawValue == 64)
        let message = ControlCommand.message(for: refusal)
        #expect(message.contains("--minimum and --allow-private go with --witness"), "\(message)")
        #expect(message.contains("minimum_witnesses"), "\(message)")
    }

    @Test func theyGoWithWitnessesAndAreNeededWithNone() throws {
        let witness = ["nat", "check", "--witness", "203.0.113.7:8333"]
        for more in [[], ["--minimum", "2"], ["--minimum", "16", "--allow-private"]] {
            #expect(try ControlCommand.parseAsRoot(witness + more) is NATCommand.Check)
        }
        #expect(try ControlCommand.parseAsRoot(["nat", "check"]) is NATCommand.Check)
        for number in ["1", "17", "many"] {
            #expect(throws: (any Error).self) { try ControlCommand.parseAsRoot(witness + ["--minimum", number]) }
        }
    }
}
