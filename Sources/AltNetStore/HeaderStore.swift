// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
public import AltNetHeaderChain
internal import CZlib

/// The raw headers of a ``HeaderChain`` in one file, in the order of its nodes.
///
/// The file only ever grows, one frame per batch: a crash at any instant leaves at most one broken frame at the end,
/// which nobody was told was stored, and which the next start cuts off. A frame that is broken and not the last one
/// is damage, which is reported and never repaired silently.
///
///     file  = preamble frame*
///     preamble = "ALTNETHD" version:u32 network:u32 startHeight:u32 startHeader:80 crc:u32     (104 bytes)
///     frame = "FRAM" count:u32 ~count:u32 crc:u32 header*count   crc = CRC-32 of count and headers; all little-endian
///
/// The count stands there twice, because a wrong one would make a damaged frame look like an unfinished last one.
///
/// Not thread-safe: one owner at a time, as the orchestrator's actor is.
public final class HeaderStore {
    static let magic = Array("ALTNETHD".utf8)
    static let version: UInt32 = 1
    static let preambleSize = 104
    static let frameMagic = Array("FRAM".utf8)
    static let frameOverhead = 16
    /// The most headers in one frame: four batches. A larger count in a file is damage, and is not allocated for.
    static let maximumFrame = 32_768

    /// Where a run of nodes lies in the file.
    private struct Frame {
        let firstNode: UInt32
        let offset: Int
    }

    private let file: SystemFile
    private var frames: [Frame] = []
    private var end: Int
    private var nodes: UInt32 = 1
    private let startHeader: [UInt8]
    /// What could not be written, and why: nothing else may follow before it, or nodes would lack their parents.
    private var unwritten: (first: [UInt8], failure: StoreError)?

    /// Opens the store of a data directory, or begins a new one, and reads its headers into a chain.
    ///
    /// - Parameter chain: an empty chain of the network and the start that the store is for.
    /// - Throws: ``StoreError`` `.mismatch`, `.newerVersion`, `.damaged` or `.system`.
    public init(in directory: borrowing DataDirectory, loadingInto chain: inout HeaderChain) throws(StoreError) {
        let file = try SystemFile(path: directory.file("headers.dat"))
        let preamble = Self.preamble(network: chain.network, start: chain.start)
        let size = try file.size()
        if size < Self.preambleSize {
            // New, or killed before the preamble was complete: no header can have been acknowledged.
            let found = try Self.read(file, count: size, at: 0)
            guard preamble.starts(with: found) || found.allSatisfy({ $0 == 0 }) else {
                throw StoreError(.damaged, "\(file.path) is not a header file of AltNet")
            }
            try file.truncate(to: 0)
            try file.write(preamble, at: 0)
            try file.synchronize()
            try directory.synchronize()
        } else {
            try Self.check(file, against: preamble)
        }
        self.file = file
        self.startHeader = chain.startHeader.bytes
        self.end = Self.preambleSize
        chain.reserve(max(0, size - Self.preambleSize) / BlockHeader.size)
        try self.load(into: &chain, size: max(size, Self.preambleSize))
    }

    /// Appends the headers of the next nodes. They survive the end of the process from here on, and a loss of power
    /// from ``synchronize()`` on.
    ///
    /// When the disk is full or fails, the file is what it was before, and every other append fails alike until the
    /// one that failed is made up for.
    public func append(_ headers: [UInt8]) throws(StoreError) {
        let first = Array(headers.prefix(BlockHeader.size))
        if let unwritten, unwritten.first != first { throw unwritten.failure }
        let before = (end: self.end, nodes: self.nodes, frames: self.frames.count)
        do throws(StoreError) {
            var rest = headers[...]
            while !rest.isEmpty {
                let part = rest.prefix(Self.maximumFrame * BlockHeader.size)
                rest = rest.dropFirst(part.count)
                try self.appendFrame(part)
            }
            self.unwritten = nil
        } catch {
            self.unwritten = (first, error)
            (self.end, self.nodes) = (before.end, before.nodes)
            self.frames.removeLast(self.frames.count - before.frames)
            try? self.file.truncate(to: self.end)
            throw error
        }
    }

    /// Returns when all that was appended is on the disk.
    public func synchronize() throws(StoreError) {
        try self.file.synchronize()
    }

    /// A handle that flushes the file from another thread while the store goes on.
    public var synchronizer: Synchronizer { Synchronizer(file: self.file) }

    /// Flushes a store's file.
    public struct Synchronizer: Sendable {
        fileprivate let file: SystemFile

        /// Returns when all that was appended before the call is on the disk.
        public func synchronize() throws(StoreError) {
            try self.file.synchronize()
        }
    }

