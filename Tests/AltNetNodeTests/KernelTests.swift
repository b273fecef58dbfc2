// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetObjects
internal import AltNetTestKit
internal import Foundation
internal import Glibc
internal import HeaderTestSupport
internal import Logging
internal import Testing

@testable internal import AltNetNode

/// libbitcoinkernel of the Python package `py-bitcoinkernel` in `.build/venv`, or the one that `ALTNET_TEST_KERNEL`
/// names.
private enum Kernel {
    static let path: String? = {
        if let path = ProcessInfo.processInfo.environment["ALTNET_TEST_KERNEL"] { return path }
        let root = FakeNode.tools.deletingLastPathComponent().deletingLastPathComponent().path
        let lib = "\(root)/.build/venv/lib"
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: lib)) ?? []
        return versions.map { "\(lib)/\($0)/site-packages/pbk/_libs/libbitcoinkernel.so" }.first {
            FileManager.default.fileExists(atPath: $0)
        }
    }()

    static let blocks = KernelLibrary.knownBlocks
    static let headers = blocks.compactMap { BlockHeader(bytes: $0.prefix(80)) }
    static let silent = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

    /// A library made of C, with a compiler that Swift brings along.
    static func compile(_ source: String) async throws -> String {
        let directory = TemporaryDirectory.make()
        try source.write(toFile: "\(directory)/x.c", atomically: true, encoding: .utf8)
        let result = try await Programs.run(
            "/usr/bin/env", ["clang", "-shared", "-fPIC", "-w", "-o", "\(directory)/libx.so", "\(directory)/x.c"])
        try #require(result.status == 0, "\(result.errors)")
        return "\(directory)/libx.so"
    }
}

@Suite(
    "libbitcoinkernel",
    .enabled(
        if: Kernel.path != nil,
        "no libbitcoinkernel: run `scripts/setup --tests`, or set ALTNET_TEST_KERNEL to its path"))
struct KernelTests {
    private static func open(_ directory: String, allow: Set<NodePermission> = [.headers, .blocks]) async throws
        -> KernelNode
    {
        try await KernelNode.open(
            .init(network: .regtest, directory: directory, library: Kernel.path, allow: allow), logger: Kernel.silent)
    }

    private static func failure(_ node: KernelNode, _ change: NodeChange) async -> NodeError? {
        do throws(NodeError) {
            try await node.perform(change, because: "a test")
            return nil
        } catch {
            return error
        }
    }

    private static func headers(_ locator: [BlockHash], stop: BlockHash = .zero, limit: UInt32 = 100) -> ObjectRequest {
        .headers(locator: locator, stop: stop, heightHint: 0, limit: limit)
    }

    @Test("passes the test with known answers")
    func probe() throws {
        #expect(try KernelLibrary.probe(path: Kernel.path).contains("works (interface"))
    }

