// SPDX-License-Identifier: MIT

internal import AltNetBitcoin
internal import AltNetDriverKit
internal import AltNetDriverProtocol
internal import AltNetStreamDriver

/// The driver `altnet-punch`: arranges connections with nodes behind NATs over Tor and I2P, opens them, and carries
/// them as links or as connections of the node (docs/hole-punching.md).
public enum PunchDriver {
    /// Runs it as the main function of a process.
    public static func main(version: String) async -> Never {
        await DriverMain.run(software: "altnet-punch \(version)") { start in
            guard let network = Network(rawValue: start.network) else {
                throw DriverSetupError("there is no network \(start.network)")
            }
            var settings = DriverSettings(start.settings)
            let stream = try StreamSettings(&settings)
            let punch = try PunchSettings(&settings)
            let servesBlocks = try start.servesBlocks(&settings)
            try settings.finish()
            guard !servesBlocks || punch.use == .links else {
                throw DriverSetupError("serve_blocks is for use = \"links\": the node answers for itself")
            }
            guard stream.listen.isEmpty, stream.proxy == nil else {
                throw DriverSetupError(
                    "listen and proxy make no sense here: punched connections come from ports of their own")
            }
            let medium = PunchMedium(
                punch, network: network, directory: start.dataDirectory, userAgent: "/AltNet:\(version)/",
                servesBlocks: servesBlocks)
            return try StreamDriver(medium, settings: stream)
        }
    }
}