    /// The raw headers of some nodes, concatenated in the order given. Neighbours in the file are read at once.
    public func headers(of nodes: some Sequence<HeaderNode>) throws(StoreError) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(nodes.underestimatedCount * BlockHeader.size)
        var run: (offset: Int, count: Int)?
        for node in nodes {
            guard node != .start else {
                if let open = run { try self.read(open, into: &bytes) }
                run = nil
                bytes += self.startHeader
                continue
            }
            let offset = try self.offset(of: node)
            if let open = run {
                if open.offset + open.count == offset {
                    run = (open.offset, open.count + BlockHeader.size)
                    continue
                }
                try self.read(open, into: &bytes)
            }
            run = (offset, BlockHeader.size)
        }
        if let open = run { try self.read(open, into: &bytes) }
        return bytes
    }

    // MARK: - Inside

    private func read(_ run: (offset: Int, count: Int), into bytes: inout [UInt8]) throws(StoreError) {
        var part = [UInt8](repeating: 0, count: run.count)
        var failure: StoreError?
        let count = part.withUnsafeMutableBytes { buffer -> Int in
            do throws(StoreError) {
                return try self.file.read(into: buffer, at: run.offset)
            } catch {
                failure = error
                return 0
            }
        }
        if let failure { throw failure }
        guard count == run.count else {
            throw StoreError(.damaged, "\(self.file.path) has become shorter while it was in use")
        }
        bytes += part
    }

    private func offset(of node: HeaderNode) throws(StoreError) -> Int {
        guard node.number < self.nodes else {
            throw self.unwritten?.failure
                ?? StoreError(.system, "\(self.file.path) has \(self.nodes) headers and lacks number \(node.number)")
        }
        var low = 0
        var high = self.frames.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if self.frames[middle].firstNode <= node.number { low = middle } else { high = middle }
        }
        let frame = self.frames[low]
        return frame.offset + Int(node.number - frame.firstNode) * BlockHeader.size
    }

    private func appendFrame(_ headers: ArraySlice<UInt8>) throws(StoreError) {
        let count = UInt32(headers.count / BlockHeader.size)
        var frame: [UInt8] = []
        frame.reserveCapacity(Self.frameOverhead + headers.count)
        frame += Self.frameMagic
        frame.appendLittleEndian(count)
        frame.appendLittleEndian(~count)
        frame.appendLittleEndian(Self.checksum(count: count, headers: headers))
        frame += headers
        try self.file.write(frame, at: self.end)
        self.frames.append(Frame(firstNode: self.nodes, offset: self.end + Self.frameOverhead))
        self.nodes += count
        self.end += frame.count
    }

    private static func checksum(count: UInt32, headers: ArraySlice<UInt8>) -> UInt32 {
        headers.withUnsafeBytes { Self.checksum(count: count, headers: $0) }
    }

    private static func checksum(count: UInt32, headers: UnsafeRawBufferPointer) -> UInt32 {
        let seed = withUnsafeBytes(of: count.littleEndian) { Self.crc(0, $0) }
        return UInt32(truncatingIfNeeded: Self.crc(seed, headers))
    }

    private static func crc(_ seed: UInt, _ bytes: UnsafeRawBufferPointer) -> UInt {
        crc32_z(seed, bytes.bindMemory(to: UInt8.self).baseAddress, bytes.count)
    }

    private static func preamble(network: Network, start: HeaderChainStart) -> [UInt8] {
        var bytes = Self.magic
        bytes.appendLittleEndian(Self.version)
        bytes += network.magic
        switch start {
        case .genesis:
            bytes.appendLittleEndian(UInt32(0))
            network.genesis.append(to: &bytes)
        case .trusted(let height, let header):
            bytes.appendLittleEndian(height)
            header.append(to: &bytes)
        }
        bytes.appendLittleEndian(UInt32(truncatingIfNeeded: bytes.withUnsafeBytes { Self.crc(0, $0) }))
        return bytes
    }

    private static func check(_ file: SystemFile, against expected: [UInt8]) throws(StoreError) {
        let found = try Self.read(file, count: Self.preambleSize, at: 0)
        guard found != expected else { return }
        guard found.starts(with: Self.magic) else {
            throw StoreError(.damaged, "\(file.path) is not a header file of AltNet")
        }
        let version = found[8..<12].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        guard version <= Self.version else {
            throw StoreError(
                .newerVersion, "\(file.path) has format \(version), this version of AltNet knows \(Self.version)")
        }
        let checksum = UInt32(truncatingIfNeeded: found.prefix(100).withUnsafeBytes { Self.crc(0, $0) })
        guard found[100..<104].reversed().reduce(UInt32(0), { $0 << 8 | UInt32($1) }) == checksum else {
            throw StoreError(
                .damaged, "\(file.path) is damaged in its first \(Self.preambleSize) bytes; \(Self.advice)")
        }
        guard found[12..<16] == expected[12..<16] else {
            throw StoreError(.mismatch, "\(file.path) belongs to another Bitcoin network")
        }
        throw StoreError(
            .mismatch,
            "\(file.path) starts at another header; give the same start as before, or use another data directory")
    }

    private static func read(_ file: SystemFile, count: Int, at offset: Int) throws(StoreError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var failure: StoreError?
        bytes.withUnsafeMutableBytes { buffer in
            do throws(StoreError) { _ = try file.read(into: buffer, at: offset) } catch { failure = error }
        }
        if let failure { throw failure }
        return bytes
    }
}

