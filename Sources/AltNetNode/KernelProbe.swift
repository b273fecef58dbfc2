// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import FoundationEssentials
internal import Glibc
internal import Subprocess
internal import SystemPackage

extension KernelLibrary {
    /// The first two blocks of a chain on regtest, made for this: a coinbase each, paying to `OP_TRUE`, ten minutes and
    /// twenty minutes after genesis.
    static let knownBlocks = [
        "0000002006226e46111a0b59caaf126043eb5bbf28c34f3a5e332a1fc7b2b73cf188910ff90344ddd9a16af4f07ed7af45a2e9ae"
            + "c7b443ae92f7bf6560bbaea78cb122b932e8494dffff7f2002000000" + "01"
            + "020000000001010000000000000000000000000000000000000000000000000000000000000000ffffffff025100feffffff"
            + "0200f2052a0100000001510000000000000000266a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b4"
            + "8bebd836974e8cf90120000000000000000000000000000000000000000000000000000000000000000000000000",
        "00000020f9672e32be5bdac88ffd2a15dc28739bdcfb9545bd04f2f7f7cf2d9a6c32510c22ea6542f9b592e9cc0b8d6e02eeac92"
            + "12efd6eda177ed157d9321680975d6788aea494dffff7f2001000000" + "01"
            + "020000000001010000000000000000000000000000000000000000000000000000000000000000ffffffff025200feffffff"
            + "0200f2052a0100000001510000000000000000266a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b4"
            + "8bebd836974e8cf90120000000000000000000000000000000000000000000000000000000000000000001000000",
    ].compactMap { Hex.decode($0) }

    /// Opens the library in this process and compares what it does with known answers: hashes and encodings, and a
    /// chain of two blocks in a temporary directory.
    ///
    /// A library of another version may crash while this runs; ``KernelProbe`` is for that.
    ///
    /// - Returns: one line about what was found.
    public static func probe(path: String?) throws(NodeError) -> String {
        let library = try Self.open(path: path)
        try library.testObjects()
        var template = Array("/tmp/altnet-kernel-XXXXXX".utf8CString)
        guard let name = mkdtemp(&template) else { throw .refused("cannot make a directory in /tmp") }
        let directory = String(cString: name)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let form = try library.testChain(directory)
        return form == .returnsState
            ? "\(library.path) works (interface since 19 May 2026)"
            : "\(library.path) works (interface before 19 May 2026)"
    }

    private func expect(_ holds: Bool, _ what: String) throws(NodeError) {
        guard holds else {
            throw .refused("\(self.path) gives a wrong answer (\(what)); it is of another version than we know")
        }
    }

    /// What needs no chain state, and is quick enough to be done at every start.
    func testObjects() throws(NodeError) {
        let genesis = Network.main.genesis
        try self.expect(
            self.functions.withHeader(genesis.bytes) { self.functions.takeHash(self.functions.blockHeaderGetHash($0)) }
                == genesis.hash, "the hash of a header")
        try self.expect(self.functions.withHash(genesis.hash) { self.functions.hash($0) } == genesis.hash, "a hash")
        for block in Self.knownBlocks {
            let seen = self.functions.withBlock(block) { object in
                (
                    self.functions.takeHash(self.functions.blockGetHash(object)),
                    self.functions.blockCountTransactions(object), self.functions.bytes(ofBlock: object)
                )
            }
            try self.expect(seen?.0 == BlockHeader(bytes: block.prefix(80))?.hash, "the hash of a block")
            try self.expect(seen?.1 == 1, "the number of transactions of a block")
            try self.expect(seen?.2 == block, "the bytes of a block")
            try self.expect(self.functions.withBlock(Array(block.dropLast())) { _ in true } == nil, "half a block")
        }
    }

