// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import CBitcoinKernel
internal import Synchronization

/// A chain state of libbitcoinkernel in a directory of its own.
///
/// Every call may block for long, so all of them belong on one queue; see ``KernelNode``.
final class KernelChain {
    /// The most branches below the active chain that are walked down to tell their length.
    static let maximumBranchLength = 10_000

    /// What the kernel tells while it works, from the thread that called it.
    final class Observer: Sendable {
        struct Seen {
            /// The block that is being processed, and what the kernel said about it.
            var wanted: BlockHash?
            var verdict: KernelVerdict?
            /// Blocks that were found invalid, oldest first.
            var invalid: [BlockHash] = []
            /// Why the kernel cannot go on.
            var fault: String?
        }

        let functions: KernelFunctions
        let seen = Mutex(Seen())

        init(functions: KernelFunctions) {
            self.functions = functions
        }

        func checked(_ block: UnsafeMutableRawPointer?, _ state: UnsafeRawPointer?) {
            // The block is a copy and ours to free; the state is not.
            guard let block else { return }
            defer { self.functions.blockDestroy(block) }
            guard let state, let hash = self.functions.takeHash(self.functions.blockGetHash(block)) else { return }
            let verdict = KernelVerdict(
                mode: self.functions.stateGetMode(state), result: self.functions.stateGetResult(state))
            self.seen.withLock { seen in
                if seen.wanted == hash { seen.verdict = verdict }
                guard verdict.mode == KernelVerdict.invalidMode, !seen.invalid.contains(hash) else { return }
                seen.invalid.append(hash)
                if seen.invalid.count > NodeState.maximumInvalidBranches { seen.invalid.removeFirst() }
            }
        }

        func failed(_ message: UnsafePointer<CChar>?, _ length: Int) {
            let bytes = UnsafeRawBufferPointer(start: message, count: message == nil ? 0 : length)
            let text = UntrustedText(bytes).description
            self.seen.withLock { $0.fault = text }
        }
    }

    /// Which of its two known forms `btck_chainstate_manager_process_block_header` has.
    enum HeaderForm: Hashable, Sendable {
        /// Fills a state that it is given: until 19 May 2026.
        case fillsState
        /// Returns a state: since then.
        case returnsState
    }

    let library: KernelLibrary
    private let functions: KernelFunctions
    let observer: Observer
    private let context: UnsafeMutableRawPointer
    private let manager: UnsafeMutableRawPointer
    private(set) var headerForm = HeaderForm.fillsState
    private var isOpen = true

    /// Opens or creates the chain state. Throws ``NodeError/refused(_:)`` with what the kernel said.
    init(library: KernelLibrary, network: Network, directory: String) throws(NodeError) {
        let functions = library.functions
        self.library = library
        self.functions = functions
        self.observer = Observer(functions: functions)
        self.context = try Self.makeContext(functions, network, self.observer)
        do throws(NodeError) {
            self.manager = try Self.makeManager(functions, self.context, directory)
        } catch {
            functions.contextDestroy(self.context)
            throw error
        }
        // Connects the blocks that were stored but not connected when the process ended.
        guard functions.managerImportBlocks(self.manager, nil, nil, 0) == 0 else {
            self.close()
            throw .refused("libbitcoinkernel cannot load the blocks in \(directory): \(KernelLibrary.lastWords)")
        }
        guard let form = self.findHeaderForm() else {
            self.close()
            throw .refused(
                "\(library.path) does not process headers in a way that this release of AltNet knows: it is of another "
                    + "version")
        }
        self.headerForm = form
    }

    deinit {
        self.close()
    }

    /// Writes what is in memory to the disk, and frees everything. Nothing else may be called afterwards.
    func close() {
        guard self.isOpen else { return }
        self.isOpen = false
        _ = self.functions.contextInterrupt(self.context)
        self.functions.managerDestroy(self.manager)
        self.functions.contextDestroy(self.context)
    }

