// SPDX-License-Identifier: MIT

public import Foundation
internal import Glibc
internal import Synchronization

/// A program that runs beside a test until its standard input ends.
public final class BackgroundProcess: Sendable {
    private let process: Mutex<Process>
    private let input: Mutex<FileHandle>
    private let outputPath: String
    private let errorPath: String

    public init(_ program: String, _ arguments: [String]) throws {
        let directory = TemporaryDirectory.make()
        self.outputPath = "\(directory)/out"
        self.errorPath = "\(directory)/err"
        for path in [self.outputPath, self.errorPath] {
            _ = FileManager.default.createFile(atPath: path, contents: nil)
        }
        let pipe = Pipe()
        // Programs that are started later must not hold our end open.
        _ = fcntl(pipe.fileHandleForWriting.fileDescriptor, F_SETFD, FD_CLOEXEC)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.standardInput = pipe
        process.standardOutput = FileHandle(forWritingAtPath: self.outputPath)
        process.standardError = FileHandle(forWritingAtPath: self.errorPath)
        try process.run()
        self.input = Mutex(pipe.fileHandleForWriting)
        self.process = Mutex(process)
    }

    deinit {
        self.kill()
    }

    public var output: String { (try? String(contentsOfFile: self.outputPath, encoding: .utf8)) ?? "" }
    public var errors: String { (try? String(contentsOfFile: self.errorPath, encoding: .utf8)) ?? "" }

    public var isRunning: Bool { self.process.withLock { $0.isRunning } }

    /// Hands text to the program.
    public func write(_ text: String) throws {
        try self.input.withLock { try $0.write(contentsOf: Data(text.utf8)) }
    }

    /// Ends the program at once.
    public func kill() {
        self.process.withLock { if $0.isRunning { _ = Glibc.kill($0.processIdentifier, SIGKILL) } }
    }

    /// Ends the standard input, and waits for the program to end; its exit status.
    public func finish() async throws -> Int32 {
        self.input.withLock { try? $0.close() }
        try await Condition.wait("the program ends") { self.process.withLock { !$0.isRunning } }
        return self.process.withLock { $0.terminationStatus }
    }
}

/// A TCP port on loopback that nobody uses at the moment, for programs that cannot choose one themselves.
public enum FreePort {
    public static func find() throws -> UInt16 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { Glibc.close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                bind(descriptor, pointer, length) == 0 && getsockname(descriptor, pointer, &length) == 0
            }
        }
        guard isBound else { throw Condition.Failure("no free port on loopback") }
        return UInt16(bigEndian: address.sin_port)
    }
}
