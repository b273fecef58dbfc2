// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetControl

/// The checks of `altnet doctor`: what was found becomes findings. Pure.
enum DoctorChecks {
    /// Headers grow by 4 MB a year; what else is kept is bounded. Below this much room something else fills the disk.
    static let comfortableBytes: UInt64 = 1 << 30
    /// Below this much room writing fails soon.
    static let necessaryBytes: UInt64 = 100 << 20
    /// Connections of the HTTP interface, drivers, stores and programs for alerts, and room.
    static let necessaryFiles: UInt64 = 1_024
    /// A header's time may be two hours ahead (Bitcoin Core's rule); honest miners stay within minutes.
    static let largestLead: Int64 = 600
    /// Ten times the expected interval without a block happens once in 22,000 blocks.
    static let longestSilence: Int64 = 6_000

    static func all(_ situation: DoctorSituation) -> [DoctorFinding] {
        var findings = [Self.configuration(situation)]
        findings += [situation.dataDirectory, situation.runtimeDirectory].compactMap(\.self).flatMap {
            Self.directory($0, userID: situation.userID)
        }
        findings += Self.permissions(situation) + Self.clock(situation)
        // Which daemon to ask, the configuration says.
        if case .good = situation.configuration { findings += Self.daemon(situation) }
        if situation.fileLimit > 0 { findings.append(Self.files(situation.fileLimit)) }
        findings += Self.drivers(situation) + Self.links(situation)
        findings += situation.proxies.map(Self.proxy)
        if let node = situation.node { findings += Self.node(node, network: situation.network) }
        if let kernel = situation.kernel { findings.append(Self.library(kernel)) }
        findings += situation.alerts.flatMap(Self.alert)
        if let http = situation.http { findings.append(Self.http(http, situation.daemon)) }
        if let service = situation.service { findings.append(Self.service(service)) }
        return findings
    }

    static func configuration(_ situation: DoctorSituation) -> DoctorFinding {
        switch situation.configuration {
        case .good(let file?): .ok("configuration", "configuration: \(file)")
        case .good(nil): .ok("configuration", "configuration: defaults, no file")
        case .broken(let reason):
            .fail("configuration", reason, fix: "mend it; docs/configuration.md explains every setting")
        }
    }

    static func directory(_ directory: DoctorSituation.Directory, userID: UInt32) -> [DoctorFinding] {
        let check = "directory"
        let path = directory.path
        var findings: [DoctorFinding] = []
        if !directory.exists {
            findings.append(.warn(check, "\(path) is not there", fix: "altnetd creates it when it starts"))
        } else if directory.owner != userID {
            findings.append(
                .warn(
                    check, "\(path) belongs to another user (number \(directory.owner))",
                    fix: "run altnet and altnetd as that user, for example: sudo -u altnet altnet doctor"))
        } else if directory.mode & 0o077 != 0 {
            findings.append(.fail(check, "\(path) can be entered by others", fix: "chmod 700 \(path)"))
        } else if !directory.isWritable {
            findings.append(
                .fail(check, "\(path) cannot be written", fix: "look at its file system: is it mounted read-only?"))
        } else {
            findings.append(.ok(check, "\(path) is writable and private"))
        }
        if directory.freeBytes < Self.necessaryBytes {
            findings.append(
                .fail(
                    "disk", "\(directory.freeBytes >> 20) MiB are free for \(path)", fix: "make room; 1 GiB is enough"))
        } else if directory.freeBytes < Self.comfortableBytes {
            findings.append(
                .warn(
                    "disk", "\(directory.freeBytes >> 20) MiB are free for \(path)", fix: "make room; 1 GiB is enough"))
        }
        return findings
    }

    static func permissions(_ situation: DoctorSituation) -> [DoctorFinding] {
        situation.openFiles.map {
            .fail(
                "permissions", "others can read or write \($0)",
                fix: "chmod go= \($0); if it is a key or token, make a new one")
        }
    }

