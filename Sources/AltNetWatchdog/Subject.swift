// SPDX-License-Identifier: MIT

/// Who is watched or speaks: the operator's node, our own chain, or a link.
public struct Subject: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// How incidents name it. A link is named by its driver and its target ("bitcoin seed.example:8333"), so that a link
    /// that comes back is the same subject.
    public let name: String

    public init(_ name: String) {
        self.name = name
    }

    /// The operator's own node.
    public static let node = Subject("node")
    /// Our own best valid chain, and what concerns all links together.
    public static let chain = Subject("chain")

    /// Whether it is neither the node nor the chain.
    public var isLink: Bool { self != .node && self != .chain }

    public static func < (left: Self, right: Self) -> Bool { left.name < right.name }

    /// As sentences name it.
    public var description: String {
        switch self {
        case .node: "the node"
        case .chain: "our chain"
        default: self.name
        }
    }
}

extension Subject: Codable {
    public init(from decoder: any Decoder) throws {
        self.init(try decoder.singleValueContainer().decode(String.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(self.name)
    }
}
