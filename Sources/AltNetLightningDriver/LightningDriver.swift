// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetCoreLightning
internal import AltNetDialing
internal import AltNetDriverKit
internal import AltNetDriverProtocol
internal import AltNetLND
internal import AltNetLightning
internal import AltNetLightningAttachment
internal import AltNetLightningRelay
internal import AltNetLightningStore
internal import AltNetObjects
internal import AltNetStreamDriver
internal import AltNetTransport
internal import Logging

/// The driver `altnet-lightning`: with a key of its own, on the connections of an LND, or, when lightningd starts it, as
/// a plugin of Core Lightning (docs/lightning.md).
public enum LightningDriver {
    /// Runs it as the main function of a process.
    public static func main(version: String) async -> Never {
        let software = "altnet-lightning \(version)"
        if CoreLightningPlugin.isRequested { await Self.runAsPlugin(software: software) }
        await DriverMain.run(software: software) { start in
            var settings = DriverSettings(start.settings)
            let stream = try StreamSettings(&settings)
            var options = try Self.options(start, &settings, stream)
            guard let lnd = try Self.lnd(&settings) else {
                let keyFile = try settings.text("key_file") ?? "\(start.dataDirectory)/node.key"
                let announcement = try NodeAnnouncement(&settings, isProxied: stream.proxy != nil)
                options.dialPolicy = try Self.dialPolicy(&settings)
                try settings.finish()
                // Who listens shows an address, whatever goes out through a proxy.
                options.isProxied = stream.proxy != nil && stream.listen.isEmpty
                let key = try NodeKeyFile.load(keyFile)
                options.ownRecord = try OwnNodeRecord(
                    key, network: options.network, announcement: announcement, directory: start.dataDirectory)
                return try StreamDriver(LightningMedium(key: key, options: options), settings: stream)
            }
            try settings.finish()
            return try Self.attached(try await Self.attach(lnd, options: options), options: options, stream)
        }
    }

    // MARK: - Settings

    private static func options(
        _ start: DriverStart, _ settings: inout DriverSettings, _ stream: StreamSettings
    ) throws(DriverSetupError) -> LightningMedium.Options {
        guard let network = Network(rawValue: start.network) else {
            throw DriverSetupError("there is no network \(start.network)")
        }
        var options = LightningMedium.Options(
            network: network, serves: start.serves ?? [.headers], alternatives: try AlternativeSettings(&settings),
            addressStore: try Self.addressStore(start.dataDirectory))
        for target in stream.connect {
            switch try LightningTarget(target) {
            case .peer(let node, _), .known(let node): options.configured.insert(node)
            case .far: break
            }
        }
        options.ownAddresses = OwnHosts.read().addresses(of: stream.listen)
        options.messages = try settings.flag("messages") ?? true
        if let rate = try settings.number("message_rate", in: 1...1000) {
            options.limits.perSecond = rate
            options.limits.burst = 4 * rate
        }
        return options
    }

    private static func dialPolicy(_ settings: inout DriverSettings) throws(DriverSetupError) -> DialPolicy {
        let stages = try settings.texts("dial")
        guard !stages.isEmpty else { return .standard }
        do throws(DialPolicyError) {
            return try DialPolicy(setting: stages)
        } catch {
            throw DriverSetupError("dial: \(error)")
        }
    }

    private static func addressStore(_ directory: String) throws(DriverSetupError) -> AlternativeAddressStore {
        do throws(AlternativeAddressStoreError) {
            return try AlternativeAddressStore(directory: directory)
        } catch {
            throw DriverSetupError(error.description)
        }
    }

    /// A driver on the connections of a node of the operator's.
    private static func attached(
        _ attachment: any LightningAttachment, options: LightningMedium.Options, _ stream: StreamSettings
    ) throws -> StreamDriver<LightningMedium> {
        guard attachment.network == options.network else {
            throw DriverSetupError(
                "the Lightning node is on \(attachment.network.rawValue), and altnetd on \(options.network.rawValue)")
        }
        guard stream.listen.isEmpty, stream.proxy == nil else {
            throw DriverSetupError("listen and proxy are the Lightning node's own business when the driver is attached")
        }
        return try StreamDriver(LightningMedium(attachment, options: options), settings: stream)
    }

    // MARK: - LND

    private static func lnd(_ settings: inout DriverSettings) throws -> LNDSettings? {
        guard let address = try settings.text("lnd") else { return nil }
        guard let certificate = try settings.text("lnd_certificate"), let macaroon = try settings.text("lnd_macaroon")
        else { throw DriverSetupError("lnd needs lnd_certificate and lnd_macaroon beside it") }
        do {
            return try LNDSettings(address: address, certificate: certificate, macaroon: macaroon)
        } catch {
            throw DriverSetupError("lnd: \(error)")
        }
    }

    private static func attach(
        _ settings: LNDSettings, options: LightningMedium.Options
    ) async throws -> any LightningAttachment {
        let logger = Logger(label: "lnd")
        // Two calls come before Hello, which altnetd awaits for ten seconds.
        var timing = LNDTiming.standard
        timing.call = .seconds(4)
        do {
            let node = try await LNDNode.attach(settings, timing: timing) { logger.warning("\($0)") }
            // The bit of onion messages is LND's own to offer.
            for advice in node.advice(features: [BitcoinOverLightning.featureBit]) { logger.warning("\(advice)") }
            return node
        } catch let error as LNDSetupError {
            throw DriverSetupError(error.description)
        }
    }

    // MARK: - Core Lightning

    private static func runAsPlugin(software: String) async -> Never {
        // Directed messages would need lightningd's key.
        let types = CoreLightningPlugin.messageTypes.subtracting([DirectedMessage.type, DirectedReply.type])
        await CoreLightningPlugin.run(messageTypes: types) { attachment, configuration in
            let ending = try await DriverMain.attach(startFile: configuration.startFile, software: software) { start in
                var settings = DriverSettings(start.settings)
                let stream = try StreamSettings(&settings)
                let options = try Self.options(start, &settings, stream)
                try settings.finish()
                return try Self.attached(attachment, options: options, stream)
            }
            switch ending {
            case .stopped: break
            case .lost(let reason): throw AttachmentError.unreachable(reason)
            }
        }
    }
}
