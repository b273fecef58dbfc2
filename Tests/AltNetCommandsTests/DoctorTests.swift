// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetControl
import Foundation
import Glibc
import Testing

@testable import AltNetCommands

@Suite("altnet doctor")
struct DoctorTests {
    private static let now: Int64 = 1_763_722_000

    /// A set-up with nothing wrong.
    private var good: DoctorSituation {
        var found = DoctorSituation()
        found.version = "0.1.0"
        found.configuration = .good(file: "/etc/altnet/altnet.toml")
        found.network = "main"
        found.userID = 7
        found.dataDirectory = DoctorSituation.Directory(
            path: "/var/lib/altnet/main", exists: true, owner: 7, mode: 0o700, isWritable: true, freeBytes: 10 << 30)
        found.clock.isSynchronised = true
        found.now = Self.now
        found.daemon = .answers(Self.status())
        found.fileLimit = 8_192
        found.drivers = [Self.driver("bitcoin"), Self.driver("lightning")]
        found.links = [Self.link("bitcoin", "203.0"), Self.link("lightning", "198.51")]
        found.proxies = [DoctorSituation.Endpoint(address: "127.0.0.1:9050", usedBy: "the driver lightning")]
        found.node = DoctorSituation.Node(
            url: "http://127.0.0.1:8332", answer: .facts(DoctorSituation.Node.Facts(version: "/Satoshi:31.0.0/")),
            allow: ["headers"])
        found.kernel = DoctorSituation.Library(path: "/usr/lib/libbitcoinkernel.so")
        found.alerts = [DoctorSituation.Alert(name: "pager", kind: "webhook")]
        found.http = DoctorSituation.HTTP(address: "127.0.0.1:8430", isAnswering: true)
        found.service = DoctorSituation.Service(isInstalled: true, isEnabled: true)
        return found
    }

    private static func status(tipAge: Int64 = 300, software: String = "altnetd 0.1.0") -> StatusReport {
        StatusReport(
            software: software, network: "main", processID: 1, started: Timestamp(WallClockTime(seconds: 0)),
            dataDirectory: "/var/lib/altnet/main",
            chain: ChainReport(
                startHeight: 0, height: 900_000, tip: "", tipTime: Timestamp(WallClockTime(seconds: Self.now - tipAge)),
                work: "", headers: 900_001),
            links: 2, linksBehind: 0, drivers: 2, openIncidents: 0, storeFailure: nil)
    }

    private static func driver(_ name: String, state: String = "attached", restarts: Int = 0) -> DoctorSituation.Driver
    {
        DoctorSituation.Driver(
            name: name,
            report: DriverReport(
                name: name, program: "/usr/local/bin/altnet-\(name)", state: state, restarts: restarts,
                messagesPerSecond: 1, bytesPerSecond: 1))
    }

    private static func link(_ driver: String, _ group: String, state: String = "open") -> LinkReport {
        var link = LinkReport(driver: driver, state: state)
        link.target = "\(group).0.1:8333"
        link.networkGroup = group
        return link
    }

    @Test("a good set-up has nothing to mend")
    func nothingToMend() {
        let findings = DoctorChecks.all(self.good)
        #expect(findings.filter { $0.verdict != .ok } == [])
        #expect(findings.count >= 13)
        #expect(findings.allSatisfy { $0.fix == nil })
    }

    /// A mistake, the check that must find it, how bad it is, and a part of what is said.
    private struct Mistake: Sendable, CustomTestStringConvertible {
        let name: String
        let check: String
        let verdict: DoctorFinding.Verdict
        let says: String
        let spoil: @Sendable (inout DoctorSituation) -> Void

        var testDescription: String { self.name }

        init(
            _ name: String, _ check: String, _ verdict: DoctorFinding.Verdict, _ says: String,
            _ spoil: @escaping @Sendable (inout DoctorSituation) -> Void
        ) {
            self.name = name
            self.check = check
            self.verdict = verdict
            self.says = says
            self.spoil = spoil
        }
    }

