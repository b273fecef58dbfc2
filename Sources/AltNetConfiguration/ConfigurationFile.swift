// SPDX-License-Identifier: MIT

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#endif

extension DaemonConfiguration {
    /// The largest configuration file, in bytes: a thousand times what anybody needs, and read at once.
    public static let maximumFileSize = 1 << 20

    /// The environment variable that may name the configuration file.
    public static let fileVariable = "ALTNET_CONFIG"

    /// Where the configuration file is looked for when none is named; the first that exists is the only one read.
    public static func defaultFiles(environment: [String: String]) -> [String] {
        var files: [String] = []
        // XDG Base Directory Specification: relative paths are to be ignored.
        if let directory = ConfigurationFile.absolute(environment["XDG_CONFIG_HOME"])
            ?? ConfigurationFile.absolute(environment["HOME"]).map({ "\($0)/.config" })
        {
            files.append("\(directory)/altnet/altnet.toml")
        }
        files.append("/etc/altnet/altnet.toml")
        return files
    }

    /// The file that ``load(file:environment:flags:currentDirectory:)`` reads for the same arguments; `nil` when there
    /// is none. Whether a file that was named exists is not looked at.
    public static func fileInUse(_ file: String? = nil, environment: [String: String]) -> String? {
        if let file = file ?? environment[Self.fileVariable], !file.isEmpty { return file }
        return Self.defaultFiles(environment: environment).first { access($0, F_OK) == 0 }
    }
}

/// Reads the configuration file.
enum ConfigurationFile {
    /// The path if it is an absolute one.
    static func absolute(_ path: String?) -> String? {
        guard let path, path.hasPrefix("/") else { return nil }
        return path
    }

    /// The directory that the process works in.
    static var currentDirectory: String {
        guard let path = getcwd(nil, 0) else { return "/" }
        defer { free(path) }
        return String(cString: path)
    }

    /// The text of a file.
    static func read(_ path: String) throws(ConfigurationError) -> String {
        let place = ConfigurationError.Place.file(path)
        // Without blocking: opening a pipe would otherwise wait for a writer.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw errno == ENOENT
                ? ConfigurationError(.fileMissing, place, "there is no such file")
                : ConfigurationError(.fileUnreadable, place, "the file cannot be opened: \(Self.lastError)")
        }
        defer { close(descriptor) }

        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw ConfigurationError(.fileUnreadable, place, "the file cannot be read: \(Self.lastError)")
        }
        let type = status.st_mode & S_IFMT
        guard type == S_IFREG else {
            let what = type == S_IFDIR ? "a directory" : "no regular file"
            throw ConfigurationError(.fileUnreadable, place, "this is \(what), and must be a file of TOML")
        }
        return try Self.text(of: try Self.bytes(of: descriptor, place), path)
    }

    /// All bytes of an open file.
    private static func bytes(
        of descriptor: Int32,
        _ place: ConfigurationError.Place
    ) throws(ConfigurationError) -> [UInt8] {
        let limit = DaemonConfiguration.maximumFileSize
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Self.read(descriptor, &buffer)
            guard count >= 0 else {
                if errno == EINTR { continue }
                throw ConfigurationError(.fileUnreadable, place, "the file cannot be read: \(Self.lastError)")
            }
            guard count > 0 else { return bytes }
            bytes += buffer.prefix(count)
            guard bytes.count <= limit else {
                throw ConfigurationError(.fileTooLarge, place, "the file is larger than \(limit) bytes")
            }
        }
    }

    private static func read(_ descriptor: Int32, _ buffer: inout [UInt8]) -> Int {
        #if canImport(Glibc)
            Glibc.read(descriptor, &buffer, buffer.count)
        #else
            Musl.read(descriptor, &buffer, buffer.count)
        #endif
    }

    /// The text that bytes in UTF-8 stand for.
    static func text(of bytes: [UInt8], _ path: String) throws(ConfigurationError) -> String {
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        // No line feed is part of another character, so one of the lines is wrong by itself.
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let index = lines.firstIndex { String(validating: $0, as: UTF8.self) == nil }
        throw ConfigurationError(
            .notText,
            .file(path, line: index.map { $0 + 1 }),
            "the file is not UTF-8 text"
        )
    }

    private static var lastError: String { String(cString: strerror(errno)) }
}
