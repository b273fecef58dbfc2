// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetKeys
import AltNetLightning
import AltNetLightningAttachment
import AltNetTestKit
import Foundation
import GRPCCore
import SwiftProtobuf
import Testing

@testable import AltNetLND

@Suite("What is said to and by LND")
struct LNDValueTests {
    static func node(_ number: UInt8) throws -> NodeID {
        try #require(NodePrivateKey(bytes: [UInt8](repeating: 0, count: 31) + [number])).publicKey
    }

    // MARK: - Settings and files

    @Test(
        "addresses are a host and a port",
        arguments: [
            ("127.0.0.1:10009", "127.0.0.1"), ("[::1]:10009", "::1"), ("localhost:1", "localhost"),
            ("lnd.example:65535", "lnd.example"),
        ])
    func addresses(text: String, host: String) throws {
        let address = try LNDAddress(text)
        #expect(address.description == text)
        #expect(address.hostText == host)
    }

    @Test(
        "anything else is no address",
        arguments: [
            "", ":", "localhost", "localhost:", ":10009", "localhost:0", "localhost:65536", "::1:10009",
            "[127.0.0.1]:10009", "https://localhost:10009", "a b:10009", "host\n:10009", "localhost:+5",
        ])
    func noAddresses(text: String) {
        #expect(throws: LNDSetupError.self) { try LNDAddress(text) }
    }

    private func file(_ bytes: [UInt8], mode: Int = 0o600) throws -> String {
        let path = TemporaryDirectory.make() + "/file"
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
        return path
    }

    @Test("a macaroon is read in its binary form and in hexadecimal digits")
    func macaroons() throws {
        let macaroon: [UInt8] = [2, 1, 3, 0x6c, 0x6e, 0x64]
        #expect(try LNDFiles.macaroon(self.file(macaroon)) == "0201036c6e64")
        #expect(try LNDFiles.macaroon(self.file(Array("0201036C6E64\n".utf8))) == "0201036c6e64")
    }

    @Test("a macaroon that others can read is refused, and so is what is none")
    func badMacaroons() throws {
        for mode in [0o640, 0o604, 0o620, 0o601] {
            let path = try self.file([2, 1], mode: mode)
            let error = #expect(throws: LNDSetupError.self) { try LNDFiles.macaroon(path) }
            #expect(error?.description.hasPrefix("\(path) can be read by others") == true)
        }
        for bytes in [[], [1, 2], Array("no macaroon".utf8), [UInt8](repeating: 2, count: 8_193)] {
            #expect(throws: LNDSetupError.self) { try LNDFiles.macaroon(self.file(bytes)) }
        }
        #expect(throws: LNDSetupError.self) { try LNDFiles.macaroon("/nonexistent/macaroon") }
        let directory = TemporaryDirectory.make()
        let error = #expect(throws: LNDSetupError.self) { try LNDFiles.macaroon(directory) }
        #expect(error?.description == "\(directory) is not a file")
        // Nobody writes to it; reading must not wait for somebody who does.
        let pipe = "\(directory)/pipe"
        #expect(mkfifo(pipe, 0o600) == 0)
        #expect(throws: LNDSetupError.self) { try LNDFiles.macaroon(pipe) }
    }

    @Test("a certificate file has a certificate and no private key, and may be read by others")
    func certificates() throws {
        let certificate = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
        #expect(try LNDFiles.certificate(self.file(Array(certificate.utf8), mode: 0o644)) == Array(certificate.utf8))
        let key = certificate + "-----BEGIN EC PRIVATE KEY-----\n"
        for text in ["", "certificate", key] {
            #expect(throws: LNDSetupError.self) { try LNDFiles.certificate(self.file(Array(text.utf8))) }
        }
    }

    @Test("a certificate that cannot be read is refused when the connection is made")
    func brokenCertificate() throws {
        let certificate = try self.file(Array("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n".utf8))
        let settings = try LNDSettings(
            address: "127.0.0.1:1", certificate: certificate, macaroon: try self.file([2, 1]))
        let error = #expect(throws: LNDSetupError.self) { try LNDConnection(settings, timing: .standard) }
        #expect(error?.description.hasPrefix("\(certificate) cannot be used as a certificate") == true)
    }

