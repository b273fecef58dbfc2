// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetObjects
internal import AltNetTestKit
internal import Foundation
internal import Logging
internal import Testing

@testable internal import AltNetNode

/// A real Bitcoin Core on regtest, without a wallet.
private final class RealNode: Sendable {
    static let program = ProcessInfo.processInfo.environment["ALTNET_BITCOIND"]

    let directory: String
    let rpcPort: UInt16
    let port: UInt16
    let rpc: RPCClient
    private let process: BackgroundProcess

    /// Starts one, in the directory of an earlier one or in a new one.
    init(_ arguments: [String] = [], in earlier: RealNode? = nil) async throws {
        self.directory = earlier?.directory ?? TemporaryDirectory.make()
        self.rpcPort = try earlier?.rpcPort ?? FreePort.find()
        self.port = try earlier?.port ?? FreePort.find()
        let program = try #require(Self.program)
        self.process = try BackgroundProcess(
            program,
            [
                "-regtest", "-server", "-datadir=\(self.directory)", "-rpcport=\(self.rpcPort)",
                "-bind=127.0.0.1:\(self.port)", "-fixedseeds=0", "-dnsseed=0", "-disablewallet", "-printtoconsole=0",
            ] + arguments)
        let client = RPCClient(
            endpoint: try CoreEndpoint(
                url: "http://127.0.0.1:\(self.rpcPort)", network: .regtest, allowRemote: false),
            credentials: .cookieFile("\(self.directory)/regtest/.cookie"))
        self.rpc = client
        try await Condition.wait("bitcoind answers", within: .seconds(60)) {
            (try? await client.call(RPCCall("getblockcount"), as: Int.self)) != nil
        }
    }

    /// Mines blocks that pay to `OP_TRUE`; their hashes.
    @discardableResult
    func mine(_ count: Int64) async throws -> [BlockHash] {
        try await self.rpc.call(
            RPCCall("generatetodescriptor", .number(count), .text("raw(51)")), as: [DecodedHash].self
        ).map(\.hash)
    }

    /// Stops it in order, and waits until it is gone.
    func stop() async throws {
        _ = try await self.rpc.call(RPCCall("stop"), as: Ignored.self)
        _ = try await self.process.finish()
    }

    func node(_ follow: BitcoinCoreNode.Follow = .auto, allow: Set<NodePermission> = []) throws -> BitcoinCoreNode {
        var pace = BitcoinCoreNode.Pace()
        pace.firstPause = .milliseconds(50)
        pace.peers = .milliseconds(200)
        pace.branches = .milliseconds(200)
        if follow == .poll { pace.poll = .milliseconds(200) }
        return BitcoinCoreNode(
            configuration: .init(
                network: .regtest,
                endpoint: try CoreEndpoint(
                    url: "http://127.0.0.1:\(self.rpcPort)", network: .regtest, allowRemote: false),
                credentials: .cookieFile("\(self.directory)/regtest/.cookie"), follow: follow, allow: allow,
                pace: pace),
            auditLog: try NodeAuditLog(path: "\(self.directory)/audit.jsonl"),
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
    }
}

@Suite(
    "A real Bitcoin Core", .serialized,
    .enabled(if: RealNode.program != nil, "set ALTNET_BITCOIND to a bitcoind of Bitcoin Core"))
struct CoreNodeTests {
    private static func headers(_ locator: [BlockHash], limit: UInt32 = 2_000) -> ObjectRequest {
        .headers(locator: locator, stop: .zero, heightHint: 0, limit: limit)
    }

    private static func block(_ hash: BlockHash, of node: BitcoinCoreNode) async throws -> [UInt8] {
        guard case .objects(.blocks, let blocks) = await node.answer(.block(hash)) else {
            throw Condition.Failure("no block \(hash)")
        }
        return try #require(blocks.first)
    }

