// SPDX-License-Identifier: MIT

import AltNetBitcoin
import AltNetConfiguration
import FoundationEssentials
import Testing

@Suite("The file")
final class ConfigurationFileTests {
    private let directory: String

    init() throws {
        self.directory = FileManager.default.temporaryDirectory.path + "/altnet-configuration-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: self.directory, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: self.directory)
    }

    private func write(_ bytes: some Collection<UInt8>, to name: String = "altnet.toml") throws -> String {
        let path = "\(self.directory)/\(name)"
        let parent = path.split(separator: "/").dropLast().joined(separator: "/")
        try FileManager.default.createDirectory(atPath: "/\(parent)", withIntermediateDirectories: true)
        try Data(bytes).write(to: URL(filePath: path))
        return path
    }

    private func mistake(_ file: String?, environment: [String: String] = plainEnvironment) throws -> ConfigurationError
    {
        try #require(throws: ConfigurationError.self) {
            try DaemonConfiguration.load(file: file, environment: environment)
        }
    }

    @Test func `A file that is named is read`() throws {
        let path = try self.write("network = 'regtest'".utf8)
        #expect(try DaemonConfiguration.load(file: path, environment: plainEnvironment).network == .regtest)
        let environment = plainEnvironment.merging(["ALTNET_CONFIG": path]) { $1 }
        #expect(try DaemonConfiguration.load(environment: environment).network == .regtest)
        #expect(DaemonConfiguration.fileInUse(environment: environment) == path)
        #expect(DaemonConfiguration.fileInUse("/x", environment: environment) == "/x")
    }

    @Test func `The first default file that exists is read, and need not exist`() throws {
        let home = ["HOME": self.directory, "XDG_CONFIG_HOME": "relative"]
        #expect(
            DaemonConfiguration.defaultFiles(environment: home)
                == ["\(self.directory)/.config/altnet/altnet.toml", "/etc/altnet/altnet.toml"]
        )
        #expect(
            DaemonConfiguration.defaultFiles(environment: ["HOME": "/h", "XDG_CONFIG_HOME": "/c"])
                == ["/c/altnet/altnet.toml", "/etc/altnet/altnet.toml"]
        )
        #expect(DaemonConfiguration.defaultFiles(environment: [:]) == ["/etc/altnet/altnet.toml"])
        #expect(DaemonConfiguration.fileInUse(environment: home)?.hasPrefix(self.directory) != true)

        let path = try self.write("network = 'signet'".utf8, to: ".config/altnet/altnet.toml")
        #expect(DaemonConfiguration.fileInUse(environment: home) == path)
        #expect(try DaemonConfiguration.load(environment: home).network == .signet)
    }

    @Test func `A file that is named must be there`() throws {
        let path = "\(self.directory)/none.toml"
        let error = try self.mistake(path)
        #expect(error.code == .fileMissing)
        #expect(error.description == "\(path): there is no such file")
        let variable = try self.mistake(nil, environment: ["HOME": "/h", "ALTNET_CONFIG": path])
        #expect(variable == error)
    }

    @Test func `A directory is no file`() throws {
        let error = try self.mistake(self.directory)
        #expect(error.code == .fileUnreadable)
        #expect(error.description == "\(self.directory): this is a directory, and must be a file of TOML")
        #expect(
            try self.mistake("/dev/null").description
                == "/dev/null: this is no regular file, and must be a file of TOML"
        )
    }

    @Test func `A file that cannot be opened is told with the reason`() throws {
        let file = try self.write([])
        let error = try self.mistake("\(file)/altnet.toml")
        #expect(error.code == .fileUnreadable)
        #expect(error.description == "\(file)/altnet.toml: the file cannot be opened: Not a directory")
    }

    @Test func `A file has at most a mebibyte`() throws {
        let line = Array("# 34567\n".utf8)
        let full = Array(repeatElement(line, count: DaemonConfiguration.maximumFileSize / line.count).joined())
        let path = try self.write(full)
        #expect(try DaemonConfiguration.load(file: path, environment: plainEnvironment).network == .main)
        _ = try self.write(full + [0x0a])
        let error = try self.mistake(path)
        #expect(error.code == .fileTooLarge)
        #expect(error.description == "\(path): the file is larger than 1048576 bytes")
    }

    @Test func `A file is text`() throws {
        let path = try self.write(Array("# ü\n# \n# ".utf8) + [0xfc, 0x0a])
        let error = try self.mistake(path)
        #expect(error.code == .notText)
        #expect(error.description == "\(path):3: the file is not UTF-8 text")
    }

    @Test func `A mistake is told with the file's name as it was given`() throws {
        let path = try self.write("\nnetwrk = 1".utf8)
        #expect(
            try self.mistake(path).description == "\(path):2: there is no key `netwrk`; did you mean `network`?"
        )
    }

    @Test func `Relative paths are relative to the process's own directory by default`() throws {
        let configuration = try DaemonConfiguration.load(
            environment: ["HOME": self.directory],
            flags: ["data_directory": "x", "runtime_directory": "/r"]
        )
        #expect(configuration.dataDirectory == FileManager.default.currentDirectoryPath + "/x")
    }
}
