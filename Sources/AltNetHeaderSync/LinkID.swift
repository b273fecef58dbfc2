// SPDX-License-Identifier: MIT

/// One connection of a driver to one remote, as the orchestrator numbers them. Never used twice in one run.
public struct LinkID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let number: UInt64

    public init(_ number: UInt64) {
        self.number = number
    }

    public static func < (left: Self, right: Self) -> Bool { left.number < right.number }

    public var description: String { "\(self.number)" }
}
