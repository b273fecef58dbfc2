// SPDX-License-Identifier: MIT

internal import AltNetStore
internal import CTimex
internal import Glibc

/// What the system says of itself, for `altnet doctor`.
enum SystemFacts {
    /// The most entries of a directory that are looked at: ours have some dozens.
    static let maximumEntries = 10_000

    static var clock: DoctorSituation.Clock {
        let answer = altnet_clock_is_synchronised()
        return DoctorSituation.Clock(isSynchronised: answer < 0 ? nil : answer == 1)
    }

    /// Looks for the unit's files: asking systemd would need a program that may not be there.
    static var service: DoctorSituation.Service? {
        guard access("/run/systemd/system", F_OK) == 0 else { return nil }
        let places = [
            "/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system",
        ]
        return DoctorSituation.Service(
            isInstalled: places.contains { access("\($0)/altnetd.service", F_OK) == 0 },
            isEnabled: access("/etc/systemd/system/multi-user.target.wants/altnetd.service", F_OK) == 0)
    }

    static func directory(_ path: String) -> DoctorSituation.Directory {
        var directory = DoctorSituation.Directory(path: path)
        if let facts = FileFacts(of: path) {
            directory.exists = true
            directory.owner = facts.owner
            directory.mode = facts.permissions
            directory.isWritable = access(path, W_OK | X_OK) == 0
        }
        var parent = path
        var space = statvfs()
        while statvfs(parent, &space) != 0, let slash = parent.lastIndex(of: "/") {
            parent = slash == parent.startIndex ? "/" : String(parent[..<slash])
            if parent == "/" { break }
        }
        if statvfs(parent, &space) == 0 {
            directory.freeBytes =
                UInt64(space.f_bavail).multipliedReportingOverflow(by: UInt64(space.f_frsize)).partialValue
        }
        return directory
    }

    /// Files and sockets in a directory of ours that others could read or write.
    static func openFiles(in path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var found: [String] = []
        var count = 0
        while count < Self.maximumEntries, let entry = readdir(directory) {
            count += 1
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard name != ".", name != "..", let facts = FileFacts(of: "\(path)/\(name)", followingLinks: false)
            else { continue }
            if !facts.isSymbolicLink, facts.permissions & 0o066 != 0 { found.append("\(path)/\(name)") }
        }
        return found.sorted()
    }

    /// The soft limit of open files of a process; 0 when it is not to be known.
    static func fileLimit(of process: Int32) -> UInt64 {
        let descriptor = open("/proc/\(process)/limits", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return 0 }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 8_192)
        let count = read(descriptor, &buffer, buffer.count)
        let text = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
        return Self.fileLimit(inLimits: text)
    }

    /// Reads `/proc/PID/limits`.
    static func fileLimit(inLimits text: String) -> UInt64 {
        let label = "Max open files"
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix(label) }),
            let soft = line.dropFirst(label.count).split(separator: " ").first
        else { return 0 }
        return soft == "unlimited" ? .max : UInt64(soft) ?? 0
    }

    static func library(_ path: String) -> DoctorSituation.Library {
        guard let handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL) else {
            let reason = dlerror().map { String(cString: $0) } ?? "no reason given"
            return DoctorSituation.Library(path: path, failure: reason)
        }
        dlclose(handle)
        return DoctorSituation.Library(path: path)
    }
}

/// Tries to connect over TCP.
enum ConnectionProbe {
    /// Why nobody can be connected to at `host:port`; `nil` when somebody can.
    static func failure(_ address: String, within limit: Duration) -> String? {
        guard let colon = address.lastIndex(of: ":") else { return "it has no port" }
        var host = address[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(String(host), String(address[address.index(after: colon)...]), &hints, &list)
        guard code == 0, let first = list else { return String(cString: gai_strerror(code)) }
        defer { freeaddrinfo(first) }
        let descriptor = socket(
            first.pointee.ai_family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { return String(cString: strerror(errno)) }
        defer { close(descriptor) }
        if connect(descriptor, first.pointee.ai_addr, first.pointee.ai_addrlen) == 0 { return nil }
        guard errno == EINPROGRESS else { return String(cString: strerror(errno)) }
        var event = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        guard poll(&event, 1, Int32(limit.components.seconds * 1000)) == 1 else {
            return "no answer in \(limit.components.seconds) s"
        }
        var result: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &result, &length)
        return result == 0 ? nil : String(cString: strerror(result))
    }
}
