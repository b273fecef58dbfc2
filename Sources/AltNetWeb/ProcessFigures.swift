// SPDX-License-Identifier: MIT

internal import FoundationEssentials
internal import Glibc

/// What the system says of this process; `nil` for what it does not say.
struct ProcessFigures: Hashable, Sendable {
    var cpuSeconds: Double?
    var residentBytes: Double?
    var openFiles: Double?
    var maximumFiles: Double?

    static var current: ProcessFigures {
        var figures = ProcessFigures()
        var usage = rusage()
        if getrusage(RUSAGE_SELF.rawValue, &usage) == 0 {
            figures.cpuSeconds = Self.seconds(usage.ru_utime) + Self.seconds(usage.ru_stime)
        }
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
            figures.maximumFiles = Double(limit.rlim_cur)
        }
        // proc(5): the second number is the resident pages.
        if let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) {
            let pages = text.split(separator: " ").dropFirst().first.flatMap { Double($0) }
            figures.residentBytes = pages.map { $0 * Double(sysconf(Int32(_SC_PAGESIZE))) }
        }
        figures.openFiles = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")).map {
            Double($0.count)
        }
        return figures
    }

    private static func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
}
