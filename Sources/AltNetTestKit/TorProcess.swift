// SPDX-License-Identifier: MIT

public import Foundation

/// Debian's tor, which never goes online: onion services can be made without a network.
public enum TorProcess {
    /// The program; `nil` where tor is not installed.
    public static let program = ["/usr/sbin/tor", "/usr/bin/tor"].first {
        FileManager.default.isExecutableFile(atPath: $0)
    }
    /// Why tests are skipped without it.
    public static let missing = "tor is not installed; scripts/setup --tests installs it"

    /// Runs it until the process is finished.
    public static func start(in directory: String, _ arguments: [String]) throws -> BackgroundProcess {
        _ = FileManager.default.createFile(atPath: "\(directory)/torrc", contents: nil)
        // Bash ends Tor when its own standard input ends; Tor itself notices when Bash was killed.
        let script = #""$@" --__OwningControllerProcess $$ & tor=$!; trap 'kill -9 $tor' EXIT; cat >/dev/null"#
        return try BackgroundProcess(
            "/bin/bash",
            [
                "-c", script, "tor", Self.program ?? "", "--DataDirectory", "\(directory)/data", "--DisableNetwork",
                "1", "--SocksPort", "0", "-f", "\(directory)/torrc", "--defaults-torrc", "\(directory)/torrc",
                "--quiet",
            ] + arguments)
    }
}