    static func clock(_ situation: DoctorSituation) -> [DoctorFinding] {
        let check = "clock"
        let fix = "run a time service, for example systemd-timesyncd or chrony, and wait until it is synchronised"
        var findings: [DoctorFinding] = []
        switch situation.clock.isSynchronised {
        case true?: findings.append(.ok(check, "the clock is synchronised"))
        case false?: findings.append(.warn(check, "the kernel says that the clock is not synchronised", fix: fix))
        case nil: findings.append(.warn(check, "the kernel does not tell whether the clock is synchronised", fix: fix))
        }
        if case .answers(let status) = situation.daemon, status.network != "regtest", status.chain.height > 0 {
            let lead = status.chain.tipTime.time.seconds - situation.now
            if lead > Self.largestLead {
                findings.append(
                    .fail(check, "the latest block is \(lead) s ahead of the clock, which must be behind", fix: fix))
            } else if lead < -Self.longestSilence {
                findings.append(
                    .warn(
                        check, "the latest block is \(-lead / 60) minutes old",
                        fix: "look at the links and at the clock; while the headers are still loading, wait"))
            }
        }
        return findings
    }

    static func daemon(_ situation: DoctorSituation) -> [DoctorFinding] {
        switch situation.daemon {
        case .silent(let reason):
            return [
                .fail(
                    "daemon", reason, fix: "start it: systemctl start altnetd, or altnetd; its log says why it stopped")
            ]
        case .answers(let status):
            var findings: [DoctorFinding] = []
            if status.software == "altnetd \(situation.version)" {
                findings.append(.ok("daemon", "\(status.software) runs as process \(status.processID)"))
            } else {
                findings.append(
                    .warn(
                        "version", "the daemon is \(status.software), and this is altnet \(situation.version)",
                        fix: "restart the daemon after an update"))
            }
            if let failure = status.storeFailure {
                findings.append(
                    .fail("disk", "headers cannot be stored: \(failure)", fix: "make room, or mend the disk"))
            }
            return findings
        }
    }

    static func files(_ limit: UInt64) -> DoctorFinding {
        limit >= Self.necessaryFiles
            ? .ok("files", "\(limit == .max ? "any number of" : "\(limit)") files may be open")
            : .warn(
                "files", "only \(limit) files may be open at once",
                fix: "raise it: LimitNOFILE=8192 in the unit, or ulimit -n 8192")
    }

    static func library(_ library: DoctorSituation.Library) -> DoctorFinding {
        guard let failure = library.failure else { return .ok("kernel", "\(library.path) can be loaded") }
        return .fail(
            "kernel", "libbitcoinkernel cannot be loaded: \(failure)",
            fix: "install the library of Bitcoin Core, or set node.library to its path")
    }

    static func alert(_ alert: DoctorSituation.Alert) -> [DoctorFinding] {
        guard !alert.problems.isEmpty else {
            return [.ok("alerts", "alerts to \(alert.name) (\(alert.kind)) can be sent")]
        }
        return alert.problems.map {
            .fail(
                "alerts", "alerts to \(alert.name) cannot be sent: \($0)",
                fix: "see [alerts.\(alert.name)] and docs/alerts.md")
        }
    }

    static func http(_ http: DoctorSituation.HTTP, _ daemon: DoctorSituation.Daemon) -> DoctorFinding {
        switch (daemon, http.isAnswering) {
        case (.answers, true): .ok("http", "the dashboard listens at http://\(http.address)/")
        case (.answers, false):
            .fail(
                "http", "the daemon runs, and nobody listens at \(http.address)",
                fix: "the daemon's log says why; perhaps another program had the port when it started")
        case (.silent, true):
            .fail(
                "http", "another program listens at \(http.address)", fix: "end it, or set http.listen to another port")
        case (.silent, false): .ok("http", "\(http.address) is free for the dashboard")
        }
    }

    static func service(_ service: DoctorSituation.Service) -> DoctorFinding {
        switch (service.isInstalled, service.isEnabled) {
        case (true, true): .ok("service", "altnetd.service is installed and starts with the machine")
        case (true, false):
            .warn("service", "altnetd.service does not start with the machine", fix: "systemctl enable altnetd")
        case (false, _):
            .warn(
                "service", "altnetd.service is not installed: nothing starts the daemon with the machine",
                fix: "scripts/install --systemd")
        }
    }
}
