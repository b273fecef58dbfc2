// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import AltNetOnion
import AltNetTestKit
import Foundation
import Testing

/// Onion code that others wrote, behind `Tests/Tools/onion_interop.py`.
struct OtherOnions: Sendable, CustomTestStringConvertible {
    let name: String
    let python: String

    private static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path
    static let pyln = OtherOnions(name: "pyln", python: "\(repository)/.build/venv/bin/python3")
    static let electrum = OtherOnions(name: "electrum", python: "/usr/bin/python3")

    var testDescription: String { self.name }

    static let areInstalled =
        FileManager.default.fileExists(atPath: "\(repository)/.build/venv/.installed")
        && FileManager.default.fileExists(atPath: "/usr/lib/python3/dist-packages/electrum/lnonion.py")

    /// One job of the tool.
    struct Task: Encodable {
        struct Build: Encodable {
            let sessionKey: String
            let associatedData: String
            let hops: [[String]]
        }

        struct Peel: Encodable {
            let onion: String
            let associatedData: String
            let keys: [String]
        }

        struct Reply: Encodable {
            let onion: String
            let key: String
            let contents: String
        }

        struct Open: Encodable {
            let reply: String
            let nodes: [String]
            let sessionKey: String
        }

        var build: Build?
        var peel: Peel?
        var answer: Reply?
        var open: Open?

        static func build(_ route: TestRoute) -> Task {
            Task(
                build: Build(
                    sessionKey: Hex.encode(route.sessionKey.secretBytes),
                    associatedData: Hex.encode(route.associatedData),
                    hops: route.hops.map { [$0.node.description, Hex.encode($0.payload)] }))
        }

        static func peel(_ onion: [UInt8], _ route: TestRoute) -> Task {
            Task(
                peel: Peel(
                    onion: Hex.encode(onion), associatedData: Hex.encode(route.associatedData),
                    keys: route.keys.map { Hex.encode($0.secretBytes) }))
        }
    }

    struct Answer: Decodable, Equatable {
        var onion: String?
        var payloads: [String]?
        var last: Bool?
        var reply: String?
        var hop: Int?
        var contents: String?
        var error: String?
    }

    /// Has all the jobs done by one process.
    func run(_ tasks: [Task]) async throws -> [Answer] {
        let file = TemporaryDirectory.make() + "/tasks"
        let encoder = JSONEncoder()
        let lines = try tasks.map { String(decoding: try encoder.encode($0), as: UTF8.self) + "\n" }
        try lines.joined().write(toFile: file, atomically: true, encoding: .utf8)
        let result = try await Programs.run(
            self.python, ["\(Self.repository)/Tests/Tools/onion_interop.py", self.name, file])
        try #require(result.status == 0, "\(result.errors)")
        let answers = try result.output.split(separator: "\n").map {
            try JSONDecoder().decode(Answer.self, from: Data($0.utf8))
        }
        try #require(answers.count == tasks.count)
        return answers
    }
}

@Suite(
    "Onion code of others",
    .enabled(if: OtherOnions.areInstalled, "needs pyln-proto and python3-electrum; run: scripts/setup --tests"))
struct OnionInteropTests {
    /// Around the sizes that matter: the shortest, TLV payloads of payments, the 33-byte next node of directed messages,
    /// where the length takes three bytes, and what fills an onion alone.
    private static let sizes = [2, 18, 32, 33, 34, 64, 100, 252, 253, 400, 615, 1265]

    /// Routes of every length that fits, with all payloads of one size, and beside them what directed messages look
    /// like: 33 bytes for each but the last, and all that is left for the last.
    private static func routes(_ random: inout SeededRandom) throws -> (equal: [TestRoute], directed: [TestRoute]) {
        var equal: [TestRoute] = []
        for size in self.sizes {
            for count in 1...OnionPacket.maximumHops(payload: size) {
                // Every second one with associated data, as payments have.
                let associatedData = count.isMultiple(of: 2) ? random.bytes(32) : []
                equal.append(
                    try TestRoute(
                        payloads: Array(repeating: size, count: count), associatedData: associatedData, using: &random))
            }
        }
        let directed = try (1...OnionPacket.maximumHops(payload: 33)).map { count in
            let room = OnionPacket.standardPayloadsSize - (count - 1) * OnionPacket.size(ofPayload: 33)
            let last = (2...room).last { OnionPacket.size(ofPayload: $0) <= room } ?? 2
            return try TestRoute(payloads: Array(repeating: 33, count: count - 1) + [last], using: &random)
        }
        return (equal, directed)
    }

    @Test(
        "peels ours at every position of routes of every length that fits",
        arguments: [OtherOnions.pyln, .electrum])
    func theyPeel(_ other: OtherOnions) async throws {
        var random = SeededRandom(seed: 1)
        let (equal, directed) = try Self.routes(&random)
        let routes = equal + directed
        let answers = try await other.run(try routes.map { .peel(try $0.build().packet.bytes, $0) })
        for (route, answer) in zip(routes, answers) {
            let payloads = route.hops.map { Hex.encode($0.payload) }
            #expect(answer == OtherOnions.Answer(payloads: payloads, last: true), "\(route.hops.count) hops")
        }
    }

