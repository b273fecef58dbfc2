// SPDX-License-Identifier: MIT

internal import AltNetBitcoin
public import AltNetObjects
internal import Logging

extension BitcoinCoreNode {
    /// The most headers in one answer, as in Bitcoin's own `headers` message: twenty round trips to the node.
    static let maximumHeaders: UInt32 = 2_000
    /// A block or transaction in hexadecimal, and what is around it.
    static let objectBounds = RPCClient.Bounds(bytes: 9_000_000, time: .seconds(60))
    /// A batch of ``RPCMessage/maximumBatch`` answers. Each is 150 to 900 bytes.
    static let batchBounds = RPCClient.Bounds(bytes: 1_000_000, time: .seconds(30))

    /// Answers as any link would; see ``NodeInterface/answer(_:)``.
    public func answer(_ request: ObjectRequest) async -> ObjectAnswer {
        do throws(NodeError) {
            switch request {
            case .headers(let locator, let stop, _, let limit):
                guard limit > 0, locator.count <= ObjectRequest.maximumLocatorLength else { return .refused(.invalid) }
                return .headers(
                    try await self.inTurn {
                        try await self.headers(after: locator, stop: stop, limit: min(limit, Self.maximumHeaders))
                    })
            case .block(let hash):
                return .objects(.blocks, [try await self.inTurn { try await self.block(hash) }])
            case .transaction(let id):
                return .objects(.transactions, [try await self.inTurn { try await self.transaction(id) }])
            case .filterHeaders, .filters, .addresses, .peerRecords: return .refused(.unsupported)
            }
        } catch {
            return .refused(self.refusal(error))
        }
    }

    private func refusal(_ error: NodeError) -> ObjectRefusal {
        switch error {
        case .rejected: return .notFound
        case .unreachable: return .unavailable
        case .notAllowed, .refused, .malformed, .tooLarge:
            self.logger.warning("\(self.description) gave no usable answer: \(error)")
            return .unavailable
        }
    }

    private func block(_ hash: BlockHash) async throws(NodeError) -> [UInt8] {
        let call = RPCCall("getblock", .text(hash.description), .number(0))
        let bytes = try await self.rpc.call(call, Self.objectBounds, as: DecodedBytes.self).bytes
        guard bytes.count <= Self.maximumBlockLength else { throw .tooLarge(limit: Self.maximumBlockLength) }
        guard BlockHeader(bytes: bytes.prefix(BlockHeader.size))?.hash == hash else {
            throw .malformed("the node answered to getblock with another block")
        }
        return bytes
    }

    private func transaction(_ id: BlockHash) async throws(NodeError) -> [UInt8] {
        let call = RPCCall("getrawtransaction", .text(id.description), .flag(false))
        let bytes = try await self.rpc.call(call, Self.objectBounds, as: DecodedBytes.self).bytes
        guard bytes.count <= Self.maximumBlockLength else { throw .tooLarge(limit: Self.maximumBlockLength) }
        return bytes
    }

    /// The headers of the active chain after the first hash of the locator that lies in it, or after genesis.
    ///
    /// The active chain may change while we read it: what is returned is a run in which each header is the successor of
    /// the one before, and the first that of the locator's hash, but perhaps a shorter one than asked for.
    private func headers(
        after locator: [BlockHash], stop: BlockHash, limit: UInt32
    ) async throws(NodeError) -> [UInt8] {
        if locator.isEmpty, stop != .zero { return try await self.header(stop) }
        let tip = try await self.rpc.call(RPCCall("getblockcount"), as: UInt32.self)
        var (previous, height) = try await self.fork(locator)
        var run: [UInt8] = []
        let end = tip > height ? height + min(limit, tip - height) : height
        while height < end {
            let heights = (height + 1)...min(end, height + UInt32(RPCMessage.maximumBatch))
            let headers = try await self.headers(at: heights)
            for header in headers {
                guard header.previous == previous else {
                    // Nothing at all would mean that the locator's block is the tip, which is not known.
                    guard !run.isEmpty else { throw .unreachable("the node's chain changed while it was read") }
                    return run
                }
                previous = header.hash
                run += header.bytes
                if previous == stop { return run }
            }
            guard headers.count == heights.count else { return run }
            height = heights.upperBound
        }
        return run
    }

    /// One header of the active chain by its hash, as an empty locator asks for; nothing when it is not there.
    private func header(_ hash: BlockHash) async throws(NodeError) -> [UInt8] {
        let (found, height) = try await self.fork([hash])
        guard found == hash else { return [] }
        return try await self.headers(at: height...height).first { $0.hash == hash }?.bytes ?? []
    }

    /// The first hash of the locator that lies in the active chain, and its height.
    private func fork(_ locator: [BlockHash]) async throws(NodeError) -> (BlockHash, UInt32) {
        // Nearly always it is the first; the others are asked for only when it is not.
        for part in [locator.prefix(1), locator.dropFirst()] where !part.isEmpty {
            let answers = try await self.rpc.batch(
                part.map { RPCCall("getblockheader", .text($0.description), .flag(true)) }, Self.batchBounds,
                as: CoreHeaderInfo.self)
            for (hash, answer) in zip(part, answers) {
                switch answer {
                case .answered(let info) where info.confirmations >= 0: return (hash, info.height)
                case .answered: continue
                case .failed(let failure) where failure.code == RPCFailure.Code.notFound: continue
                case .failed(let failure): throw failure.error
                }
            }
        }
        return (self.configuration.network.chainHash, 0)
    }

    /// The headers at some heights, as many as there are before the chain ends.
    private func headers(at heights: ClosedRange<UInt32>) async throws(NodeError) -> [BlockHeader] {
        let hashes = try Self.upToEnd(
            try await self.rpc.batch(
                heights.map { RPCCall("getblockhash", .number(Int64($0))) }, Self.batchBounds, as: DecodedHash.self)
        ).map(\.hash)
        guard !hashes.isEmpty else { return [] }
        let answers = try Self.upToEnd(
            try await self.rpc.batch(
                hashes.map { RPCCall("getblockheader", .text($0.description), .flag(false)) }, Self.batchBounds,
                as: DecodedBytes.self))
        var headers: [BlockHeader] = []
        for (hash, answer) in zip(hashes, answers) {
            guard let header = BlockHeader(bytes: answer.bytes), header.hash == hash else {
                throw .malformed("the node answered to getblockheader with another header")
            }
            headers.append(header)
        }
        return headers
    }

    /// The answers before the first height that the chain no longer has.
    private static func upToEnd<Result>(_ outcomes: [RPCOutcome<Result>]) throws(NodeError) -> [Result] {
        var results: [Result] = []
        for outcome in outcomes {
            switch outcome {
            case .answered(let result): results.append(result)
            case .failed(let failure) where failure.code == RPCFailure.Code.invalidParameter: return results
            case .failed(let failure): throw failure.error
            }
        }
        return results
    }
}
