// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin

extension BitcoinCoreNode {
    /// What `testmempoolaccept` says of one transaction.
    private struct Acceptance: Decodable, Sendable {
        let allowed: Bool
        let reason: String?

        private enum CodingKeys: String, CodingKey {
            case allowed
            case reason = "reject-reason"
        }
    }

    public func judge(transaction: [UInt8]) async throws(NodeError) -> TransactionVerdict {
        guard transaction.count <= TransactionCheck.maximumSize else {
            throw .tooLarge(limit: TransactionCheck.maximumSize)
        }
        let call = RPCCall("testmempoolaccept", .texts([Hex.encode(transaction)]))
        let answers = try await self.inTurn { try await self.rpc.call(call, Self.blockBounds, as: [Acceptance].self) }
        guard answers.count == 1, let answer = answers.first else {
            throw .malformed(
                "the node answered to testmempoolaccept with \(answers.count) transactions where one was asked")
        }
        if answer.allowed { return .acceptable }
        // Core's words (`src/validation.cpp`).
        switch answer.reason {
        case "txn-already-in-mempool", "txn-already-known", "txn-same-nonwitness-data-in-mempool": return .known
        case "missing-inputs": return .missingInputs
        case let reason: return .rejected(UntrustedText(reason ?? "no reason given").description)
        }
    }
}
