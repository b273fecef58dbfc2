// SPDX-License-Identifier: MIT

public import AltNetObjects

/// A call that changes the node.
public enum NodeChange: Hashable, Sendable {
    /// A header of 80 bytes, whose predecessor the node knows.
    case submitHeader([UInt8])
    /// A block in consensus encoding.
    case submitBlock([UInt8])
    /// Connect to this address (`host:port`) now, once.
    case addPeer(String)
    /// End the connection with the peer at this address, as ``NodePeer/address`` has it.
    case disconnectPeer(String)
    /// A transaction in consensus encoding, for the memory pool and the node's peers.
    case sendTransaction([UInt8])

    /// What the operator must allow for it.
    public var permission: NodePermission {
        switch self {
        case .submitHeader: .headers
        case .submitBlock: .blocks
        case .addPeer, .disconnectPeer: .peers
        case .sendTransaction: .transactions
        }
    }
}

/// Why the node did not do what it was asked. The description is one sentence for the operator.
public enum NodeError: Error, Hashable, Sendable {
    /// The operator does not allow it.
    case notAllowed(NodePermission)
    /// Nobody answers, or not in time.
    case unreachable(String)
    /// We are not let in, or refuse to go on ourselves: a wrong password, an audit log that cannot be written.
    case refused(String)
    /// The node understood and said no. `code` is that of JSON-RPC, and 0 for a block's or header's reject reason.
    case rejected(code: Int, message: String)
    /// The node said what we do not understand, or we were asked to send it nonsense.
    case malformed(String)
    /// The answer, or what should be sent, is longer than `limit` bytes.
    case tooLarge(limit: Int)
}

extension NodeError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .notAllowed(let permission):
            "changing the node in this way is not allowed; to allow it, add \"\(permission.rawValue)\" to node.allow"
        case .unreachable(let text), .refused(let text), .malformed(let text): text
        case .rejected(let code, let message):
            code == 0 ? "the node refused it: \(message)" : "the node refused it: \(message) (code \(code))"
        case .tooLarge(let limit): "what was to be read or sent is longer than \(limit) bytes"
        }
    }
}
