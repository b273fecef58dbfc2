// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetCoreLightning
import AltNetKeys
import AltNetLightning
import AltNetLightningAttachment
import Foundation
import Logging
import Synchronization

/// NOT FOR PUBLIC CONSUMPTION: a Core Lightning plugin for tests. It writes what happens to lightningd's log, and peers
/// tell it by messages what to do.
@main
struct EchoPlugin {
    /// What messages make it do; the number is the type.
    private enum Order {
        /// Send the body back as type 44403.
        static let echo: UInt16 = 44401
        /// Send the onion message of the body: `path_key`, onion.
        static let onion: UInt16 = 44405
        /// Connect to the node of the body on loopback: identity, port.
        static let connect: UInt16 = 44407
        /// Send the body, which is a message, back.
        static let raw: UInt16 = 44409
    }

    struct NotThere: Error, CustomStringConvertible {
        let description = "altnetd is not there"
    }

    static func main() async {
        guard CoreLightningPlugin.isRequested else { exit(64) }
        await CoreLightningPlugin.run { attachment, configuration in
            // The start file's existence stands for altnetd's.
            guard FileManager.default.fileExists(atPath: configuration.startFile) else { throw NotThere() }
            let logger = Logger(label: "echo")
            logger.info("ATTACHED \(attachment.nodeID) \(attachment.network.rawValue)")
            let messages = Mutex(0)
            try await attachment.run { event in
                // A driver that is slow for as long as the test wants.
                while FileManager.default.fileExists(atPath: configuration.startFile + ".hold") {
                    do { try await Task.sleep(for: .milliseconds(10)) } catch { return }
                }
                logger.info("\(Self.text(of: event))")
                if case .peerDisconnected = event {
                    // Of a log that is read slowly, lines are dropped. A file counts them all.
                    let count = messages.withLock { "\($0)" }
                    try? count.write(toFile: configuration.startFile + ".messages", atomically: true, encoding: .utf8)
                }
                if case .message(let peer, let message) = event {
                    messages.withLock { $0 += 1 }
                    await Self.obey(message, of: peer, attachment, logger)
                }
            }
        }
    }

    private static func text(of event: AttachmentEvent) -> String {
        switch event {
        case .peerConnected(let peer):
            let bits = peer.features.contains(BitcoinOverLightning.featureBit) ? "objects" : "plain"
            return "CONNECTED \(peer.id) \(bits) \(peer.channels.map { Hex.encode($0) })"
        case .peerDisconnected(let peer): return "DISCONNECTED \(peer)"
        case .channels(let peer, let channels): return "CHANNELS \(peer) \(channels.map { Hex.encode($0) })"
        case .message(let peer, let message):
            return "MESSAGE \(peer) \(message.count) \(Hex.encode(message.prefix(40)))"
        case .onionMessage(let delivery):
            let fields = delivery.fields.sorted { $0.key < $1.key }.map { "\($0.key)=\(Hex.encode($0.value))" }
            return "ONION \(fields.joined(separator: ",")) reply=\(Hex.encode(delivery.replyPath ?? []))"
                + " secret=\(Hex.encode(delivery.pathSecret ?? []))"
        }
    }

    private static func obey(
        _ message: [UInt8], of peer: NodeID, _ attachment: any LightningAttachment, _ logger: Logger
    ) async {
        let type = UInt16(message[0]) << 8 | UInt16(message[1])
        let body = Array(message.dropFirst(2))
        do throws(AttachmentError) {
            switch type {
            case Order.echo:
                try await attachment.send([0xad, 0x73] + body, to: peer)
            case Order.onion:
                guard body.count > 33, let pathKey = NodeID(bytes: body[..<33]) else { return }
                try await attachment.send(
                    AttachedOnionMessage(firstNode: attachment.nodeID, pathKey: pathKey, onion: Array(body[33...])))
            case Order.connect:
                guard body.count == 35, let node = NodeID(bytes: body[..<33]) else { return }
                try await attachment.connect(
                    to: node, host: "127.0.0.1", port: UInt16(body[33]) << 8 | UInt16(body[34]))
            case Order.raw:
                try await attachment.send(body, to: peer)
            default: return
            }
            logger.info("DONE \(type)")
        } catch {
            logger.info("FAILED \(type): \(error)")
        }
    }
}
