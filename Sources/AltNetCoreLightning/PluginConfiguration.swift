// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetBitcoin
internal import FoundationEssentials

/// What lightningd told the plugin when it started it.
public struct PluginConfiguration: Hashable, Sendable {
    /// The option `altnet-start-file`: an absolute path.
    public let startFile: String
    /// The chain that lightningd works on.
    public let network: Network
    /// The directory of lightningd's network, an absolute path.
    public let lightningDirectory: String
    /// The name of lightningd's RPC socket, in ``lightningDirectory`` unless it is an absolute path.
    public let rpcFile: String

    /// Why lightningd's configuration is of no use to us.
    enum Unusable: Error, Hashable, Sendable, CustomStringConvertible {
        case noStartFile
        case startFileNotAbsolute
        case unknownNetwork(String)

        var description: String {
            switch self {
            case .noStartFile:
                "the option \(PluginManifest.startFileOption) is not set; it names the file that altnetd writes for"
                    + " drivers that it does not start itself"
            case .startFileNotAbsolute: "the option \(PluginManifest.startFileOption) must be an absolute path"
            case .unknownNetwork(let name): "AltNet does not know lightningd's network \(name)"
            }
        }
    }

    init(_ parameters: PluginParameters.Initialisation) throws(Unusable) {
        guard let startFile = parameters.options.startFile, !startFile.isEmpty else { throw .noStartFile }
        guard startFile.hasPrefix("/") else { throw .startFileNotAbsolute }
        let name = parameters.configuration.network
        // lightningd's names (bitcoin/chainparams.c).
        let network: Network? =
            switch name {
            case "bitcoin": .main
            case "testnet": .testnet3
            case "testnet4": .testnet4
            case "signet": .signet
            case "regtest": .regtest
            default: nil
            }
        guard let network else { throw .unknownNetwork(name) }
        self.startFile = startFile
        self.network = network
        self.lightningDirectory = parameters.configuration.directory
        self.rpcFile = parameters.configuration.rpcFile
    }

    /// Why altnetd's start file is not for this node: it is of another network. `nil` when the networks agree, and when
    /// the file cannot be read yet, because altnetd is not there; who attaches by it judges it again then.
    public var networkObjection: String? {
        struct StartFile: Decodable {
            let network: String
        }
        // As long as altnetd may write it: it holds the settings.
        guard let bytes = PluginInputPipe.file(self.startFile, maximumSize: 2 << 20),
            let file = try? JSONDecoder().decode(StartFile.self, from: Data(bytes)),
            file.network != self.network.rawValue
        else { return nil }
        return "altnetd works on \(UntrustedText(file.network)), lightningd on \(self.network.rawValue)"
    }

    /// The longest path of a Unix socket on Linux, in bytes (`sun_path` without its zero).
    private static let maximumSocketPath = 107

    /// A path of the RPC socket that the system can connect to. lightningd starts us in its own directory, so the bare
    /// name works where the whole path is too long.
    var socketPath: String {
        guard !self.rpcFile.hasPrefix("/") else { return self.rpcFile }
        let whole = "\(self.lightningDirectory)/\(self.rpcFile)"
        return whole.utf8.count <= Self.maximumSocketPath ? whole : self.rpcFile
    }
}
