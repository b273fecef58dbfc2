// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetBitcoin
public import AltNetObjects
internal import Dispatch
internal import FoundationEssentials
public import Logging
internal import Synchronization

/// Full validation of blocks in this process, without any node: libbitcoinkernel in a directory of its own.
///
/// It has no peers and asks nobody: what it validates comes through ``perform(_:because:)``. That changes nothing but
/// its own directory, so no audit log is kept, and headers and blocks are allowed unless the configuration says less.
public final class KernelNode: NodeInterface {
    /// What the operator sets.
    public struct Configuration: Sendable {
        public var network: Network
        /// Where its chain is kept; made with its parents' permissions in mind: 0700. Nobody else may work in it.
        public var directory: String
        /// The library; `nil` to look for ``KernelLibrary/defaultNames``.
        public var library: String?
        /// The program and arguments that run ``KernelProbe/main(path:)``; `nil` to trust the library at once.
        public var probe: (program: String, arguments: [String])?
        public var allow: Set<NodePermission>

        public init(
            network: Network, directory: String, library: String? = nil,
            probe: (program: String, arguments: [String])? = nil, allow: Set<NodePermission> = [.headers, .blocks]
        ) {
            self.network = network
            self.directory = directory
            self.library = library
            self.probe = probe
            self.allow = allow
        }
    }

    /// Calls that wait for the kernel, which does one thing at a time; further ones are told that it is busy.
    static let maximumWaitingCalls = 64
    /// Core's own measure: a node whose tip is older than a day is still downloading (`maxtipage`).
    static let maximumTipAge: Int64 = 24 * 3600
    /// How long a state may be old when nothing happens: whether the tip is too old changes with time alone.
    static let longestSilence: Duration = .seconds(60)

    /// The chain, which only the queue touches.
    private final class Confined: @unchecked Sendable {
        var chain: KernelChain?

        init(_ chain: KernelChain) {
            self.chain = chain
        }
    }

    public let description: String
    private let network: Network
    private let allow: Set<NodePermission>
    private let confined: Confined
    private let queue: DispatchQueue
    private let waiting = Mutex(0)
    private let wakeup = Wakeup()
    private let logger: Logger

