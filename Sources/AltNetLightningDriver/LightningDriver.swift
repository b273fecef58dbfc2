// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetDriverKit
internal import AltNetDriverProtocol
internal import AltNetLightning
internal import AltNetLightningRelay
internal import AltNetLightningStore
internal import AltNetObjects
internal import AltNetStreamDriver
internal import AltNetTransport

/// The driver `altnet-lightning`.
public enum LightningDriver {
    /// Runs it as the main function of a process.
    public static func main(version: String) async -> Never {
        await DriverMain.run(software: "altnet-lightning \(version)") { start in
            guard let network = Network(rawValue: start.network) else {
                throw DriverSetupError("there is no network \(start.network)")
            }
            var settings = DriverSettings(start.settings)
            let stream = try StreamSettings(&settings)
            let keyFile = try settings.text("key_file") ?? "\(start.dataDirectory)/node.key"
            var options = LightningMedium.Options(
                network: network, serves: start.serves ?? [.headers], alternatives: try AlternativeSettings(&settings),
                addressStore: try Self.addressStore(start.dataDirectory))
            for target in stream.connect {
                if case .peer(let node, _) = try LightningTarget(target) { options.configured.insert(node) }
            }
            options.ownAddresses = Set(stream.listen.compactMap { try? LightningAddress(text: $0.description) })
            // Who listens shows an address, whatever goes out through a proxy.
            options.isProxied = stream.proxy != nil && stream.listen.isEmpty
            options.messages = try settings.flag("messages") ?? true
            if let rate = try settings.number("message_rate", in: 1...1000) {
                options.limits.perSecond = rate
                options.limits.burst = 4 * rate
            }
            try settings.finish()
            return try StreamDriver(
                try LightningMedium(key: try NodeKeyFile.load(keyFile), options: options), settings: stream)
        }
    }
    private static func addressStore(_ directory: String) throws(DriverSetupError) -> AlternativeAddressStore {
        do throws(AlternativeAddressStoreError) {
            return try AlternativeAddressStore(directory: directory)
        } catch {
            throw DriverSetupError(error.description)
        }
    }
}