    private static let mistakes: [Mistake] = [
        Mistake("configuration", "configuration", .fail, "altnet.toml:7") {
            $0.configuration = .broken("altnet.toml:7: x")
        },
        Mistake("no directory", "directory", .warn, "not there") { $0.dataDirectory?.exists = false },
        Mistake("of another", "directory", .warn, "belongs to another user") { $0.dataDirectory?.owner = 0 },
        Mistake("open", "directory", .fail, "chmod 700 /var/lib/altnet/main") { $0.dataDirectory?.mode = 0o750 },
        Mistake("read-only", "directory", .fail, "cannot be written") { $0.dataDirectory?.isWritable = false },
        Mistake("nearly full", "disk", .warn, "500 MiB") { $0.dataDirectory?.freeBytes = 500 << 20 },
        Mistake("full", "disk", .fail, "3 MiB") { $0.dataDirectory?.freeBytes = 3 << 20 },
        Mistake("open token", "permissions", .fail, "/run/altnet/http.token") {
            $0.openFiles = ["/run/altnet/http.token"]
        },
        Mistake("clock", "clock", .warn, "not synchronised") { $0.clock.isSynchronised = false },
        Mistake("no clock", "clock", .warn, "does not tell") { $0.clock.isSynchronised = nil },
        Mistake("clock behind", "clock", .fail, "7200 s ahead") { $0.daemon = .answers(Self.status(tipAge: -7200)) },
        Mistake("old tip", "clock", .warn, "200 minutes old") { $0.daemon = .answers(Self.status(tipAge: 12_000)) },
        Mistake("no daemon", "daemon", .fail, "no altnetd answers") { $0.daemon = .silent("no altnetd answers") },
        Mistake("version", "version", .warn, "altnetd 0.0.9") {
            $0.daemon = .answers(Self.status(software: "altnetd 0.0.9"))
        },
        Mistake("disk of the daemon", "disk", .fail, "No space left") {
            var status = Self.status()
            status.storeFailure = "No space left on device"
            $0.daemon = .answers(status)
        },
        Mistake("few files", "files", .warn, "only 256") { $0.fileLimit = 256 },
        Mistake("driver missing", "drivers", .fail, "does not have it") { $0.drivers[0].report = nil },
        Mistake("driver restarts", "drivers", .warn, "restarted 3 times") {
            $0.drivers[0] = Self.driver("bitcoin", restarts: 3)
        },
        Mistake("driver failed", "drivers", .fail, "is failed") {
            $0.drivers[0] = Self.driver("bitcoin", state: "failed")
        },
        Mistake("no driver", "drivers", .fail, "no driver is enabled") {
            for index in $0.drivers.indices { $0.drivers[index].isEnabled = false }
        },
        Mistake("does not listen", "ports", .fail, "0.0.0.0:9735") { $0.drivers[1].listen = ["0.0.0.0:9735"] },
        Mistake("no link", "links", .fail, "sees nothing") { $0.links = [] },
        Mistake("one link", "links", .warn, "only one link") { $0.links.removeLast() },
        Mistake("one group", "links", .warn, "one network group") {
            $0.links = [Self.link("bitcoin", "203.0"), Self.link("lightning", "203.0")]
        },
        Mistake("one driver", "links", .warn, "go over the driver bitcoin") {
            $0.links = [Self.link("bitcoin", "203.0"), Self.link("bitcoin", "198.51")]
        },
        Mistake("unreachable", "links", .warn, "cannot reach 192.0.0.1:8333") {
            $0.links.append(Self.link("bitcoin", "192.0", state: "unreachable"))
        },
        Mistake("proxy", "proxy", .fail, "Connection refused") { $0.proxies[0].failure = "Connection refused" },
        Mistake("node away", "node", .fail, "cookie") { $0.node?.answer = .none("the cookie file cannot be read") },
        Mistake("other network", "node", .fail, "follows signet") {
            $0.node?.answer = .facts(DoctorSituation.Node.Facts(isExpectedNetwork: false, network: "signet"))
        },
        Mistake("syncing", "node", .warn, "block 5 of 9") {
            $0.node?.answer = .facts(DoctorSituation.Node.Facts(blocks: 5, headers: 9, isSyncing: true))
        },
        Mistake("pruned", "node", .warn, "pruned") {
            $0.node?.answer = .facts(DoctorSituation.Node.Facts(isPruned: true))
        },
        Mistake("nothing allowed", "node", .warn, "watched and not healed") { $0.node?.allow = [] },
        Mistake("zmq", "zmq", .fail, "zmqpubhashblock=tcp://127.0.0.1:28332") {
            $0.node?.zmq = DoctorSituation.Endpoint(address: "tcp://127.0.0.1:28332", usedBy: "", failure: "refused")
        },
        Mistake("no zmq", "zmq", .fail, "publishes no hashblock") { $0.node?.wantsZMQ = true },
        Mistake("kernel", "kernel", .fail, "no such library") { $0.kernel?.failure = "no such library" },
        Mistake("alert", "alerts", .fail, "[alerts.pager]") { $0.alerts[0].problems = ["no secret"] },
        Mistake("http silent", "http", .fail, "nobody listens") { $0.http?.isAnswering = false },
        Mistake("http taken", "http", .fail, "another program") { $0.daemon = .silent("") },
        Mistake("no unit", "service", .warn, "not installed") { $0.service?.isInstalled = false },
        Mistake("not enabled", "service", .warn, "systemctl enable") { $0.service?.isEnabled = false },
    ]