    @Test(
        "builds what we peel at every position, and the same bytes as we",
        arguments: [OtherOnions.pyln, .electrum])
    func theyBuild(_ other: OtherOnions) async throws {
        var random = SeededRandom(seed: 2)
        let (equal, directed) = try Self.routes(&random)
        // pyln-proto builds wrong onions unless all payloads are equally long: its filler skips the wrong hop.
        let routes = other.name == "pyln" ? equal : equal + directed
        let answers = try await other.run(routes.map { .build($0) })
        for (route, answer) in zip(routes, answers) {
            let bytes = try Vectors.bytes(try #require(answer.onion, "\(answer.error ?? "")"))
            let peeled = try route.peel(try OnionPacket(bytes: bytes))
            #expect(peeled.map(\.payload) == route.hops.map(\.payload))
            #expect(peeled.last?.next == nil)
            #expect(try route.build().packet.bytes == bytes)
        }
    }

    @Test("agrees with us about payloads of all sizes in one onion", arguments: [UInt64(3), 4])
    func mixed(_ seed: UInt64) async throws {
        var random = SeededRandom(seed: seed)
        var routes: [TestRoute] = []
        while routes.count < 100 {
            let lengths = (0..<Int.random(in: 1...12, using: &random)).map { _ in
                Int.random(in: 2...300, using: &random)
            }
            guard lengths.map(OnionPacket.size(ofPayload:)).reduce(0, +) <= OnionPacket.standardPayloadsSize else {
                continue
            }
            routes.append(try TestRoute(payloads: lengths, associatedData: random.bytes(32), using: &random))
        }
        let built = try await OtherOnions.electrum.run(routes.map { .build($0) })
        for (route, answer) in zip(routes, built) {
            #expect(try route.build().packet.bytes == Vectors.bytes(try #require(answer.onion)))
        }
        for other in [OtherOnions.pyln, .electrum] {
            let peeled = try await other.run(try routes.map { .peel(try $0.build().packet.bytes, $0) })
            for (route, answer) in zip(routes, peeled) {
                #expect(answer == OtherOnions.Answer(payloads: route.hops.map { Hex.encode($0.payload) }, last: true))
            }
        }
    }

    @Test("refuses ours with a changed byte, as we do", arguments: [OtherOnions.pyln, .electrum])
    func changed(_ other: OtherOnions) async throws {
        var random = SeededRandom(seed: 5)
        let route = try TestRoute(payloads: [33, 33, 100], using: &random)
        let bytes = try route.build().packet.bytes
        // A byte of the version, of the key, of the payloads and of the code.
        let onions = [0, 1, 20, 34, 700, 1333, 1334, 1365].map { index in
            var onion = bytes
            onion[index] ^= 0x10
            return onion
        }
        for (onion, answer) in zip(onions, try await other.run(onions.map { .peel($0, route) })) {
            let ours = refusal { () throws(OnionError) in _ = try route.peel(try OnionPacket(bytes: onion)) }
            #expect(ours != nil)
            // pyln-proto does not look at the version.
            #expect(answer.error != nil || (other.name == "pyln" && onion[0] != 0))
        }
    }

    @Test("opens our replies, and makes replies that we open, from every hop of every length")
    func replies() async throws {
        var random = SeededRandom(seed: 6)
        var (theirs, ours): ([OtherOnions.Task], [OtherOnions.Task]) = ([], [])
        var expected: [(secrets: [OnionSecret], hop: Int, contents: [UInt8])] = []
        for count in 1...OnionPacket.maximumHops(payload: 33) {
            let route = try TestRoute(payloads: Array(repeating: 33, count: count), using: &random)
            var (packet, secrets) = try route.build()
            for (hop, key) in route.keys.enumerated() {
                // Two bytes at least, because Electrum takes them for a failure code.
                let contents = random.bytes(Int.random(in: 2...256, using: &random))
                let reply = secrets[...hop].reversed().reduce(nil as [UInt8]?) { reply, secret in
                    reply.map { OnionReply.wrap($0, secret: secret) } ?? OnionReply.make(contents, secret: secret)
                }
                ours.append(
                    OtherOnions.Task(
                        open: .init(
                            reply: Hex.encode(reply ?? []), nodes: route.hops.map(\.node.description),
                            sessionKey: Hex.encode(route.sessionKey.secretBytes))))
                theirs.append(
                    OtherOnions.Task(
                        answer: .init(
                            onion: Hex.encode(packet.bytes), key: Hex.encode(key.secretBytes),
                            contents: Hex.encode(contents))))
                expected.append((secrets, hop, contents))
                guard let next = try packet.peel(key: key).next else { break }
                packet = next
            }
        }
        for (answer, (_, hop, contents)) in zip(try await OtherOnions.electrum.run(ours), expected) {
            #expect(answer == OtherOnions.Answer(hop: hop, contents: Hex.encode(contents)))
        }
        for (answer, (secrets, hop, contents)) in zip(try await OtherOnions.electrum.run(theirs), expected) {
            let made = try Vectors.bytes(try #require(answer.reply, "\(answer.error ?? "")"))
            let arrived = secrets[..<hop].reversed().reduce(made) { OnionReply.wrap($0, secret: $1) }
            let opened = try OnionReply.open(arrived, secrets: secrets)
            #expect(opened.hop == hop && opened.contents == contents)
        }
    }
}
