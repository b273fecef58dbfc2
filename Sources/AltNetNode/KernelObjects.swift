// SPDX-License-Identifier: MIT

internal import AltNetBitcoin
internal import CBitcoinKernel

// Bytes in and out of the kernel's objects. Nothing here needs a chain state.
extension KernelFunctions {
    /// The hash of a `btck_BlockHash` that is not ours to free.
    func hash(_ object: UnsafeRawPointer?) -> BlockHash? {
        guard let object else { return nil }
        var bytes = [UInt8](repeating: 0, count: 32)
        self.blockHashToBytes(object, &bytes)
        return BlockHash(bytes: bytes)
    }

    /// The hash of a `btck_BlockHash` that is freed here.
    func takeHash(_ object: UnsafeMutableRawPointer?) -> BlockHash? {
        defer { if let object { self.blockHashDestroy(object) } }
        return self.hash(object.map { UnsafeRawPointer($0) })
    }

    /// Lends a `btck_BlockHash`.
    func withHash<Value>(_ hash: BlockHash, _ work: (UnsafeMutableRawPointer) -> Value?) -> Value? {
        guard let object = self.blockHashCreate(hash.bytes) else { return nil }
        defer { self.blockHashDestroy(object) }
        return work(object)
    }

    /// Lends a `btck_BlockHeader`; `nil` when the kernel cannot read it.
    func withHeader<Value>(_ bytes: [UInt8], _ work: (UnsafeMutableRawPointer) -> Value?) -> Value? {
        // The kernel ends the process when the length is another one.
        guard bytes.count == BlockHeader.size, let object = self.blockHeaderCreate(bytes, bytes.count) else {
            return nil
        }
        defer { self.blockHeaderDestroy(object) }
        return work(object)
    }

    /// Lends a `btck_Block`; `nil` when the kernel cannot read it.
    func withBlock<Value>(_ bytes: [UInt8], _ work: (UnsafeMutableRawPointer) -> Value?) -> Value? {
        guard let object = self.blockCreate(bytes, bytes.count) else { return nil }
        defer { self.blockDestroy(object) }
        return work(object)
    }

    /// The 80 bytes of a `btck_BlockHeader` that is freed here.
    func takeHeader(_ object: UnsafeMutableRawPointer?) -> [UInt8]? {
        guard let object else { return nil }
        defer { self.blockHeaderDestroy(object) }
        var bytes = [UInt8](repeating: 0, count: BlockHeader.size)
        return self.blockHeaderToBytes(object, &bytes) == 0 ? bytes : nil
    }

    /// The consensus encoding of a `btck_Block`.
    func bytes(ofBlock object: UnsafeRawPointer) -> [UInt8]? {
        final class Sink { var bytes: [UInt8] = [] }
        let sink = Sink()
        let status = withExtendedLifetime(sink) {
            self.blockToBytes(
                object,
                { bytes, size, sink in
                    guard let sink else { return 1 }
                    Unmanaged<Sink>.fromOpaque(sink).takeUnretainedValue().bytes += UnsafeRawBufferPointer(
                        start: bytes, count: size)
                    return 0
                }, Unmanaged.passUnretained(sink).toOpaque())
        }
        return status == 0 ? sink.bytes : nil
    }
}

extension Network {
    /// `btck_ChainType`.
    var kernelChainType: UInt8 {
        switch self {
        case .main: 0
        case .testnet3: 1
        case .testnet4: 2
        case .signet: 3
        case .regtest: 4
        }
    }
}

/// How the kernel judged a block or header: `btck_ValidationMode` and `btck_BlockValidationResult`.
struct KernelVerdict: Hashable, Sendable {
    let mode: UInt8
    let result: UInt32

    static let validMode: UInt8 = 0
    static let invalidMode: UInt8 = 1

    var isValid: Bool { self.mode == Self.validMode }

    /// The reason in words, for the operator.
    var reason: String {
        switch self.result {
        case 1: "it breaks a consensus rule"
        case 2: "it was found invalid before"
        case 3: "its header is invalid"
        case 4: "its data is not what its header commits to"
        case 5: "its predecessor is not known"
        case 6: "it builds on an invalid block"
        case 7: "its time is too far in the future"
        case 8: "its chain has too little work"
        default: self.mode == Self.invalidMode ? "it is invalid" : "the kernel met an error of its own"
        }
    }
}