    /// Tries the library, opens it, and opens or creates the chain.
    ///
    /// Throws ``NodeError/refused(_:)`` with a sentence for the operator.
    public static func open(_ configuration: Configuration, logger: Logger) async throws(NodeError) -> KernelNode {
        if let probe = configuration.probe {
            let found = try await KernelProbe.run(program: probe.program, arguments: probe.arguments)
            logger.info("\(found)")
        }
        let queue = DispatchQueue(label: "org.altnet.kernel")
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<Confined, NodeError>, Never>) in
            queue.async {
                continuation.resume(
                    returning: Result { () throws(NodeError) in
                        let library = try KernelLibrary.open(path: configuration.library)
                        try library.testObjects()
                        do {
                            try FileManager.default.createDirectory(
                                atPath: configuration.directory, withIntermediateDirectories: true,
                                attributes: [.posixPermissions: 0o700])
                        } catch {
                            throw .refused("the directory \(configuration.directory) cannot be made: \(error)")
                        }
                        return Confined(
                            try KernelChain(
                                library: library, network: configuration.network, directory: configuration.directory))
                    })
            }
        }
        return KernelNode(configuration, try result.get(), queue, logger)
    }

    private init(_ configuration: Configuration, _ confined: Confined, _ queue: DispatchQueue, _ logger: Logger) {
        let path = confined.chain?.library.path ?? ""
        self.description = "libbitcoinkernel (\(path)) in \(configuration.directory)"
        self.network = configuration.network
        self.allow = configuration.allow
        self.confined = confined
        self.queue = queue
        self.logger = logger
    }

    deinit {
        // Closing writes to the disk, and belongs where all other calls are made.
        let confined = self.confined
        self.queue.async { confined.chain?.close() }
    }

    /// Writes everything to the disk and frees the chain; every later call is refused.
    public func close() async {
        await withCheckedContinuation { continuation in
            self.queue.async {
                self.confined.chain?.close()
                self.confined.chain = nil
                continuation.resume()
            }
        }
        self.wakeup.wake()
    }

    /// Does something with the chain on its queue.
    private func onChain<Value: Sendable>(
        _ work: @Sendable @escaping (KernelChain) throws(NodeError) -> Value
    ) async throws(NodeError) -> Value {
        let isFull = self.waiting.withLock { waiting in
            guard waiting < Self.maximumWaitingCalls else { return true }
            waiting += 1
            return false
        }
        guard !isFull else { throw .unreachable("\(Self.maximumWaitingCalls) calls to libbitcoinkernel wait already") }
        defer { self.waiting.withLock { $0 -= 1 } }
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<Value, NodeError>, Never>) in
            self.queue.async {
                continuation.resume(
                    returning: Result { () throws(NodeError) in
                        guard let chain = self.confined.chain else { throw .unreachable("libbitcoinkernel is closed") }
                        return try work(chain)
                    })
            }
        }
        return try result.get()
    }

    // MARK: - Following

    public func run(_ onEvent: @Sendable @escaping (NodeEvent) async -> Void) async {
        var told: NodeState?
        while !Task.isCancelled {
            let state = await self.state(after: told)
            if state != told {
                told = state
                await onEvent(.state(state))
            }
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await self.wakeup.wait() }
                group.addTask { try? await Task.sleep(for: Self.longestSilence) }
                await group.next()
                group.cancelAll()
            }
        }
    }

    private func state(after told: NodeState?) async -> NodeState {
        let now = Int64(Date().timeIntervalSince1970)
        do throws(NodeError) {
            return try await self.onChain { (chain: KernelChain) throws(NodeError) in
                let height = chain.height
                let tip = chain.header(at: height).flatMap { BlockHeader(bytes: $0) }
                let fault = chain.observer.seen.withLock { $0.fault }
                return NodeState(
                    reach: fault.map { .refused("libbitcoinkernel cannot go on: \($0)") } ?? .reachable,
                    isSyncing: now - Int64(tip?.time ?? 0) > Self.maximumTipAge, blocks: height,
                    headers: max(chain.bestHeaderHeight, height), bestBlock: tip?.hash, version: "libbitcoinkernel",
                    invalidBranches: chain.invalidBranches, followedBy: "its own validation")
            }
        } catch {
            var state = told ?? NodeState(reach: .reachable)
            state.reach = .unreachable(error.description)
            return state
        }
    }

    // MARK: - Asking and changing

    public func answer(_ request: ObjectRequest) async -> ObjectAnswer {
        do throws(NodeError) {
            switch request {
            case .headers(let locator, let stop, _, let limit):
                guard limit > 0, locator.count <= ObjectRequest.maximumLocatorLength else { return .refused(.invalid) }
                return .headers(
                    try await self.onChain { (chain: KernelChain) throws(NodeError) in
                        Self.headers(
                            of: chain, after: locator, stop: stop, limit: min(limit, ObjectRequest.maximumHeaders))
                    })
            case .block(let hash):
                let block = try await self.onChain { (chain: KernelChain) throws(NodeError) in chain.block(hash) }
                guard let block else { return .refused(.notFound) }
                return .objects(.blocks, [block])
            case .transaction, .filterHeaders, .filters, .addresses, .peerRecords: return .refused(.unsupported)
            }
        } catch {
            return .refused(.unavailable)
        }
    }

    private static func headers(
        of chain: KernelChain, after locator: [BlockHash], stop: BlockHash, limit: UInt32
    ) -> [UInt8] {
        if locator.isEmpty, stop != .zero {
            return chain.activeHeight(of: stop).flatMap { chain.header(at: $0) } ?? []
        }
        let fork = locator.lazy.compactMap { chain.activeHeight(of: $0) }.first ?? 0
        var end = min(chain.height, fork + limit)
        if stop != .zero, let last = chain.activeHeight(of: stop), last > fork { end = min(end, last) }
        guard end > fork else { return [] }
        var run: [UInt8] = []
        for height in fork + 1...end {
            guard let header = chain.header(at: height) else { return run }
            run += header
        }
        return run
    }

    public func perform(_ change: NodeChange, because reason: String) async throws(NodeError) {
        guard self.allow.contains(change.permission) else { throw .notAllowed(change.permission) }
        defer { self.wakeup.wake() }
        switch change {
        case .submitHeader(let bytes):
            guard bytes.count == BlockHeader.size else { throw .malformed("a header has 80 bytes") }
            let verdict = try await self.onChain { (chain: KernelChain) throws(NodeError) in
                chain.process(header: bytes)
            }
            guard let verdict else { throw .malformed("libbitcoinkernel cannot read the header") }
            guard verdict.isValid else { throw .rejected(code: 0, message: verdict.reason) }
        case .submitBlock(let bytes):
            guard bytes.count <= BitcoinCoreNode.maximumBlockLength else {
                throw .tooLarge(limit: BitcoinCoreNode.maximumBlockLength)
            }
            guard let header = BlockHeader(bytes: bytes.prefix(BlockHeader.size)), bytes.count > BlockHeader.size else {
                throw .malformed("a block has more than 80 bytes")
            }
            let hash = header.hash
            let outcome = try await self.onChain { (chain: KernelChain) throws(NodeError) in
                chain.process(block: bytes, hash: hash)
            }
            switch outcome {
            case .stored, .known: break
            case .judged(let verdict):
                guard verdict.isValid else { throw .rejected(code: 0, message: verdict.reason) }
            case .unreadable: throw .malformed("libbitcoinkernel cannot read the block")
            case .failed: throw .rejected(code: 0, message: KernelLibrary.lastWords)
            }
        case .addPeer, .disconnectPeer, .sendTransaction:
            throw .refused("libbitcoinkernel has no peers and no memory pool")
        }
    }
}
