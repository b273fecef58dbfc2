// SPDX-License-Identifier: MIT

import AltNetTestKit
import Foundation
import Testing

/// The lab of NATs in network namespaces, `Tests/Tools/natlab`.
enum NATLab {
    /// What the lab says of one check: a line of JSON.
    struct Check: Decodable, CustomTestStringConvertible {
        let check: String
        let ok: Bool
        /// Why it was not made, where it was not.
        let skipped: String?
        let line: String

        private enum CodingKeys: CodingKey {
            case check, ok, skipped
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            self.check = try container.decode(String.self, forKey: .check)
            self.ok = try container.decode(Bool.self, forKey: .ok)
            self.skipped = try container.decodeIfPresent(String.self, forKey: .skipped)
            self.line = ""
        }

        private init(_ check: Check, line: String) {
            self.check = check.check
            self.ok = check.ok
            self.skipped = check.skipped
            self.line = line
        }

        /// Reads a line; what is no check is a word on the way and `nil`.
        static func read(_ line: Substring) -> Check? {
            guard let check = try? JSONDecoder().decode(Check.self, from: Data(line.utf8)) else { return nil }
            return Check(check, line: String(line))
        }

        var testDescription: String { self.line }
    }

    private static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path
    private static let python = "/usr/bin/python3"
    private static let tool = "\(Self.repository)/Tests/Tools/natlab"

    /// Why there can be no lab on this machine; the lab itself says it.
    static let missing: String? = {
        guard FileManager.default.isExecutableFile(atPath: Self.python) else {
            return "needs \(Self.python); run: scripts/setup --tests"
        }
        let process = Process()
        let pipe = Pipe()
        process.executableURL = URL(fileURLWithPath: Self.python)
        process.arguments = [Self.tool, "possible"]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = pipe
        do { try process.run() } catch { return "\(Self.python) does not start: \(error)" }
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus != 0 else { return nil }
        let text = String(decoding: output, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        return text.isEmpty ? "the lab does not start here" : text
    }()

    /// Runs a command of the lab to its end; what it checked. The lab ends with this process, whatever ends that.
    static func run(_ arguments: [String], within limit: Duration) async throws -> [Check] {
        let process = try BackgroundProcess(Self.python, [Self.tool, "--until-input-ends"] + arguments)
        defer { process.kill() }
        try await Condition.wait("the lab is done", within: limit) { !process.isRunning }
        let checks = process.output.split(separator: "\n").compactMap { Check.read($0) }
        guard !checks.isEmpty else { throw Condition.Failure("the lab checked nothing: \(process.errors)") }
        for check in checks {
            if let reason = check.skipped { print("➜ skipped in the lab of NATs: \(check.check), as \(reason)") }
        }
        return checks
    }
}
