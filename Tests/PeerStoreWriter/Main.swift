// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetPeerRecords
import AltNetPeerStore
import Glibc

/// Writes into a peer store, or issues sequence numbers, until it is killed, and prints what was acknowledged: one line a
/// number, after the store has returned.
///
///     peer-store-writer peers DIRECTORY FIRST
///     peer-store-writer sequence DIRECTORY CLOCK
@main
struct PeerStoreWriter {
    private static let now = WallClockTime(seconds: 1_800_000_000)
    /// Pieces of news in one transaction.
    private static let batch: UInt64 = 7

    static func main() {
        let arguments = CommandLine.arguments
        guard arguments.count == 4, let number = UInt64(arguments[3]) else { exit(64) }
        do {
            switch arguments[1] {
            case "peers": try Self.writePeers(arguments[2], first: number)
            case "sequence": try Self.issue(arguments[2], clock: number)
            default: exit(64)
            }
        } catch {
            Self.say("\(error)", to: 2)
            exit(1)
        }
    }

    private static func writePeers(_ directory: String, first: UInt64) throws {
        let store = try PeerStore(directory: directory)
        var next = first
        while true {
            let numbers = next..<next + Self.batch
            for (number, outcome) in zip(numbers, try store.learn(try numbers.map(Self.news), now: Self.now)) {
                guard outcome == .stored else { exit(2) }
                Self.say("\(number)", to: 1)
            }
            next = numbers.upperBound
        }
    }

    /// What is told under a number; the test makes the same.
    private static func news(_ number: UInt64) throws -> PeerNews {
        var random = SeededRandom(seed: number)
        let address = try Multiaddress(text: "/ip4/8.8.\(number / 256 % 256).\(number % 256)/tcp/4001")
        guard number % 3 == 0, let key = PeerPrivateKey.ed25519(seed: random.bytes(32)) else {
            return .addresses(
                try PeerID(bytes: [0x12, 32] + random.bytes(32)), [address], source: number % 5 == 0 ? .user : .dht,
                lifetime: .seconds(86_400))
        }
        let record = PeerRecord(peer: key.peerID, sequence: number + 1, addresses: [address])
        return .record(envelope: try record.sealed(by: key).envelope, source: .dht)
    }

    /// Issues numbers with a clock that does not move.
    private static func issue(_ directory: String, clock: UInt64) throws {
        var sequence = try RecordSequence(directory: directory)
        while true { Self.say("\(try sequence.next(now: WallClockTime(seconds: Int64(clock))))", to: 1) }
    }

    private static func say(_ line: String, to descriptor: Int32) {
        let bytes = Array("\(line)\n".utf8)
        guard write(descriptor, bytes, bytes.count) == bytes.count else { exit(3) }
    }
}
