// SPDX-License-Identifier: MIT

public import AltNetControl
public import Foundation
internal import Glibc
internal import Synchronization

/// NOT FOR PUBLIC CONSUMPTION: real processes for tests, benchmarks and nothing else.
///
/// A real `altnetd` in a data directory of its own. It is killed when the value goes away.
public final class DaemonProcess: Sendable {
    public let dataDirectory: String
    public let control: ControlClient
    private let process: Mutex<Process>
    private let logPath: String

    /// Starts a daemon and waits until it answers.
    ///
    /// - Parameters:
    ///   - settings: as for `altnetd --set`.
    ///   - dataDirectory: one that was used before, or a new one.
    ///   - maximumFileKilobytes: no file may grow beyond this, as on a full disk.
    public static func start(
        network: String = "regtest", settings: [String: String] = [:], arguments: [String] = [],
        dataDirectory: String? = nil, programs: String = Programs.directory, maximumFileKilobytes: Int? = nil
    ) async throws -> DaemonProcess {
        let daemon = try DaemonProcess(
            network: network, settings: settings, arguments: arguments,
            dataDirectory: dataDirectory ?? TemporaryDirectory.make(), programs: programs,
            maximumFileKilobytes: maximumFileKilobytes)
        try await Condition.wait("altnetd answers") {
            guard daemon.isRunning else { throw Condition.Failure("altnetd ended: \(daemon.log)") }
            return (try? await daemon.control.status()) != nil
        }
        return daemon
    }

    private init(
        network: String, settings: [String: String], arguments: [String], dataDirectory: String, programs: String,
        maximumFileKilobytes: Int?
    ) throws {
        self.dataDirectory = dataDirectory
        self.control = ControlClient(socketPath: "\(dataDirectory)/\(network)/run/control.sock")
        self.logPath = "\(dataDirectory)/log-\(UUID().uuidString)"
        _ = FileManager.default.createFile(atPath: self.logPath, contents: nil)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        let limit = maximumFileKilobytes.map { "ulimit -f \($0); " } ?? ""
        process.arguments =
            [
                "-c", limit + "exec \"$@\"", "altnetd", "\(programs)/altnetd", "--network", network, "--data-directory",
                dataDirectory,
            ] + arguments
            // Several daemons at once: none may insist on the usual port.
            + settings.merging(["http.listen": "127.0.0.1:0"]) { given, _ in given }.sorted { $0.key < $1.key }.flatMap
        { ["--set", "\($0.key)=\($0.value)"] }
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle(forWritingAtPath: self.logPath)
        process.environment = ["HOME": dataDirectory, "PATH": ProcessInfo.processInfo.environment["PATH"] ?? ""]
        try process.run()
        self.process = Mutex(process)
    }

    deinit {
        self.process.withLock { if $0.isRunning { Glibc.kill($0.processIdentifier, SIGKILL) } }
    }

    public var isRunning: Bool { self.process.withLock { $0.isRunning } }
    /// The status that the daemon ended with; only once it has.
    public var exitStatus: Int32 { self.process.withLock { $0.terminationStatus } }
    public var processID: Int32 { self.process.withLock { $0.processIdentifier } }

    /// What the daemon logged.
    public var log: String { (try? String(contentsOfFile: self.logPath, encoding: .utf8)) ?? "" }

    /// Ends the daemon as a power cut would, and waits until it is gone.
    public func kill() async throws {
        self.process.withLock { _ = Glibc.kill($0.processIdentifier, SIGKILL) }
        try await Condition.wait("altnetd is gone") { !self.isRunning }
    }

    /// Ends the daemon in order; its exit status.
    @discardableResult
    public func stop() async throws -> Int32 {
        self.process.withLock { $0.terminate() }
        try await Condition.wait("altnetd stops") { !self.isRunning }
        return self.process.withLock { $0.terminationStatus }
    }

    /// The address at which a driver listens, once it does.
    public func listening(_ driver: String) async throws -> String {
        try await Condition.value("\(driver) listens") {
            try await self.control.drivers().first { $0.name == driver }?.listening.first
        }
    }