    private static func makeContext(
        _ functions: KernelFunctions, _ network: Network, _ observer: Observer
    ) throws(NodeError) -> UnsafeMutableRawPointer {
        guard let parameters = functions.chainParametersCreate(network.kernelChainType),
            let options = functions.contextOptionsCreate()
        else { throw .refused("libbitcoinkernel does not know the network \(network.rawValue)") }
        defer {
            functions.contextOptionsDestroy(options)
            functions.chainParametersDestroy(parameters)
        }
        functions.contextOptionsSetChainparams(options, parameters)
        // The kernel keeps these until the context ends, and gives them back to be freed.
        var validation = altnet_btck_validation_callbacks()
        validation.user_data = Unmanaged.passRetained(observer).toOpaque()
        validation.user_data_destroy = { KernelChain.release($0) }
        validation.block_checked = { KernelChain.observer($0)?.checked($1, $2) }
        functions.contextOptionsSetValidationInterface(options, validation)
        var notifications = altnet_btck_notification_callbacks()
        notifications.user_data = Unmanaged.passRetained(observer).toOpaque()
        notifications.user_data_destroy = { KernelChain.release($0) }
        notifications.flush_error = { KernelChain.observer($0)?.failed($1, $2) }
        notifications.fatal_error = { KernelChain.observer($0)?.failed($1, $2) }
        functions.contextOptionsSetNotifications(options, notifications)
        guard let context = functions.contextCreate(options) else {
            throw .refused("libbitcoinkernel cannot start: \(KernelLibrary.lastWords)")
        }
        return context
    }

    private static func observer(_ pointer: UnsafeMutableRawPointer?) -> Observer? {
        pointer.map { Unmanaged<Observer>.fromOpaque($0).takeUnretainedValue() }
    }

    private static func release(_ pointer: UnsafeMutableRawPointer?) {
        if let pointer { Unmanaged<Observer>.fromOpaque(pointer).release() }
    }

    private static func makeManager(
        _ functions: KernelFunctions, _ context: UnsafeMutableRawPointer, _ directory: String
    ) throws(NodeError) -> UnsafeMutableRawPointer {
        let blocks = directory + "/blocks"
        guard
            let options = functions.managerOptionsCreate(
                context, directory, directory.utf8.count, blocks, blocks.utf8.count)
        else { throw .refused("libbitcoinkernel cannot use \(directory): \(KernelLibrary.lastWords)") }
        defer { functions.managerOptionsDestroy(options) }
        functions.managerOptionsSetWorkerThreads(options, 1)
        guard let manager = functions.managerCreate(options) else {
            throw .refused("libbitcoinkernel cannot open its chain in \(directory): \(KernelLibrary.lastWords)")
        }
        return manager
    }

    // MARK: - Headers and blocks in

    /// A header of zeros is invalid in every version, and each version tells it in its own way.
    private func findHeaderForm() -> HeaderForm? {
        self.functions.withHeader([UInt8](repeating: 0, count: BlockHeader.size)) { header -> HeaderForm? in
            guard let state = self.functions.stateCreate() else { return nil }
            defer { self.functions.stateDestroy(state) }
            let returned = self.functions.managerProcessBlockHeader(self.manager, header, state)
            if self.functions.stateGetMode(state) == KernelVerdict.invalidMode { return .fillsState }
            guard let returned else { return nil }
            defer { self.functions.stateDestroy(returned) }
            return self.functions.stateGetMode(returned) == KernelVerdict.invalidMode ? .returnsState : nil
        }
    }

    /// Judges a header and keeps it when it is valid; `nil` when the kernel cannot read it.
    func process(header bytes: [UInt8]) -> KernelVerdict? {
        self.functions.withHeader(bytes) { header in
            guard let given = self.functions.stateCreate() else { return nil }
            defer { self.functions.stateDestroy(given) }
            let returned = self.functions.managerProcessBlockHeader(self.manager, header, given)
            switch self.headerForm {
            case .fillsState: return self.verdict(given)
            case .returnsState:
                guard let returned else { return nil }
                defer { self.functions.stateDestroy(returned) }
                return self.verdict(returned)
            }
        }
    }

