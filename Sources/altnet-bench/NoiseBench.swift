// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetKeys
internal import AltNetNoise
internal import Crypto
internal import Foundation

/// A BOLT 8 stream of full-size messages on one core, beside the bare cipher of the same library.
enum NoiseBench {
    private static let messages = 2_000

    static func run() throws {
        let message = [UInt8](repeating: 7, count: SendCipher.maximumMessageLength)
        let bytes = Double(message.count * Self.messages)
        let key = SymmetricKey(size: .bits256)
        let nonce = try ChaChaPoly.Nonce(data: [UInt8](repeating: 1, count: 12))
        let sealedBox = try ChaChaPoly.seal(message, using: key, nonce: nonce)
        var (bareSeal, bareOpen, send, receive) = (Double.infinity, Double.infinity, Double.infinity, Double.infinity)
        var total = 0
        for _ in 0..<5 {
            bareSeal = min(
                bareSeal,
                try Stopwatch.once {
                    for _ in 0..<Self.messages {
                        total &+= try ChaChaPoly.seal(message, using: key, nonce: nonce).ciphertext.count
                    }
                })
            bareOpen = min(
                bareOpen,
                try Stopwatch.once {
                    for _ in 0..<Self.messages { total &+= try ChaChaPoly.open(sealedBox, using: key).count }
                })
            var (initiator, responder) = try Self.connect()
            var stream: [UInt8] = []
            send = min(
                send,
                try Stopwatch.once {
                    for _ in 0..<Self.messages {
                        // As a session does it: one buffer for each write to the socket.
                        stream.removeAll(keepingCapacity: true)
                        try initiator.send.seal(message, into: &stream)
                        total &+= stream.count
                    }
                })
            (initiator, responder) = try Self.connect()
            var pieces: [[UInt8]] = []
            for _ in 0..<Self.messages {
                stream.removeAll(keepingCapacity: true)
                try initiator.send.seal(message, into: &stream)
                pieces.append(stream)
            }
            receive = min(
                receive,
                try Stopwatch.once {
                    for piece in pieces {
                        responder.receive.append(piece)
                        while let message = try responder.receive.next() { total &+= message.count }
                    }
                })
        }
        Figure.print("bare ChaCha20-Poly1305, sealing 65,535 bytes", bytes / bareSeal / 1e6, "MB/s")
        Figure.print("BOLT 8 stream, sending", bytes / send / 1e6, "MB/s")
        Figure.print(
            "BOLT 8 sending against bare sealing", bareSeal / send, "share", atLeast: 0.7, of: "of the bare speed")
        Figure.print("bare ChaCha20-Poly1305, opening 65,535 bytes", bytes / bareOpen / 1e6, "MB/s")
        Figure.print("BOLT 8 stream, receiving", bytes / receive / 1e6, "MB/s")
        Figure.print(
            "BOLT 8 receiving against bare opening", bareOpen / receive, "share", atLeast: 0.7, of: "of the bare speed")
        precondition(total != 1)
    }

    private static func connect() throws -> (NoiseTransport, NoiseTransport) {
        func key() throws -> NodePrivateKey {
            while true {
                if let key = NodePrivateKey(bytes: (0..<32).map { _ in UInt8.random(in: 0...255) }) { return key }
            }
        }
        let remote = try key()
        var initiator = NoiseHandshake(initiator: try key(), remote: remote.publicKey, ephemeral: try key())
        var responder = NoiseHandshake(responder: remote, ephemeral: try key())
        var (left, right): (NoiseTransport?, NoiseTransport?)
        var toResponder = initiator.onConnected()
        _ = responder.onConnected()
        while left == nil || right == nil {
            var toInitiator: [NoiseHandshake.Directive] = []
            for directive in toResponder {
                switch directive {
                case .write(let bytes): toInitiator += responder.onBytes(bytes)
                case .established(let transport): left = transport
                case .failed(let error): throw error
                }
            }
            toResponder = []
            for directive in toInitiator {
                switch directive {
                case .write(let bytes): toResponder += initiator.onBytes(bytes)
                case .established(let transport): right = transport
                case .failed(let error): throw error
                }
            }
        }
        guard let left, let right else { preconditionFailure("both ends are established") }
        return (left, right)
    }
}
