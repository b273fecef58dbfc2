// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import CBitcoinKernel
internal import Glibc
internal import Synchronization

/// libbitcoinkernel, opened at run time.
///
/// The library has no stable interface yet: names may go, and the arguments of a name may change without the name
/// changing. So every function that we call is looked up first, ``probe(path:)`` compares what the functions do with
/// known answers, and ``KernelProbe`` runs that in a process of its own, because another interface may crash.
public final class KernelLibrary: @unchecked Sendable {
    // Sendable because everything is set once, in `init`, and the functions may be called by any thread.

    /// Where the library is looked for when no path is given: what its own build installs.
    public static let defaultNames = ["libbitcoinkernel.so", "libbitcoinkernel.so.0"]

    /// The path or name that it was opened by.
    public let path: String
    let functions: KernelFunctions

    /// Libraries stay open until the process ends: the kernel has threads and static objects.
    private static let opened = Mutex<[String: KernelLibrary]>([:])
    /// What the kernel logged last, to explain a failure; nobody else sees its log.
    private static let log = Mutex<[String]>([])
    static let keptLogLines = 20

    /// Opens the library and looks all functions up. Throws ``NodeError/refused(_:)`` when it is not there, is no
    /// library, or lacks one.
    ///
    /// - Parameter path: of the library; `nil` to look for ``defaultNames`` where the system's loader looks.
    public static func open(path: String?) throws(NodeError) -> KernelLibrary {
        let names = path.map { [$0] } ?? Self.defaultNames
        for name in names {
            if let library = Self.opened.withLock({ $0[name] }) { return library }
        }
        var reasons: [String] = []
        for name in names {
            guard let handle = dlopen(name, RTLD_NOW | RTLD_LOCAL) else {
                reasons.append(dlerror().map { UntrustedText(String(cString: $0)).description } ?? name)
                continue
            }
            let library = try KernelLibrary(path: name, handle: handle)
            Self.opened.withLock { $0[name] = library }
            return library
        }
        throw .refused(
            "libbitcoinkernel cannot be loaded (\(reasons.joined(separator: "; "))); "
                + "install it, or set the node's library to its path")
    }

    private init(path: String, handle: UnsafeMutableRawPointer) throws(NodeError) {
        self.path = path
        self.functions = try KernelFunctions { (name: String) throws(NodeError) in
            guard let symbol = dlsym(handle, name) else {
                throw .refused(
                    "\(path) has no function \(name): it is no libbitcoinkernel, or one of a version that this release "
                        + "of AltNet does not know")
            }
            return symbol
        }
        // Without a connection the kernel keeps its log in memory, for ever.
        _ = self.functions.loggingConnectionCreate(
            { _, message, length in KernelLibrary.logged(message, length) }, nil, nil)
    }

    private static func logged(_ message: UnsafePointer<CChar>?, _ length: Int) {
        guard let message else { return }
        let bytes = UnsafeRawBufferPointer(start: message, count: length)
        let line = UntrustedText(bytes.prefix { $0 != UInt8(ascii: "\n") }).description
        Self.log.withLock { log in
            log.append(line)
            if log.count > Self.keptLogLines { log.removeFirst() }
        }
    }

    /// What the kernel said when something failed: its last error, or its last line.
    static var lastWords: String {
        Self.log.withLock { log in log.last { $0.contains("rror") } ?? log.last ?? "no reason given" }
    }
}

/// The functions of libbitcoinkernel that we call. One property per function, named as it is without `btck_`.
struct KernelFunctions {
    typealias Destroy = altnet_btck_destroy
    typealias Create = altnet_btck_create