extension HeaderStore {
    private static var advice: String { "move it away and let AltNet fetch the headers again" }

    /// Why a frame cannot be used.
    private enum Flaw { case magic, count, incomplete, checksum }

    /// Reads every frame into the chain, and cuts off a broken last one.
    private func load(into chain: inout HeaderChain, size: Int) throws(StoreError) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: Self.frameOverhead + Self.maximumFrame * BlockHeader.size, alignment: 8)
        defer { buffer.deallocate() }
        var restorer = Restorer()
        while self.end < size {
            let overhead = UnsafeMutableRawBufferPointer(rebasing: buffer[0..<Self.frameOverhead])
            let read = try self.file.read(into: overhead, at: self.end)
            var flaw: Flaw?
            var count = 0
            if read < Self.frameOverhead {
                flaw = .incomplete
            } else if !overhead.starts(with: Self.frameMagic) {
                flaw = .magic
            } else {
                let number = UInt32(littleEndian: overhead.load(fromByteOffset: 4, as: UInt32.self))
                let complement = UInt32(littleEndian: overhead.load(fromByteOffset: 8, as: UInt32.self))
                count = Int(min(number, UInt32(Self.maximumFrame)))
                flaw = number == 0 || number > Self.maximumFrame || complement != ~number ? .count : nil
            }
            let bodySize = count * BlockHeader.size
            if flaw == nil {
                let body = UnsafeMutableRawBufferPointer(
                    rebasing: buffer[Self.frameOverhead..<Self.frameOverhead + bodySize])
                let bodyRead = try self.file.read(into: body, at: self.end + Self.frameOverhead)
                if bodyRead < bodySize {
                    flaw = .incomplete
                } else if UInt32(littleEndian: overhead.load(fromByteOffset: 12, as: UInt32.self))
                    != Self.checksum(count: UInt32(count), headers: UnsafeRawBufferPointer(body))
                {
                    flaw = .checksum
                } else {
                    guard restorer.add(UnsafeRawBufferPointer(body), to: &chain), restorer.finish(&chain) else {
                        throw StoreError(
                            .damaged,
                            "\(self.file.path): the headers at byte \(self.end) do not follow from those before")
                    }
                }
            }
            if let flaw {
                try self.cut(flaw, bodySize: bodySize, size: size)
                break
            }
            self.frames.append(Frame(firstNode: self.nodes, offset: self.end + Self.frameOverhead))
            self.nodes += UInt32(count)
            self.end += Self.frameOverhead + bodySize
        }
        chain.finishRestoring()
    }

    /// Cuts a broken frame off if it can only be the unfinished last one.
    private func cut(_ flaw: Flaw, bodySize: Int, size: Int) throws(StoreError) {
        let isLast =
            switch flaw {
            case .incomplete: true
            case .checksum: self.end + Self.frameOverhead + bodySize == size
            // A file system may have made room without having written: then no byte of any header is there.
            case .magic, .count: try self.isZero(from: self.end + Self.frameOverhead, to: size)
            }
        guard isLast else {
            throw StoreError(
                .damaged,
                "\(self.file.path) is damaged at byte \(self.end) of \(size); \(Self.advice)")
        }
        try self.file.truncate(to: self.end)
        try self.file.synchronize()
    }

    private func isZero(from start: Int, to end: Int) throws(StoreError) -> Bool {
        var offset = start
        while offset < end {
            let part = try Self.read(self.file, count: min(65_536, end - offset), at: offset)
            guard part.allSatisfy({ $0 == 0 }) else { return false }
            offset += part.count
        }
        return true
    }

    /// Feeds the headers of a frame to a chain. A header's hash stands in its successor, so only the last of a run is
    /// hashed.
    private struct Restorer {
        private var pending: (header: BlockHeader, work: Work)?
        private var bits: CompactTarget?
        private var work = Work.zero

        mutating func add(_ headers: UnsafeRawBufferPointer, to chain: inout HeaderChain) -> Bool {
            for start in stride(from: 0, to: headers.count, by: BlockHeader.size) {
                let header = BlockHeader(
                    unaligned: UnsafeRawBufferPointer(rebasing: headers[start..<start + BlockHeader.size]))
                if let (previous, work) = self.pending {
                    // The successor's word for the hash is only as good as its own place in the tree.
                    let hash = chain.find(header.previous) == nil ? header.previous : previous.hash
                    guard Self.restore(previous, hash: hash, work: work, to: &chain) else { return false }
                }
                if header.bits != self.bits {
                    self.bits = header.bits
                    self.work = header.bits.work
                }
                self.pending = (header, self.work)
            }
            return true
        }

        mutating func finish(_ chain: inout HeaderChain) -> Bool {
            guard let (header, work) = self.pending else { return true }
            self.pending = nil
            return Self.restore(header, hash: header.hash, work: work, to: &chain)
        }

        private static func restore(
            _ header: BlockHeader, hash: BlockHash, work: Work, to chain: inout HeaderChain
        ) -> Bool {
            chain.restore(
                hash: hash, previous: header.previous, time: header.time, bits: header.bits, workOfHeader: work)
        }
    }
}
