// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import Glibc
internal import Subprocess
internal import SystemPackage

/// Runs a program once, with something on its standard input and a time limit.
enum ProgramRun {
    /// How it ended.
    enum Ending: Hashable, Sendable {
        case exited(Int32, lastWords: String)
        case killed(signal: Int32, lastWords: String)
        case tookTooLong
        case notStarted(String)
    }

    /// The last line on standard output or standard error is kept up to here; all else that the program says is thrown away.
    static let maximumLineLength = 200

    /// All that a program gets of our environment: not our settings, and no secrets of others.
    static let environmentNames = ["PATH", "HOME", "LANG", "TZ", "USER", "LOGNAME"]

    /// Runs until the program ends. At the time limit, or when the task is cancelled, the program and the children in
    /// its process group are killed.
    static func run(_ arguments: [String], input: [UInt8], limit: Duration) async -> Ending {
        await withTaskGroup(of: Ending.self) { group in
            group.addTask { await Self.runWithoutLimit(arguments, input) }
            group.addTask {
                try? await Task.sleep(for: limit)
                return .tookTooLong
            }
            let first = await group.next() ?? .tookTooLong
            group.cancelAll()
            return first
        }
    }

    private static func runWithoutLimit(_ arguments: [String], _ input: [UInt8]) async -> Ending {
        guard let program = arguments.first else { return .notStarted("there is no program to start") }
        var options = PlatformOptions()
        // A process group of its own, so that its children end with it. Killed at once: a script that is asked politely
        // may end and leave children behind that do not listen.
        options.processGroupID = 0
        options.teardownSequence = [.send(signal: .kill, toProcessGroup: true, allowedDurationToNextStep: .zero)]
        do {
            let result = try await Subprocess.run(
                .path(FilePath(program)), arguments: Arguments(Array(arguments.dropFirst())),
                environment: Self.environment, platformOptions: options, input: .inputWriter, output: .sequence,
                error: .combinedWithOutput
            ) { execution in
                // Both at once: a program that talks before it listens must not wait for us while we wait for it.
                async let words = Self.lastLine(execution.standardOutput)
                // One that does not want to know more ends its input early, and is judged by its exit status.
                _ = try? await execution.standardInputWriter.write(input)
                try? await execution.standardInputWriter.finish()
                return await words
            }
            switch result.terminationStatus {
            case .exited(let status): return .exited(status, lastWords: result.closureResult)
            case .signaled(let signal): return .killed(signal: signal, lastWords: result.closureResult)
            }
        } catch {
            return .notStarted("\(UntrustedText(program)) cannot be started: \(UntrustedText("\(error)"))")
        }
    }

    private static func lastLine(_ output: SubprocessOutputSequence) async -> String {
        var line: [UInt8] = []
        var last = ""
        do {
            for try await chunk in output {
                let bytes = chunk.withUnsafeBytes { Array($0) }
                for byte in bytes {
                    guard byte == UInt8(ascii: "\n") else {
                        if line.count < Self.maximumLineLength { line.append(byte) }
                        continue
                    }
                    if !line.isEmpty { last = UntrustedText(line).description }
                    line = []
                }
            }
        } catch {
            // The program has ended and a child of it keeps the pipe open: there is no more to wait for.
        }
        return line.isEmpty ? last : UntrustedText(line).description
    }

    private static var environment: Subprocess.Environment {
        var values: [Environment.Key: String] = ["PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        for name in Self.environmentNames {
            if let value = getenv(name) { values[Environment.Key(stringLiteral: name)] = String(cString: value) }
        }
        return .custom(values)
    }
}

extension ProgramRun.Ending {
    /// What went wrong, in words; `nil` for a good end.
    var failure: String? {
        switch self {
        case .exited(0, _): nil
        case .exited(let status, let words): "exit status \(status)" + (words.isEmpty ? "" : ": \(words)")
        case .killed(let signal, let words): "ended by signal \(signal)" + (words.isEmpty ? "" : ": \(words)")
        case .tookTooLong: "took too long and was killed"
        case .notStarted(let reason): reason
        }
    }
}
