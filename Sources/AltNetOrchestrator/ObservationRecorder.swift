// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetReplay
internal import AltNetWatchdog
internal import Dispatch
internal import Glibc
internal import Logging
internal import Synchronization

/// Writes down what the watchdog sees, for `altnet replay`: one line each in `observations.jsonl`.
///
/// A recording is for looking back, not for proving: it is written without waiting for the disk, and when it cannot be
/// written the daemon goes on.
final class ObservationRecorder: Sendable {
    /// A file of this size becomes `observations.jsonl.1`, in place of the one before: months of an ordinary node.
    static let maximumSize = 64 << 20
    /// Lines that wait for a slow disk. What is more is not recorded, and the log says so.
    static let maximumWaiting = 10_000

    private struct State {
        var waiting = 0
        var lost = 0
    }

    private let path: String
    private let logger: Logger
    private let queue = DispatchQueue(label: "altnet.recorder")
    private let state = Mutex(State())

    init(path: String, logger: Logger) {
        self.path = path
        self.logger = logger
        self.write(.started(.system))
    }

    func record(_ observation: Observation) { self.write(.observation(observation)) }

    private func write(_ line: ObservationLine) {
        let lost: Int? = self.state.withLock { state in
            guard state.waiting < Self.maximumWaiting else {
                state.lost += 1
                return nil
            }
            state.waiting += 1
            defer { state.lost = 0 }
            return state.lost
        }
        guard let lost else { return }
        if lost > 0 { self.logger.warning("observations were not recorded", metadata: ["count": "\(lost)"]) }
        self.queue.async {
            if let text = try? line.text { self.append(text + "\n") }
            self.state.withLock { $0.waiting -= 1 }
        }
    }

    private func append(_ text: String) {
        let descriptor = open(self.path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            self.logger.warning("observations cannot be recorded", metadata: ["path": "\(self.path)"])
            return
        }
        defer { close(descriptor) }
        if lseek(descriptor, 0, SEEK_END) > Self.maximumSize { rename(self.path, self.path + ".1") }
        let bytes = Array(text.utf8)
        if Glibc.write(descriptor, bytes, bytes.count) != bytes.count {
            self.logger.warning("an observation was not recorded", metadata: ["path": "\(self.path)"])
        }
    }
}
