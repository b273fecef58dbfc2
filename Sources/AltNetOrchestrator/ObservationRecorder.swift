// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetReplay
internal import AltNetWatchdog
internal import Dispatch
internal import Glibc
internal import Logging
internal import Synchronization

/// Writes down what the watchdog sees, for `altnet replay`: one line each in `observations.jsonl`. Its first line has the
/// configuration: with another one the watchdog would find other incidents.
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

    init(path: String, configuration: Watchdog.Configuration, network: Network? = nil, logger: Logger) {
        self.path = path
        self.logger = logger
        self.write(.started(.system, configuration, network: network))
    }

    func record(_ observation: Observation) { self.write(.observation(observation)) }

    /// Waits until all that was recorded is written.
    func drain() { self.queue.sync {} }

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
            do {
                self.append(Array((try line.text + "\n").utf8))
            } catch {
                self.logger.warning("an observation was not recorded", metadata: ["reason": "\(error)"])
            }
            self.state.withLock { $0.waiting -= 1 }
        }
    }

    private func append(_ bytes: [UInt8]) {
        let descriptor = open(self.path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return self.tell("observations cannot be recorded") }
        defer { close(descriptor) }
        let end = self.cutTornLine(of: descriptor, end: lseek(descriptor, 0, SEEK_END))
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress?.advanced(by: written), bytes.count - written)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                self.tell("an observation was not recorded")
                // Half a line would make the lines after it unreadable. Should this fail too, the next line does it.
                if written > 0, ftruncate(descriptor, end) != 0 { self.tell("half an observation was recorded") }
                return
            }
            written += count
        }
        if end + bytes.count > Self.maximumSize, rename(self.path, self.path + ".1") != 0 {
            self.tell("the recording cannot be renamed, and grows")
        }
    }

    /// A line without its end was cut off by a crash or a full disk: it is removed, so that the next one is readable.
    ///
    /// - Returns: the end of the file.
    private func cutTornLine(of descriptor: Int32, end: Int) -> Int {
        var last: UInt8 = 0
        guard end > 0, pread(descriptor, &last, 1, end - 1) == 1, last != UInt8(ascii: "\n") else { return end }
        let length = min(end, ObservationLine.maximumLength)
        var tail = [UInt8](repeating: 0, count: length)
        let count = pread(descriptor, &tail, length, end - length)
        let kept = tail.prefix(max(0, count)).lastIndex(of: UInt8(ascii: "\n")).map { end - length + $0 + 1 }
        // No line is longer than this: a file without any end of a line is none of ours but its beginning.
        guard let place = kept ?? (length == end ? 0 : nil), ftruncate(descriptor, place) == 0 else {
            self.tell("the last observation was recorded by half, and cannot be removed")
            return end
        }
        self.logger.warning(
            "the last observation was recorded by half, and is removed",
            metadata: ["path": "\(self.path)", "bytes": "\(end - place)"])
        return place
    }

    private func tell(_ what: Logger.Message) {
        self.logger.warning(what, metadata: ["path": "\(self.path)", "reason": "\(String(cString: strerror(errno)))"])
    }
}
