// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import Logging

extension BitcoinCoreNode {
    /// The most bytes of a block: its weight is at most 4,000,000 (BIP 141), and a byte weighs at least one.
    static let maximumBlockLength = 4_000_000
    /// The longest address with its port; I2P and Tor names are shorter than the longest DNS name.
    static let maximumAddressLength = 261
    /// Validating a block can take this long on a small machine.
    static let blockBounds = RPCClient.Bounds(bytes: 64 * 1024, time: .seconds(120))
    /// Core gives up connecting after 5 s, and after 20 s through a proxy.
    static let peerBounds = RPCClient.Bounds(bytes: 64 * 1024, time: .seconds(60))

    /// Makes a change: looks whether it is allowed, writes the intent, calls, writes the outcome.
    ///
    /// A block or header that the node has already is no failure: what was wanted is the case. Neither is a block on a
    /// branch with less work, which Core stores and calls "inconclusive".
    public func perform(_ change: NodeChange, because reason: String) async throws(NodeError) {
        guard self.configuration.allow.contains(change.permission) else { throw .notAllowed(change.permission) }
        let plan = try Self.plan(change)
        let entry = try await self.auditLog.begin(
            call: plan.call.method, argument: plan.argument, reason: reason)
        let outcome: Result<String, NodeError>
        do throws(NodeError) {
            outcome = .success(try await self.inTurn { try await self.make(plan) })
        } catch {
            outcome = .failure(error)
        }
        do throws(NodeError) {
            switch outcome {
            case .success(let text): try await self.auditLog.end(entry, outcome: text)
            case .failure(let error): try await self.auditLog.end(entry, outcome: "failed: \(error)")
            }
        } catch {
            // The call was made and stands in the log as asked; whoever waits must learn how it ended.
            self.logger.error("the outcome of a change is not in the audit log: \(error)")
        }
        _ = try outcome.get()
    }

    /// A change as a call, and what the audit log says about it.
    struct Plan: Sendable {
        let call: RPCCall
        let argument: String
        let bounds: RPCClient.Bounds
    }

    /// Checks what can be checked here. Throws ``NodeError/malformed(_:)`` or ``NodeError/tooLarge(limit:)``.
    static func plan(_ change: NodeChange) throws(NodeError) -> Plan {
        switch change {
        case .submitHeader(let bytes):
            guard let header = BlockHeader(bytes: bytes) else { throw .malformed("a header has 80 bytes") }
            return Plan(
                call: RPCCall("submitheader", .text(Hex.encode(bytes))), argument: "header \(header.hash)",
                bounds: Self.blockBounds)
        case .submitBlock(let bytes):
            guard bytes.count <= Self.maximumBlockLength else { throw .tooLarge(limit: Self.maximumBlockLength) }
            guard let header = BlockHeader(bytes: bytes.prefix(BlockHeader.size)), bytes.count > BlockHeader.size else {
                throw .malformed("a block has more than 80 bytes")
            }
            return Plan(
                call: RPCCall("submitblock", .text(Hex.encode(bytes))),
                argument: "block \(header.hash), \(bytes.count) bytes", bounds: Self.blockBounds)
        case .addPeer(let address):
            // "onetry" connects at once and is forgotten; "add" waits for its turn, for up to a minute, and stays.
            return Plan(
                call: RPCCall("addnode", .text(try Self.checked(address)), .text("onetry")), argument: address,
                bounds: Self.peerBounds)
        case .disconnectPeer(let address):
            return Plan(
                call: RPCCall("disconnectnode", .text(try Self.checked(address))), argument: address,
                bounds: Self.peerBounds)
        case .sendTransaction(let bytes):
            guard bytes.count <= Self.maximumBlockLength else { throw .tooLarge(limit: Self.maximumBlockLength) }
            guard !bytes.isEmpty else { throw .malformed("a transaction has bytes") }
            return Plan(
                call: RPCCall("sendrawtransaction", .text(Hex.encode(bytes))),
                argument: "transaction of \(bytes.count) bytes", bounds: Self.blockBounds)
        }
    }

    private static func checked(_ address: String) throws(NodeError) -> String {
        guard !address.isEmpty, address.utf8.count <= Self.maximumAddressLength,
            address.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
        else { throw .malformed("\(UntrustedText(address)) is no address of a peer") }
        return address
    }

    /// Makes the call; its outcome in words.
    private func make(_ plan: Plan) async throws -> String {
        switch plan.call.method {
        case "submitblock":
            let verdict = try await self.rpc.call(plan.call, plan.bounds, as: String?.self)
            return try Self.judge(submitted: verdict)
        case "sendrawtransaction":
            return "accepted as \(UntrustedText(try await self.rpc.call(plan.call, plan.bounds, as: String.self)))"
        default:
            _ = try await self.rpc.call(plan.call, plan.bounds, as: Ignored?.self)
            return "done"
        }
    }

    /// What `submitblock` says, in the words of BIP 22, as an outcome.
    static func judge(submitted verdict: String?) throws(NodeError) -> String {
        switch verdict {
        case nil: return "accepted"
        case "duplicate": return "the node has it already"
        case "duplicate-inconclusive", "inconclusive": return "stored on a branch with less work"
        case .some(let reason): throw .rejected(code: 0, message: UntrustedText(reason).description)
        }
    }
}