    @Test(
        "versions are compared by their first two numbers",
        arguments: [
            ("0.17.5-beta commit=v0.17.5-beta", true), ("0.18.0-beta", false), ("0.9.1", true), ("0.21.99-beta", false),
            ("1.0.0", false), ("", false), ("unknown", false),
        ])
    func versions(text: String, isOlder: Bool) {
        #expect(LNDNode.isOlder(text, than: (0, 18)) == isOlder)
    }

    // MARK: - Answers

    @Test("a channel's identity is its funding output's, in the order of bytes on the wire")
    func channelID() throws {
        // The bytes 01 … 20 on the wire are written in reverse; output 258 changes the last two.
        let text = Hex.encode((1...32).reversed())
        #expect(try LNDReading.channelID("\(text):0") == Array(1...32))
        #expect(try LNDReading.channelID("\(text):258") == Array(1...30) + [31 ^ 1, 32 ^ 2])
        #expect(try LNDReading.channelID("\(text):65535") == Array(1...30) + [31 ^ 0xff, 32 ^ 0xff])
        for bad in ["", text, "\(text):", "\(text):65536", "\(text):-1", "\(text):1:1", "\(text.dropLast(2)):1"] {
            #expect(throws: LNDFailure.self) { try LNDReading.channelID(bad) }
        }
    }

    @Test(
        "the chain is read from LND's name for it",
        arguments: [
            ("mainnet", Network.main), ("testnet", .testnet3), ("testnet4", .testnet4), ("signet", .signet),
            ("regtest", .regtest),
        ])
    func networks(name: String, network: Network) throws {
        let info = Lnrpc_GetInfoResponse.with { $0.chains = [.with { $0.network = name }] }
        #expect(try LNDReading.network(info) == network)
    }

    @Test("an unknown chain, none and two are refused")
    func badNetworks() {
        for names in [["simnet"], [], ["mainnet", "regtest"]] {
            let info = Lnrpc_GetInfoResponse.with {
                $0.chains = names.map { name in .with { $0.network = name } }
            }
            #expect(throws: LNDFailure.self) { try LNDReading.network(info) }
        }
    }

    @Test("what a peer announces cannot spoil the listing of all peers")
    func hostileFeatures() throws {
        let bits: [UInt32: Lnrpc_Feature] = [0: .init(), 445: .init(), 4_096: .init(), .max: .init()]
        #expect(LNDReading.features(bits) == LightningFeatures([0, 445]))
    }