    @Test(
        "is followed by waiting, by polling and over ZMQ",
        arguments: [
            (BitcoinCoreNode.Follow.wait, "waitfornewblock"), (.poll, "polling every 0 s"), (.auto, "zmq hashblock"),
        ])
    func follows(follow: BitcoinCoreNode.Follow, name: String) async throws {
        let zmqPort = try FreePort.find()
        let arguments = follow == .auto ? ["-zmqpubhashblock=tcp://127.0.0.1:\(zmqPort)"] : []
        let core = try await RealNode(arguments)
        let following = Following(try core.node(follow))
        let first = try await following.state(name) { $0.reach == .reachable && $0.followedBy == name }
        #expect(first.blocks == 0 && first.isSyncing && first.version.hasPrefix("/Satoshi:"))
        for height in 1...3 as ClosedRange<UInt32> {
            let start = ContinuousClock.now
            let hash = try #require(try await core.mine(1).first)
            let state = try await following.state("block \(height)") { $0.blocks == height }
            #expect(state.bestBlock == hash)
            #expect(ContinuousClock.now - start < .seconds(8), "not when waiting or ZMQ is given up")
        }
        await following.stop()
    }

    @Test("answers with headers and blocks of its active chain")
    func objects() async throws {
        let core = try await RealNode()
        let hashes = try await core.mine(250)
        let node = try core.node()
        guard case .headers(let bytes) = await node.answer(Self.headers([Network.regtest.chainHash])) else {
            Issue.record("no headers")
            return
        }
        let headers = stride(from: 0, to: bytes.count, by: 80).compactMap { BlockHeader(bytes: bytes[$0..<$0 + 80]) }
        #expect(headers.map(\.hash) == hashes)
        #expect(await node.answer(Self.headers([.zero, hashes[247]])) == .headers(Array(bytes.suffix(160))))
        #expect(await node.answer(Self.headers([hashes[249]])) == .headers([]))
        let block = try await Self.block(hashes[9], of: node)
        #expect(Array(block.prefix(80)) == headers[9].bytes)
        #expect(await node.answer(.block(BlockHash(number: UInt256(1)))) == .refused(.notFound))
        #expect(await node.answer(.transaction(BlockHash(number: UInt256(1)))) == .refused(.notFound))
    }

