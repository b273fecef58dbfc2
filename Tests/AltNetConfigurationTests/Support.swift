// SPDX-License-Identifier: MIT

import AltNetConfiguration
import Testing

/// The environment of a person who has set nothing of ours.
let plainEnvironment = ["HOME": "/home/anna", "PATH": "/usr/bin"]

/// Reads a file's text for a person with a home directory, who works in `/srv`.
func parse(
    _ text: String = "",
    environment: [String: String] = [:],
    flags: [String: String] = [:]
) throws(ConfigurationError) -> DaemonConfiguration {
    try DaemonConfiguration.parse(
        text,
        environment: plainEnvironment.merging(environment) { $1 },
        flags: flags,
        currentDirectory: "/srv"
    )
}

/// The mistake that a configuration has.
func mistake(
    _ text: String = "",
    environment: [String: String] = [:],
    flags: [String: String] = [:],
    sourceLocation: SourceLocation = #_sourceLocation
) throws -> ConfigurationError {
    try #require(throws: ConfigurationError.self, sourceLocation: sourceLocation) {
        _ = try parse(text, environment: environment, flags: flags)
    }
}

extension DaemonConfiguration {
    /// The driver of that name.
    func driver(_ name: String) -> Driver? { self.drivers.first { $0.name == name } }
}