    @Test("peers are listed once each, with their channels in order; one that is no public key is refused")
    func peers() throws {
        let (first, second) = (try Self.node(1), try Self.node(2))
        let high = "\(Hex.encode([UInt8](repeating: 9, count: 32))):0"
        let low = "\(Hex.encode([UInt8](repeating: 8, count: 32))):0"
        let channels = Lnrpc_ListChannelsResponse.with {
            $0.channels = [high, low].map { point in
                .with {
                    $0.remotePubkey = second.description
                    $0.channelPoint = point
                }
            }
        }
        let listed = Lnrpc_ListPeersResponse.with {
            $0.peers = [first, second, first].map { node in .with { $0.pubKey = node.description } }
        }
        let peers = try LNDReading.peers(listed, channels)
        #expect(peers.map(\.id) == [first, second])
        #expect(peers.map { $0.channels.map(\.[0]) } == [[], [8, 9]])
        let bad = Lnrpc_ListPeersResponse.with { $0.peers = [.with { $0.pubKey = "02" }] }
        #expect(throws: LNDFailure.self) { try LNDReading.peers(bad, channels) }
        let tooMany = Lnrpc_ListPeersResponse.with {
            $0.peers = Array(repeating: Lnrpc_Peer(), count: LNDReading.maximumPeers + 1)
        }
        #expect(throws: LNDFailure.nonsense("it has 4097 peers; at most 4096 can be attached to")) {
            try LNDReading.peers(tooMany, channels)
        }
    }

    @Test("a message is read with its type in front, and refused when Lightning could not carry it")
    func messages() throws {
        let peer = try Self.node(1)
        func read(type: UInt32, count: Int, from: [UInt8]) throws -> (from: NodeID, bytes: [UInt8]) {
            try LNDReading.message(
                .with {
                    $0.peer = Data(from)
                    $0.type = type
                    $0.data = Data(repeating: 5, count: count)
                })
        }
        let message = try read(type: 386, count: 65_533, from: peer.bytes)
        #expect(message.from == peer)
        #expect(message.bytes.count == 65_535)
        #expect(message.bytes.prefix(3) == [1, 130, 5])
        #expect(throws: LNDFailure.self) { try read(type: 386, count: 65_534, from: peer.bytes) }
        #expect(throws: LNDFailure.self) { try read(type: 65_536, count: 1, from: peer.bytes) }
        #expect(throws: LNDFailure.self) { try read(type: 386, count: 1, from: [2, 3]) }
    }

    // MARK: - Failures

    static let failures: [(RPCError, LNDFailure)] = [
        (.init(code: .notFound, message: "peer is not connected"), .peerNotConnected),
        (.init(code: .unknown, message: "peer is not connected"), .peerNotConnected),
        (
            .init(code: .unknown, message: "msg type: 209 not in custom range: 32768 and not overridden"),
            .typeNotAllowed
        ),
        (.init(code: .deadlineExceeded, message: ""), .timedOut),
        (
            .init(code: .unknown, message: "verification failed: signature mismatch after caveat verification"),
            .credentials(UntrustedText("verification failed: signature mismatch after caveat verification"))
        ),
        (.init(code: .unknown, message: "permission denied"), .credentials(UntrustedText("permission denied"))),
        (
            .init(code: .unknown, message: "cannot get macaroon: root key with id 7 doesn't exist"),
            .credentials(UntrustedText("cannot get macaroon: root key with id 7 doesn't exist"))
        ),
        (.init(code: .unauthenticated, message: "no"), .credentials(UntrustedText("no"))),
        (
            .init(code: .unknown, message: "wallet locked, unlock it to enable full RPC access"),
            .notReady("its wallet is locked; unlock it with: lncli unlock")
        ),
        (
            .init(code: .unknown, message: "wallet not created, create one to enable full RPC access"),
            .notReady("it has no wallet yet; make one with: lncli create")
        ),
        (
            .init(code: .unknown, message: "waiting to start, RPC services not available"),
            .notReady("it is waiting to start")
        ),
        (
            .init(code: .unknown, message: "the RPC server is in the process of starting up, but not yet ready"),
            .notReady("it is starting")
        ),
        (.init(code: .unimplemented, message: "unknown service lnrpc.Lightning"), .unknownCall),
        (.init(code: .invalidArgument, message: "a\u{1b}[1mb"), .refused(code: 3, UntrustedText("a?[1mb"))),
    ]

    @Test("LND's statuses and texts are understood", arguments: failures.indices)
    func understood(index: Int) throws {
        let (error, failure) = Self.failures[index]
        let settings = try LNDSettings(address: "127.0.0.1:1", certificate: "/c", macaroon: "/m")
        #expect(LNDFailure(error, settings: settings) == failure)
    }

    // MARK: - Onion messages

    @Test("an onion message that LND forwards is not for us, and one against the rules is refused")
    func onions() throws {
        let key = try Self.node(1)
        var update = Lnrpc_OnionMessageUpdate.with { $0.pathKey = Data(key.bytes) }
        #expect(!LNDOnion.isForUs(update))
        update.customRecords = [44_501: Data([1, 2])]
        #expect(LNDOnion.isForUs(update))
        #expect(LNDOnion(update)?.delivery(secret: nil) == OnionDelivery(fields: [44_501: [1, 2]]))
        update.replyPath = .with {
            $0.introductionNode = Data(key.bytes)
            $0.blindingPoint = Data(key.bytes)
            $0.blindedHops = [
                .with {
                    $0.blindedNode = Data(key.bytes)
                    $0.encryptedData = Data([7, 8, 9])
                }
            ]
        }
        #expect(LNDOnion(update)?.replyPath == key.bytes + key.bytes + [1] + key.bytes + [0, 3, 7, 8, 9])
        let sound = update
        update.replyPath.blindedHops = []
        #expect(LNDOnion(update) == nil)
        update.replyPath.blindedHops = Array(repeating: sound.replyPath.blindedHops[0], count: 256)
        #expect(LNDOnion(update) == nil)
        update = sound
        update.replyPath.introductionNode = Data([1])
        #expect(LNDOnion(update) == nil)
        update = sound
        for number in 0..<64 { update.customRecords[50_000 + UInt64(number)] = Data() }
        #expect(LNDOnion(update) == nil)
    }
}
