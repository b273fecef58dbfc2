// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDialing
internal import AltNetDriverKit
internal import AltNetDriverProtocol
internal import AltNetLibp2pHost
internal import AltNetPeerRecords
internal import AltNetPeerStore
internal import AltNetTransport

/// The driver `altnet-libp2p`: a node of libp2p that meets peers and tells the orchestrator where they are.
public enum Libp2pDriver {
    /// Runs it as the main function of a process.
    public static func main(version: String) async -> Never {
        let software = "altnet-libp2p \(version)"
        await DriverMain.run(software: software) { start in
            HostDriver(try Self.options(start, software: software))
        }
    }

    private static func options(_ start: DriverStart, software: String) throws -> HostDriver.Options {
        var settings = DriverSettings(start.settings)
        let keyFile = try settings.text("key_file") ?? "\(start.dataDirectory)/\(PeerKeyFile.fileName)"
        let connect = try Self.addresses("connect", &settings)
        guard connect.allSatisfy({ $0.peerID != nil }) else {
            throw DriverSetupError("what is in connect must end with /p2p/ and a peer id")
        }
        let listen = try Self.addresses("listen", &settings)
        let announce = try Self.addresses("announce", &settings)
        let proxy = try settings.text("proxy").map { text throws(DriverSetupError) in
            guard let proxy = HostAndPort(text) else { throw DriverSetupError("proxy must have the form host:port") }
            return proxy
        }
        let stages = try settings.texts("dial")
        let policy: DialPolicy
        do {
            policy = stages.isEmpty ? .standard : try DialPolicy(setting: stages)
        } catch {
            throw DriverSetupError("dial: \(error)")
        }
        let dht = try settings.text("dht") ?? (listen.isEmpty ? "client" : "server")
        guard dht == "off" || KademliaService.Mode(rawValue: dht) != nil else {
            throw DriverSetupError("dht must be client, server or off")
        }
        let dhtProtocol = try settings.text("dht_protocol") ?? KademliaService.publicProtocol
        let isForeign = try settings.flag("loopback_is_foreign")
        try settings.finish()
        let key: PeerPrivateKey
        do {
            key = try PeerKeyFile.load(keyFile)
        } catch {
            throw DriverSetupError(error.description)
        }
        do {
            var configuration = HostConfiguration()
            configuration.maximumConnections = HostDriver.maximumConnections
            configuration.maximumInbound = HostDriver.maximumInbound
            configuration.proxy = proxy
            configuration.dialPolicy = policy
            configuration.inboundLoopbackIsForeign = isForeign
            configuration.announced = announce
            configuration.agentVersion = software
            configuration.recordIssuer = SequencedIssuer(
                key: key, sequence: try RecordSequence(directory: start.dataDirectory))
            return HostDriver.Options(
                key: key, configuration: configuration, connect: connect, listen: listen,
                dht: KademliaService.Mode(rawValue: dht).map {
                    KademliaService.Configuration(protocolName: dhtProtocol, mode: $0)
                })
        } catch {
            throw DriverSetupError("\(error)")
        }
    }

    private static func addresses(
        _ name: String, _ settings: inout DriverSettings
    ) throws(DriverSetupError) -> [Multiaddress] {
        var addresses: [Multiaddress] = []
        for text in try settings.texts(name) {
            do throws(MultiaddressError) {
                addresses.append(try Multiaddress(text: text))
            } catch {
                throw DriverSetupError("\(name): \(UntrustedText(text)): \(error)")
            }
        }
        return addresses
    }
}