    private func testChain(_ directory: String) throws(NodeError) -> KernelChain.HeaderForm {
        let blocks = Self.knownBlocks
        let headers = blocks.compactMap { BlockHeader(bytes: $0.prefix(BlockHeader.size)) }
        guard headers.count == 2 else { throw .malformed("the known blocks are not complete") }
        let form: KernelChain.HeaderForm
        do {
            let chain = try KernelChain(library: self, network: .regtest, directory: directory)
            defer { chain.close() }
            form = chain.headerForm
            try self.expect(chain.height == 0, "a new chain")
            try self.expect(chain.header(at: 0) == Network.regtest.genesis.bytes, "genesis")
            try self.expect(chain.process(header: headers[1].bytes)?.result == 5, "a header without predecessor")
            try self.expect(
                chain.process(block: blocks[0], hash: headers[0].hash) == .judged(KernelVerdict(mode: 0, result: 0)),
                "a valid block")
            try self.expect(chain.process(block: blocks[0], hash: headers[0].hash) == .known, "a known block")
            try self.expect(chain.process(header: headers[1].bytes)?.isValid == true, "a valid header")
            try self.expect(chain.height == 1 && chain.bestHeaderHeight == 2, "the heights of a chain")
            try self.expect(chain.block(headers[0].hash) == blocks[0], "a stored block")
            var spoiled = blocks[1]
            spoiled[spoiled.count - 1] ^= 1
            let outcome = chain.process(block: spoiled, hash: headers[1].hash)
            try self.expect(outcome == .judged(KernelVerdict(mode: 1, result: 4)), "a spoiled block")
        } catch let error as NodeError {
            throw error
        } catch {
            throw .refused("\(error)")
        }
        let again = try KernelChain(library: self, network: .regtest, directory: directory)
        defer { again.close() }
        try self.expect(again.height == 1 && again.activeHeight(of: headers[0].hash) == 1, "a chain that was closed")
        return form
    }
}

/// Tries a library in a process of its own, which may crash without harm.
///
/// The program is ours: it calls ``main(path:)`` and ends with what that returns.
public enum KernelProbe {
    /// How long the child may take. The test takes a fraction of a second; opening a library from a cold disk, more.
    public static let deadline: Duration = .seconds(60)
    /// Bytes of the child's output that are read.
    static let maximumOutput = 4096

    /// What the child process does: prints one line, and returns the status that it must exit with: 0 when the library
    /// works, 1 when it does not.
    public static func main(path: String?) -> Int32 {
        do throws(NodeError) {
            print(try KernelLibrary.probe(path: path))
            return 0
        } catch {
            print(error.description)
            return 1
        }
    }

    /// Runs the child process and returns its line. Throws ``NodeError/refused(_:)`` with a sentence for the operator
    /// when the library does not work, crashes, or takes too long.
    public static func run(program: String, arguments: [String]) async throws(NodeError) -> String {
        let (status, output): (TerminationStatus, String)
        do {
            (status, output) = try await withDeadline(Self.deadline) {
                let result = try await Subprocess.run(
                    .path(FilePath(program)), arguments: Arguments(arguments), input: .none,
                    output: .string(limit: Self.maximumOutput), error: .discarded)
                return (result.terminationStatus, result.standardOutput ?? "")
            }
        } catch is DeadlineExceeded {
            throw .refused("testing libbitcoinkernel took longer than \(Self.deadline.components.seconds) s")
        } catch {
            throw .refused("libbitcoinkernel cannot be tested: \(UntrustedText("\(error)"))")
        }
        let line = UntrustedText(output.utf8.prefix { $0 != UInt8(ascii: "\n") }).description
        switch status {
        case .exited(0): return line
        case .exited(1): throw .refused(line)
        case .exited(let code): throw .refused("testing libbitcoinkernel ended with status \(code)")
        case .signaled(let signal):
            throw .refused(
                "libbitcoinkernel crashed when it was tested (signal \(signal)): it is of another version than this "
                    + "release of AltNet knows")
        }
    }
}