    @Test("validates blocks, answers with them, and keeps them over a restart")
    func node() async throws {
        let directory = TemporaryDirectory.make() + "/kernel"
        let node = try await Self.open(directory)
        let following = Following(node)
        let first = try await following.state("a state") { _ in true }
        #expect(first.reach == .reachable && first.blocks == 0 && first.bestBlock == Network.regtest.chainHash)
        #expect(first.isSyncing, "a tip of 2011 is old")
        let (headers, blocks) = (Kernel.headers, Kernel.blocks)
        try #require(headers.count == 2)
        #expect(
            await Self.failure(node, .submitHeader(headers[1].bytes))
                == .rejected(code: 0, message: "its predecessor is not known"))
        #expect(
            await Self.failure(node, .submitBlock(blocks[1]))
                == .rejected(code: 0, message: "its predecessor is not known"))
        #expect(await Self.failure(node, .submitHeader(headers[0].bytes)) == nil)
        #expect(await Self.failure(node, .submitHeader(headers[0].bytes)) == nil, "twice is no failure")
        #expect(await node.answer(.block(headers[0].hash)) == .refused(.notFound), "a header is no block")
        #expect(await Self.failure(node, .submitBlock(blocks[0])) == nil)
        #expect(await Self.failure(node, .submitBlock(blocks[0])) == nil, "twice is no failure")
        #expect(await Self.failure(node, .submitBlock(blocks[1])) == nil)
        let state = try await following.state("both blocks") { $0.blocks == 2 }
        #expect(state.bestBlock == headers[1].hash && state.headers == 2)
        #expect(await node.answer(.block(headers[1].hash)) == .objects(.blocks, [blocks[1]]))
        #expect(await node.answer(Self.headers([Network.regtest.chainHash])) == .headers(headers.bytes))
        #expect(await node.answer(Self.headers([headers[0].hash])) == .headers(headers[1].bytes))
        #expect(await node.answer(Self.headers([.zero], limit: 1)) == .headers(headers[0].bytes))
        #expect(await node.answer(Self.headers([], stop: headers[1].hash)) == .headers(headers[1].bytes))
        #expect(await node.answer(Self.headers([.zero], stop: headers[0].hash)) == .headers(headers[0].bytes))
        #expect(await node.answer(Self.headers([.zero], limit: 0)) == .refused(.invalid))
        #expect(await node.answer(.transaction(.zero)) == .refused(.unsupported))
        await following.stop()
        await node.close()
        #expect(await node.answer(.block(headers[1].hash)) == .refused(.unavailable))
        let again = try await Self.open(directory)
        #expect(await again.answer(Self.headers([.zero])) == .headers(headers.bytes))
        await again.close()
    }

    @Test("names a branch that it found invalid")
    func invalid() async throws {
        let node = try await Self.open(TemporaryDirectory.make() + "/kernel")
        // Claims one coin more than it may: found when the block is connected, after its header was taken.
        var block = Kernel.blocks[0]
        let amount = Array(Hex.decode("00f2052a01000000") ?? [])
        let place = try #require(block.indices.first { block[$0...].starts(with: amount) })
        block[place] = 1
        // The coinbase is the only transaction, so its hash is the root of the tree.
        let transaction = Array(block[81...])
        let stripped = transaction[0..<4] + transaction[6..<(transaction.count - 38)] + transaction.suffix(4)
        var header = Kernel.headers[0]
        header.merkleRoot = DoubleSHA256.hash(Array(stripped))
        header.nonce = 0
        header = HeaderMiner.mined(header)
        block.replaceSubrange(0..<80, with: header.bytes)
        let error = await Self.failure(node, .submitBlock(block))
        #expect(error == .rejected(code: 0, message: "it breaks a consensus rule"))
        let following = Following(node)
        let state = try await following.state("a state") { _ in true }
        #expect(state.invalidBranches == [NodeBranch(hash: header.hash, height: 1, branchLength: 1)])
        #expect(state.blocks == 0)
        await following.stop()
        await node.close()
    }

    @Test(
        "refuses nonsense by name",
        arguments: [
            NodeChange.submitHeader([]), .submitBlock([1]), .submitBlock([UInt8](repeating: 0, count: 4_000_001)),
            .submitBlock([UInt8](repeating: 0xff, count: 200)), .addPeer("a:1"), .sendTransaction([1]),
        ])
    func nonsense(change: NodeChange) async throws {
        let node = try await Self.open(TemporaryDirectory.make() + "/kernel", allow: Set(NodePermission.allCases))
        #expect(await Self.failure(node, change) != nil)
        await node.close()
        let closed = try await Self.open(TemporaryDirectory.make() + "/kernel", allow: [])
        #expect(await Self.failure(closed, change) == .notAllowed(change.permission))
        await closed.close()
    }

    @Test("does not share its directory")
    func directory() async throws {
        let directory = TemporaryDirectory.make() + "/kernel"
        let node = try await Self.open(directory)
        await #expect(throws: NodeError.self) { try await Self.open(directory) }
        await node.close()
        let again = try await Self.open(directory)
        await again.close()
        await #expect(throws: NodeError.self) { try await Self.open("/proc/nothing/here") }
    }
}

@Suite("A library that is no libbitcoinkernel, or of another version")
struct KernelLibraryTests {
    @Test("is refused by name when it is missing, no library, or lacks a function")
    func refused() async throws {
        let text = TemporaryDirectory.make() + "/libx.so"
        try "hello".write(toFile: text, atomically: true, encoding: .utf8)
        let other = try await Kernel.compile("void btck_logging_connection_create(void) {}")
        for (path, reason) in [
            ("/nonexistent/lib.so", "cannot be loaded"), (text, "cannot be loaded"),
            (other, "has no function btck_chain_parameters_create"),
        ] {
            let error = #expect(throws: NodeError.self) { try KernelLibrary.open(path: path) }
            #expect(error?.description.contains(reason) == true, "\(String(describing: error))")
            await #expect(throws: NodeError.self) {
                try await KernelNode.open(
                    .init(network: .regtest, directory: "/tmp/unused-by-altnet", library: path), logger: Kernel.silent)
            }
        }
    }

    @Test("crashes in a process of its own")
    func crash() async throws {
        for (script, reason) in [
            ("kill -SEGV $$", "crashed when it was tested (signal 11)"), ("echo no good; exit 1", "no good"),
            ("exit 7", "ended with status 7"), ("yes | head -c 100000; exit 1", "cannot be tested"),
        ] {
            let error = await #expect(throws: NodeError.self) {
                try await KernelProbe.run(program: "/bin/sh", arguments: ["-c", script])
            }
            #expect(error?.description.contains(reason) == true, "\(String(describing: error))")
        }
        #expect(try await KernelProbe.run(program: "/bin/sh", arguments: ["-c", "echo fine"]) == "fine")
        await #expect(throws: NodeError.self) { try await KernelProbe.run(program: "/nonexistent", arguments: []) }
    }
}
