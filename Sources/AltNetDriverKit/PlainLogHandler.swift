// SPDX-License-Identifier: MIT

internal import Glibc
internal import Logging

/// Writes log messages to standard error without time and label: the orchestrator, which reads them, adds its own.
struct PlainLogHandler: LogHandler {
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let metadata = self.metadata.merging(event.metadata ?? [:]) { $1 }
        let details = metadata.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
        let line = Array("\(event.level): \(event.message)\(details)\n".utf8)
        _ = write(STDERR_FILENO, line, line.count)
    }
}
