// SPDX-License-Identifier: MIT

internal import Logging

/// Log messages as lines in lightningd's log, which adds time and the plugin's name.
struct PluginLogHandler: LogHandler {
    /// Longer lines are cut.
    static let maximumLine = 1_000

    let output: PluginOutputPipe
    /// lightningd has a level of its own, by plugin if the operator wants.
    var logLevel = Logger.Level.debug
    var metadata: Logger.Metadata = [:]

    init(output: PluginOutputPipe) {
        self.output = output
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let metadata = self.metadata.merging(event.metadata ?? [:]) { $1 }
        let details = metadata.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
        let level: PluginSession.Level =
            switch event.level {
            case .trace, .debug: .debug
            case .info, .notice: .info
            case .warning: .warning
            case .error, .critical: .error
            }
        let line = String("\(event.message)\(details)".prefix(Self.maximumLine))
        self.output.writeLogLine(PluginSession.logLine(level: level, line))
    }
}