    @Test("takes headers and blocks of another one, and then has its tip")
    func fed() async throws {
        let (honest, kept) = (try await RealNode(["-connect=0"]), try await RealNode(["-connect=0"]))
        let hashes = try await honest.mine(5)
        let source = try honest.node()
        let target = try kept.node(.poll, allow: [.headers, .blocks])
        let following = Following(target)
        guard case .headers(let bytes) = await source.answer(Self.headers([Network.regtest.chainHash])) else {
            Issue.record("no headers")
            return
        }
        let headers = stride(from: 0, to: bytes.count, by: 80).map { Array(bytes[$0..<$0 + 80]) }
        let orphan = await #expect(throws: NodeError.self) {
            try await target.perform(.submitHeader(headers[1]), because: "a test")
        }
        #expect(orphan?.description.contains("Must submit previous header") == true, "\(String(describing: orphan))")
        for header in headers { try await target.perform(.submitHeader(header), because: "a test") }
        _ = try await following.state("the headers") { $0.headers == 5 && $0.blocks == 0 }
        for hash in hashes {
            try await target.perform(.submitBlock(try await Self.block(hash, of: source)), because: "a test")
        }
        let state = try await following.state("the blocks") { $0.blocks == 5 }
        #expect(state.bestBlock == hashes.last)
        // Twice is no failure; a spoiled one is.
        var block = try await Self.block(hashes[4], of: source)
        try await target.perform(.submitBlock(block), because: "a test")
        block[block.count - 1] ^= 1
        let spoiled = await #expect(throws: NodeError.self) {
            try await target.perform(.submitBlock(block), because: "a test")
        }
        #expect(spoiled != nil)
        let nonsense = await #expect(throws: NodeError.self) {
            try await source.perform(.submitBlock(block), because: "a test")
        }
        #expect(nonsense == .notAllowed(.blocks))
        await following.stop()
    }

    @Test("connects to a peer at once, names it, and drops it")
    func peers() async throws {
        let (first, second) = (try await RealNode(), try await RealNode())
        let hashes = try await second.mine(3)
        let node = try first.node(.poll, allow: [.peers])
        let following = Following(node)
        let address = "127.0.0.1:\(second.port)"
        try await node.perform(.addPeer(address), because: "a test")
        let state = try await following.state("the peer and its blocks") { $0.peers.count == 1 && $0.blocks == 3 }
        #expect(state.bestBlock == hashes.last)
        let peer = try #require(state.peers.first)
        #expect(peer.address == address && !peer.isInbound && peer.connectionType == "manual")
        #expect(abs(peer.clockOffset) < 60)
        try await node.perform(.disconnectPeer(address), because: "a test")
        _ = try await following.state("nobody") { $0.peers.isEmpty }
        let error = await #expect(throws: NodeError.self) {
            try await node.perform(.disconnectPeer(address), because: "a test")
        }
        #expect(error?.description.contains("Node not found") == true, "\(String(describing: error))")
        await following.stop()
    }

    @Test("may restart with another cookie", arguments: [BitcoinCoreNode.Follow.wait, .poll])
    func restart(follow: BitcoinCoreNode.Follow) async throws {
        let core = try await RealNode()
        let following = Following(try core.node(follow))
        _ = try await following.state("it answers") { $0.reach == .reachable }
        let cookie = try String(contentsOfFile: "\(core.directory)/regtest/.cookie", encoding: .utf8)
        try await core.stop()
        let down = try await following.state("it is down") { $0.reach != .reachable }
        guard case .unreachable = down.reach else {
            Issue.record("\(down.reach)")
            return
        }
        let again = try await RealNode(in: core)
        #expect(try String(contentsOfFile: "\(core.directory)/regtest/.cookie", encoding: .utf8) != cookie)
        _ = try await following.state("it is back") { $0.reach == .reachable }
        try await again.mine(1)
        _ = try await following.state("a block") { $0.blocks == 1 }
        await following.stop()
    }

    @Test("names a branch that it calls invalid")
    func invalidBranch() async throws {
        let core = try await RealNode()
        let hashes = try await core.mine(5)
        let following = Following(try core.node(.poll))
        _ = try await following.state("five blocks") { $0.blocks == 5 }
        _ = try await core.rpc.call(
            RPCCall("invalidateblock", .text(hashes[2].description)), as: Ignored?.self)
        let state = try await following.state("an invalid branch") { !$0.invalidBranches.isEmpty }
        #expect(state.blocks == 2)
        #expect(state.invalidBranches == [NodeBranch(hash: hashes[4], height: 5, branchLength: 3)])
        await following.stop()
    }

    @Test("of another network, and with a wrong password, is named as such")
    func wrong() async throws {
        let core = try await RealNode()
        let audit = try NodeAuditLog(path: "\(core.directory)/other.jsonl")
        let silent = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let endpoint = try CoreEndpoint(
            url: "http://127.0.0.1:\(core.rpcPort)", network: .main, allowRemote: false)
        let cookie = CoreCredentials.cookieFile("\(core.directory)/regtest/.cookie")
        let other = Following(
            BitcoinCoreNode(
                configuration: .init(network: .main, endpoint: endpoint, credentials: cookie), auditLog: audit,
                logger: silent))
        let state = try await other.state("a state") { _ in true }
        #expect(state.reach.sentence.contains("follows the network regtest and AltNet main"))
        await other.stop()
        let stranger = Following(
            BitcoinCoreNode(
                configuration: .init(
                    network: .regtest, endpoint: endpoint, credentials: .password(user: "a", password: "b")),
                auditLog: audit, logger: silent))
        let refused = try await stranger.state("a state") { _ in true }
        #expect(refused.reach.sentence.contains("does not accept the password of user a"))
        await stranger.stop()
    }
}
