// SPDX-License-Identifier: MIT

/// Why the control interface cannot be served, in one sentence for the operator.
public struct WebServerError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    init(_ description: String) {
        self.description = description
    }
}
