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
        self.process.withLock { if $0.isRunning { _ = Glibc.kill($0.processIdentifier, SIGKILL) } }
    }

    public var output: String { (try? String(contentsOfFile: self.outputPath, encoding: .utf8)) ?? "" }
    public var errors: String { (try? String(contentsOfFile: self.errorPath, encoding: .utf8)) ?? "" }

    /// Ends the standard input, and waits for the program to end; its exit status.
    public func finish() async throws -> Int32 {
        self.input.withLock { try? $0.close() }
        try await Condition.wait("the program ends") { self.process.withLock { !$0.isRunning } }
        return self.process.withLock { $0.terminationStatus }
    }
}