    private func verdict(_ state: UnsafeRawPointer) -> KernelVerdict {
        KernelVerdict(mode: self.functions.stateGetMode(state), result: self.functions.stateGetResult(state))
    }

    /// How a block was taken.
    enum BlockOutcome: Hashable, Sendable {
        /// It was validated now.
        case judged(KernelVerdict)
        /// It is stored, on a branch that is not the best one.
        case stored
        /// It was there already.
        case known
        /// The kernel cannot read it.
        case unreadable
        /// The kernel failed.
        case failed
    }

    func process(block bytes: [UInt8], hash: BlockHash) -> BlockOutcome {
        self.observer.seen.withLock {
            $0.wanted = hash
            $0.verdict = nil
        }
        let outcome = self.functions.withBlock(bytes) { block -> BlockOutcome? in
            var isNew: Int32 = 0
            let status = self.functions.managerProcessBlock(self.manager, block, &isNew)
            if let verdict = self.observer.seen.withLock({ $0.verdict }) { return .judged(verdict) }
            guard status == 0 else { return .failed }
            return isNew == 0 ? .known : .stored
        }
        self.observer.seen.withLock { $0.wanted = nil }
        return outcome ?? .unreadable
    }

    // MARK: - Looking

    private var chain: UnsafeRawPointer? { self.functions.managerGetActiveChain(self.manager) }

    /// The height of the active chain.
    var height: UInt32 { self.chain.flatMap { UInt32(exactly: self.functions.chainGetHeight($0)) } ?? 0 }

    /// The height of the best header.
    var bestHeaderHeight: UInt32 {
        self.functions.managerGetBestEntry(self.manager).flatMap {
            UInt32(exactly: self.functions.entryGetHeight($0))
        } ?? 0
    }

    /// The 80 bytes of the header at a height of the active chain.
    func header(at height: UInt32) -> [UInt8]? {
        guard let chain, let height = Int32(exactly: height),
            let entry = self.functions.chainGetByHeight(chain, height)
        else { return nil }
        return self.functions.takeHeader(self.functions.entryGetBlockHeader(entry))
    }

    /// The height of a block in the active chain; `nil` when it is not there.
    func activeHeight(of hash: BlockHash) -> UInt32? {
        guard let chain, let entry = self.entry(hash), self.functions.chainContains(chain, entry) != 0 else {
            return nil
        }
        return UInt32(exactly: self.functions.entryGetHeight(entry))
    }

    /// A stored block in consensus encoding.
    func block(_ hash: BlockHash) -> [UInt8]? {
        guard let entry = self.entry(hash), let block = self.functions.blockRead(self.manager, entry) else {
            return nil
        }
        defer { self.functions.blockDestroy(block) }
        return self.functions.bytes(ofBlock: block)
    }

    /// The branches whose tips were found invalid since the start, highest first.
    var invalidBranches: [NodeBranch] {
        let hashes = self.observer.seen.withLock { $0.invalid }
        return hashes.compactMap { self.branch($0) }.sorted { $0.height > $1.height }
    }

    private func branch(_ hash: BlockHash) -> NodeBranch? {
        guard let chain, let entry = self.entry(hash),
            let height = UInt32(exactly: self.functions.entryGetHeight(entry))
        else { return nil }
        var length: UInt32 = 0
        var walker: UnsafeRawPointer? = entry
        while let here = walker, self.functions.chainContains(chain, here) == 0, length < Self.maximumBranchLength {
            length += 1
            walker = self.functions.entryGetPrevious(here)
        }
        return NodeBranch(hash: hash, height: height, branchLength: length)
    }

    private func entry(_ hash: BlockHash) -> UnsafeRawPointer? {
        self.functions.withHash(hash) { self.functions.managerGetEntryByHash(self.manager, $0) }
    }
}
