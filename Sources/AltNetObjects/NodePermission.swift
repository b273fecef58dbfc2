// SPDX-License-Identifier: MIT

/// What the operator may let us do to the node. Without any, nothing is changed.
public enum NodePermission: String, CaseIterable, Hashable, Sendable, Codable {
    case headers, blocks, peers, transactions
}