    let loggingConnectionCreate: altnet_btck_logging_connection_create
    let chainParametersCreate: altnet_btck_chain_parameters_create
    let chainParametersDestroy: Destroy
    let contextOptionsCreate: Create
    let contextOptionsSetChainparams: altnet_btck_context_options_set_chainparams
    let contextOptionsSetNotifications: altnet_btck_context_options_set_notifications
    let contextOptionsSetValidationInterface: altnet_btck_context_options_set_validation_interface
    let contextOptionsDestroy: Destroy
    let contextCreate: altnet_btck_context_create
    let contextInterrupt: altnet_btck_context_interrupt
    let contextDestroy: Destroy
    let managerOptionsCreate: altnet_btck_chainstate_manager_options_create
    let managerOptionsSetWorkerThreads: altnet_btck_chainstate_manager_options_set_int
    let managerOptionsDestroy: Destroy
    let managerCreate: altnet_btck_chainstate_manager_create
    let managerImportBlocks: altnet_btck_chainstate_manager_import_blocks
    let managerGetActiveChain: altnet_btck_chainstate_manager_get
    let managerGetBestEntry: altnet_btck_chainstate_manager_get
    let managerGetEntryByHash: altnet_btck_chainstate_manager_get_block_tree_entry_by_hash
    let managerProcessBlock: altnet_btck_chainstate_manager_process_block
    let managerProcessBlockHeader: altnet_btck_chainstate_manager_process_block_header
    let managerDestroy: Destroy
    let chainGetHeight: altnet_btck_height
    let chainGetByHeight: altnet_btck_chain_get_by_height
    let chainContains: altnet_btck_chain_contains
    let entryGetHeight: altnet_btck_height
    let entryGetPrevious: altnet_btck_chainstate_manager_get
    let entryGetBlockHash: altnet_btck_block_tree_entry_get_block_hash
    let entryGetBlockHeader: altnet_btck_get_owned
    let blockHashCreate: altnet_btck_block_hash_create
    let blockHashToBytes: altnet_btck_block_hash_to_bytes
    let blockHashDestroy: Destroy
    let blockHeaderCreate: altnet_btck_parse
    let blockHeaderGetHash: altnet_btck_get_owned
    let blockHeaderToBytes: altnet_btck_block_header_to_bytes
    let blockHeaderDestroy: Destroy
    let blockCreate: altnet_btck_parse
    let blockRead: altnet_btck_block_read
    let blockGetHash: altnet_btck_get_owned
    let blockToBytes: altnet_btck_block_to_bytes
    let blockCountTransactions: altnet_btck_count
    let blockDestroy: Destroy
    let stateCreate: Create
    let stateGetMode: altnet_btck_validation_mode
    let stateGetResult: altnet_btck_validation_result
    let stateDestroy: Destroy

    init(_ symbol: (String) throws(NodeError) -> UnsafeMutableRawPointer) throws(NodeError) {
        func find<Function>(_ name: String) throws(NodeError) -> Function {
            unsafeBitCast(try symbol("btck_" + name), to: Function.self)
        }
        self.loggingConnectionCreate = try find("logging_connection_create")
        self.chainParametersCreate = try find("chain_parameters_create")
        self.chainParametersDestroy = try find("chain_parameters_destroy")
        self.contextOptionsCreate = try find("context_options_create")
        self.contextOptionsSetChainparams = try find("context_options_set_chainparams")
        self.contextOptionsSetNotifications = try find("context_options_set_notifications")
        self.contextOptionsSetValidationInterface = try find("context_options_set_validation_interface")
        self.contextOptionsDestroy = try find("context_options_destroy")
        self.contextCreate = try find("context_create")
        self.contextInterrupt = try find("context_interrupt")
        self.contextDestroy = try find("context_destroy")
        self.managerOptionsCreate = try find("chainstate_manager_options_create")
        self.managerOptionsSetWorkerThreads = try find("chainstate_manager_options_set_worker_threads_num")
        self.managerOptionsDestroy = try find("chainstate_manager_options_destroy")
        self.managerCreate = try find("chainstate_manager_create")
        self.managerImportBlocks = try find("chainstate_manager_import_blocks")
        self.managerGetActiveChain = try find("chainstate_manager_get_active_chain")
        self.managerGetBestEntry = try find("chainstate_manager_get_best_entry")
        self.managerGetEntryByHash = try find("chainstate_manager_get_block_tree_entry_by_hash")
        self.managerProcessBlock = try find("chainstate_manager_process_block")
        self.managerProcessBlockHeader = try find("chainstate_manager_process_block_header")
        self.managerDestroy = try find("chainstate_manager_destroy")
        self.chainGetHeight = try find("chain_get_height")
        self.chainGetByHeight = try find("chain_get_by_height")
        self.chainContains = try find("chain_contains")
        self.entryGetHeight = try find("block_tree_entry_get_height")
        self.entryGetPrevious = try find("block_tree_entry_get_previous")
        self.entryGetBlockHash = try find("block_tree_entry_get_block_hash")
        self.entryGetBlockHeader = try find("block_tree_entry_get_block_header")
        self.blockHashCreate = try find("block_hash_create")
        self.blockHashToBytes = try find("block_hash_to_bytes")
        self.blockHashDestroy = try find("block_hash_destroy")
        self.blockHeaderCreate = try find("block_header_create")
        self.blockHeaderGetHash = try find("block_header_get_hash")
        self.blockHeaderToBytes = try find("block_header_to_bytes")
        self.blockHeaderDestroy = try find("block_header_destroy")
        self.blockCreate = try find("block_create")
        self.blockRead = try find("block_read")
        self.blockGetHash = try find("block_get_hash")
        self.blockToBytes = try find("block_to_bytes")
        self.blockCountTransactions = try find("block_count_transactions")
        self.blockDestroy = try find("block_destroy")
        self.stateCreate = try find("block_validation_state_create")
        self.stateGetMode = try find("block_validation_state_get_validation_mode")
        self.stateGetResult = try find("block_validation_state_get_block_validation_result")
        self.stateDestroy = try find("block_validation_state_destroy")
    }
}
