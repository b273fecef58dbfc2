// SPDX-License-Identifier: MIT

internal import AltNetControl

/// What `altnet doctor` found when it looked around. ``DoctorChecks`` judges it; nothing here looks at anything.
struct DoctorSituation: Hashable, Sendable {
    /// The version of this program.
    var version = ""
    var configuration = Configuration.broken("not read")
    /// The watched network.
    var network = ""
    /// Our user, by number.
    var userID: UInt32 = 0
    var dataDirectory: Directory?
    var runtimeDirectory: Directory?
    /// Files in these directories that others can read or write.
    var openFiles: [String] = []
    var clock = Clock()
    /// Seconds since 1970, by our clock.
    var now: Int64 = 0
    var daemon = Daemon.silent("not asked")
    var drivers: [Driver] = []
    var links: [LinkReport] = []
    var proxies: [Endpoint] = []
    var node: Node?
    var kernel: Library?
    var alerts: [Alert] = []
    var http: HTTP?
    /// The most files that the daemon may have open; of this process when the daemon does not run.
    var fileLimit: UInt64 = 0
    /// `nil` where systemd does not run the machine.
    var service: Service?

    enum Configuration: Hashable, Sendable {
        /// Readable; from this file, or from defaults alone.
        case good(file: String?)
        case broken(String)
    }

    struct Directory: Hashable, Sendable {
        var path: String
        var exists = false
        var owner: UInt32 = 0
        /// The permission bits.
        var mode: UInt32 = 0
        var isWritable = false
        /// Free bytes on its file system; of its nearest parent while it is not there.
        var freeBytes: UInt64 = 0
    }

    struct Clock: Hashable, Sendable {
        /// What the kernel says; `nil` when it does not tell.
        var isSynchronised: Bool?
    }

    enum Daemon: Hashable, Sendable {
        case answers(StatusReport)
        case silent(String)
    }

    /// A driver of the configuration, and what the daemon says of it.
    struct Driver: Hashable, Sendable {
        var name: String
        var isEnabled = true
        /// Where it is told to listen.
        var listen: [String] = []
        var report: DriverReport?
    }

    /// Something to connect to.
    struct Endpoint: Hashable, Sendable {
        var address: String
        var usedBy: String
        /// Why it cannot be connected to; `nil` when it can.
        var failure: String?
    }

    struct Node: Hashable, Sendable {
        enum Answer: Hashable, Sendable {
            case facts(Facts)
            /// Why there is none: a sentence.
            case none(String)
        }

        struct Facts: Hashable, Sendable {
            var isExpectedNetwork = true
            var network = ""
            var version = ""
            var blocks: UInt32 = 0
            var headers: UInt32 = 0
            var isSyncing = false
            var isPruned = false
            var zmqHashBlock: [String] = []
        }

        var url: String
        var answer: Answer
        /// What we may change of it.
        var allow: [String] = []
        /// `zmq` of the configuration, or what the node publishes, and whether it can be connected to.
        var zmq: Endpoint?
        /// Whether the operator insists on ZMQ.
        var wantsZMQ = false
    }

    struct Library: Hashable, Sendable {
        var path: String
        /// Why it cannot be loaded; `nil` when it can.
        var failure: String?
    }

    struct Alert: Hashable, Sendable {
        var name: String
        var kind: String
        /// What keeps it from working, in sentences.
        var problems: [String] = []
    }

    struct HTTP: Hashable, Sendable {
        var address: String
        var isAnswering: Bool
    }

    struct Service: Hashable, Sendable {
        var isInstalled: Bool
        var isEnabled: Bool
    }
}

/// What one check says.
struct DoctorFinding: Hashable, Sendable, Codable {
    enum Verdict: String, Hashable, Sendable, Codable {
        case ok, warn, fail
    }

    /// A short name that stays the same from release to release.
    var check: String
    var verdict: Verdict
    var what: String
    /// What to do about it; absent when there is nothing to do.
    var fix: String?

    static func ok(_ check: String, _ what: String) -> Self { Self(check: check, verdict: .ok, what: what) }
    static func warn(_ check: String, _ what: String, fix: String) -> Self {
        Self(check: check, verdict: .warn, what: what, fix: fix)
    }
    static func fail(_ check: String, _ what: String, fix: String) -> Self {
        Self(check: check, verdict: .fail, what: what, fix: fix)
    }

    var line: String {
        let word =
            switch self.verdict {
            case .ok: "ok  "
            case .warn: "warn"
            case .fail: "FAIL"
            }
        return "\(word)  \(self.what)" + (self.fix.map { " — \($0)" } ?? "")
    }
}
