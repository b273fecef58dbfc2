// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetReplay
import AltNetWatchdog
import Foundation
import Logging
import Testing

@testable import AltNetOrchestrator

@Suite("ObservationRecorder")
struct ObservationRecorderTests {
    private static let configuration = Watchdog.Configuration(grace: .seconds(7), expectedInterval: nil)

    /// Records one observation, after something that the file has already.
    private static func record(after text: String) throws -> String {
        let path = FileManager.default.temporaryDirectory.appending(path: "recorder-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data(text.utf8).write(to: URL(filePath: path))
        let recorder = ObservationRecorder(
            path: path, configuration: Self.configuration, logger: Logger(label: "test"))
        recorder.record(Observation(at: .system, .closed(Subject("a"))))
        recorder.drain()
        return try String(contentsOfFile: path, encoding: .utf8)
    }

    @Test("begins with the configuration of the watchdog")
    func started() throws {
        let text = try Self.record(after: "")
        let script = try Replay.script(of: [Replay.File(name: "f", bytes: Array(text.utf8))])
        #expect(script.episodes.map(\.configuration) == [Self.configuration])
        #expect(script.episodes.map(\.observations.count) == [1])
    }

    @Test("removes a line that was cut off, and no other", arguments: ["", "{\"at\":1700", "x"])
    func torn(tail: String) throws {
        let whole = #"{"at":1700000000000,"event":"closed","subject":"a"}"# + "\n"
        let text = try Self.record(after: whole + tail)
        #expect(text.hasPrefix(whole + #"{"at":"#))
        let script = try Replay.script(of: [Replay.File(name: "f", bytes: Array(text.utf8))])
        #expect(script.episodes.count == 2 && script.torn.isEmpty)
        // A file that has nothing else.
        let alone = try Self.record(after: tail)
        #expect(alone.hasPrefix(#"{"at":"#) && alone.split(separator: "\n").count == 2)
    }
}