    @Test("each mistake is found, and said with what to do", arguments: Self.mistakes)
    private func mistake(_ mistake: Mistake) throws {
        var situation = self.good
        mistake.spoil(&situation)
        let findings = DoctorChecks.all(situation).filter { $0.check == mistake.check && $0.verdict == mistake.verdict }
        let finding = try #require(findings.first { $0.line.contains(mistake.says) }, "\(DoctorChecks.all(situation))")
        #expect(finding.fix?.isEmpty == false)
        #expect(finding.line.hasPrefix(mistake.verdict == .fail ? "FAIL  " : "warn  "))
        #expect(!finding.line.contains("\n"))
    }

    @Test("the limit of open files as the kernel writes it")
    func fileLimit() {
        let text = """
            Limit                     Soft Limit           Hard Limit           Units
            Max cpu time              unlimited            unlimited            seconds
            Max open files            1024                 524288               files
            """
        #expect(SystemFacts.fileLimit(inLimits: text) == 1_024)
        #expect(SystemFacts.fileLimit(inLimits: "Max open files            unlimited   unlimited   files") == .max)
        #expect(SystemFacts.fileLimit(inLimits: "") == 0)
        #expect(SystemFacts.fileLimit(of: getpid()) > 0)
    }

    @Test("directories, and files in them that are open to others")
    func files() throws {
        let path = "/tmp/altnet-doctor-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        #expect(!SystemFacts.directory(path).exists)
        #expect(SystemFacts.directory(path).freeBytes > 0)
        mkdir(path, 0o700)
        defer { try? FileManager.default.removeItem(atPath: path) }
        for (name, mode) in [("private", 0o600), ("token", 0o640), ("run", 0o755)] as [(String, mode_t)] {
            try "x".write(toFile: "\(path)/\(name)", atomically: false, encoding: .utf8)
            chmod("\(path)/\(name)", mode)
        }
        let directory = SystemFacts.directory(path)
        #expect(directory.exists && directory.isWritable && directory.owner == geteuid() && directory.mode == 0o700)
        #expect(SystemFacts.openFiles(in: path) == ["\(path)/run", "\(path)/token"])
        #expect(SystemFacts.openFiles(in: path + "/none") == [])
    }

    @Test("a library that is not there")
    func library() {
        #expect(SystemFacts.library("/nonexistent/libbitcoinkernel.so").failure?.contains("nonexistent") == true)
        #expect(SystemFacts.library("libc.so.6").failure == nil)
    }

    @Test("connecting to somebody, to nobody, and to nonsense")
    func connecting() throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isListening = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                bind(descriptor, pointer, length) == 0 && listen(descriptor, 1) == 0
                    && getsockname(descriptor, pointer, &length) == 0
            }
        }
        try #require(isListening)
        let place = "127.0.0.1:\(UInt16(bigEndian: address.sin_port))"
        #expect(ConnectionProbe.failure(place, within: .seconds(3)) == nil)
        close(descriptor)
        #expect(ConnectionProbe.failure(place, within: .seconds(3)) == "Connection refused")
        #expect(ConnectionProbe.failure("127.0.0.1", within: .seconds(3)) == "it has no port")
        #expect(ConnectionProbe.failure("no host:1", within: .seconds(3)) != nil)
    }
}