    /// Waits until the best chain has this height.
    public func reaches(_ height: UInt32, within limit: Duration = Condition.patience) async throws {
        try await Condition.wait("height \(height)", within: limit) {
            try await self.control.status().chain.height == height
        }
    }

    /// Memory that the daemon occupies, in bytes.
    public var residentBytes: Int {
        let status = (try? String(contentsOfFile: "/proc/\(self.processID)/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        return (line?.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap { Int($0) } ?? 0)
            * 1024
    }
}

/// Where the programs under test are.
public enum Programs {
    /// The directory of `ALTNET_TEST_PROGRAMS`, or else the one that this process was built into.
    public static let directory: String = {
        if let directory = ProcessInfo.processInfo.environment["ALTNET_TEST_PROGRAMS"] { return directory }
        let arguments = CommandLine.arguments
        let bundle = arguments.first { $0.hasSuffix(".xctest") } ?? arguments[0]
        return URL(fileURLWithPath: bundle).deletingLastPathComponent().path
    }()

    /// What a finished program left.
    public struct Result: Sendable {
        public let status: Int32
        public let output: String
        public let errors: String
    }

    /// Runs a program to its end.
    public static func run(_ program: String, _ arguments: [String], input: String = "") async throws -> Result {
        let process = Process()
        process.executableURL = URL(
            fileURLWithPath: program.contains("/") ? program : "\(Self.directory)/\(program)")
        process.arguments = arguments
        var environment = ProcessInfo.processInfo.environment
        for name in environment.keys where name.hasPrefix("ALTNET_") { environment[name] = nil }
        process.environment = environment
        let directory = TemporaryDirectory.make()
        for name in ["out", "err"] { _ = FileManager.default.createFile(atPath: "\(directory)/\(name)", contents: nil) }
        try input.write(toFile: "\(directory)/in", atomically: false, encoding: .utf8)
        process.standardInput = FileHandle(forReadingAtPath: "\(directory)/in")
        process.standardOutput = FileHandle(forWritingAtPath: "\(directory)/out")
        process.standardError = FileHandle(forWritingAtPath: "\(directory)/err")
        let status = try await withCheckedThrowingContinuation {
            (continuation: CheckedContinuation<Int32, any Error>) in
            process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
            do { try process.run() } catch { continuation.resume(throwing: error) }
        }
        return Result(
            status: status, output: try String(contentsOfFile: "\(directory)/out", encoding: .utf8),
            errors: try String(contentsOfFile: "\(directory)/err", encoding: .utf8))
    }
}

/// Directories that are removed when the process ends.
public enum TemporaryDirectory {
    private static let made = Mutex<[String]>([])

    public static func make() -> String {
        // Short, because Unix socket paths must be.
        let path = "/tmp/altnet-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        try? FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let isFirst = Self.made.withLock { made in
            made.append(path)
            return made.count == 1
        }
        if isFirst {
            atexit {
                for path in TemporaryDirectory.made.withLock({ $0 }) {
                    try? FileManager.default.removeItem(atPath: path)
                }
            }
        }
        return path
    }
}

/// Waits for what other processes do.
public enum Condition {
    /// How long is waited for what should come soon. Long, as nothing but a failure takes this time: a machine may run
    /// many tests at once, and a test that fails because others are busy tells nothing.
    public static let patience: Duration = .seconds(90)

    public struct Failure: Error, CustomStringConvertible {
        public let description: String

        public init(_ description: String) {
            self.description = description
        }
    }

    /// Looks again and again until it holds; fails when it does not in time.
    public static func wait(
        _ what: String, within limit: Duration = Condition.patience, _ holds: () async throws -> Bool
    ) async throws {
        _ = try await Self.value(what, within: limit) { try await holds() ? true : nil }
    }

    /// Looks again and again until there is a value; fails when there is none in time.
    public static func value<Value>(
        _ what: String, within limit: Duration = Condition.patience, _ look: () async throws -> Value?
    ) async throws -> Value {
        let deadline = ContinuousClock.now + limit
        while true {
            if let value = try await look() { return value }
            guard ContinuousClock.now < deadline else { throw Failure("not in \(limit): \(what)") }
            try await Task.sleep(for: .milliseconds(10))
        }
    }
}
