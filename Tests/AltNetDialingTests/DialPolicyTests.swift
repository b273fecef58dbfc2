// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetDialing
import AltNetPeerRecords
import Testing

@Suite("DialPolicy")
struct DialPolicyTests {
    private func plan(_ stages: [String], _ candidates: [DialCandidate]) throws -> [String] {
        try DialPolicy(stages: stages).plan(candidates).map(\.address.description)
    }

    // MARK: - Ready ones

    @Test("the default takes what the operator typed and the peer signed first, then everything")
    func standard() throws {
        let candidates = [
            try candidate("/ip4/192.0.2.1/tcp/1", .dht, success: 9), try candidate("/ip4/192.0.2.2/tcp/1", .certified),
            try candidate("/ip4/198.51.100.3/tcp/1", [.dht, .user]), try candidate("/ip4/203.0.113.4/tcp/1", .addrv2),
        ]
        let plan = DialPolicy.standard.plan(candidates).map(\.address.description)
        #expect(Set(plan.prefix(2)) == ["/ip4/192.0.2.2/tcp/1", "/ip4/198.51.100.3/tcp/1"])
        #expect(plan.dropFirst(2) == ["/ip4/192.0.2.1/tcp/1", "/ip4/203.0.113.4/tcp/1"])
    }

    @Test("certified-only takes nothing that the peer did not sign, private-only nothing that reveals our address")
    func filters() throws {
        let signed = try candidate("/ip4/192.0.2.1/tcp/1", [.dht, .certified])
        let typed = try candidate("/ip4/192.0.2.2/tcp/1", .user)
        let proxied = try candidate("/ip4/192.0.2.3/tcp/1", .dht, exposure: .pseudonym)
        let hidden = try candidate("/ip4/192.0.2.4/tcp/1", .dht, exposure: .none)
        #expect(DialPolicy.certifiedOnly.plan([signed, typed, proxied, hidden]) == [signed])
        #expect(DialPolicy.privateOnly.plan([signed, typed, proxied, hidden]) == [proxied, hidden])
    }

    @Test("ready policies are found by name, and say which one was meant when they are not")
    func names() throws {
        for (name, policy) in DialPolicy.named { #expect(try DialPolicy(named: name) == policy) }
        #expect(throws: DialPolicyError.unknownName("`privat-only`", nearest: "private-only")) {
            try DialPolicy(named: "privat-only")
        }
        #expect(throws: DialPolicyError.unknownName("`xyzzyxyzzy`", nearest: nil)) {
            try DialPolicy(named: "xyzzyxyzzy")
        }
    }

    // MARK: - Traits and measures

    @Test(
        "words name what can be seen of an address",
        arguments: [
            ("/ip4/192.0.2.1/tcp/1", "tcp ip4 global"), ("/ip6/2001:db8::1/udp/1/quic-v1", "quic ip6 global"),
            ("/dns4/example.org/tcp/443/wss", "websocket name"), ("/ip4/10.0.0.1/tcp/1", "tcp ip4 local"),
            ("/ip4/127.0.0.1/tcp/1", "tcp ip4 local"), ("/ip6/fe80::1/tcp/1", "tcp ip6 local"),
        ] as [(String, String)])
    func traits(_ text: String, _ words: String) throws {
        let one = try candidate(text)
        let expected = Set(words.split(separator: " ").map(String.init) + ["dht", "exposed"])
        for (word, _) in DialTraits.named {
            let allowed = try DialPolicy(stages: ["only \(word)"]).allows(one)
            #expect(allowed == expected.contains(word), "\(word) of \(text)")
            let without = try DialPolicy(stages: ["without \(word)"]).allows(one)
            #expect(without != allowed, "\(word) of \(text)")
        }
    }

    @Test("an address over a relay has the traits of the way to the relay")
    func relayed() throws {
        let relay = try peer(9).description
        let one = try candidate("/ip4/192.0.2.1/udp/7/quic-v1/p2p/\(relay)/p2p-circuit/ip6/2001:db8::1/tcp/3")
        for word in ["relayed", "quic", "ip4"] { #expect(try DialPolicy(stages: ["only \(word)"]).allows(one)) }
        for word in ["tcp", "ip6"] { #expect(try !DialPolicy(stages: ["only \(word)"]).allows(one)) }
    }

    @Test("a dial reveals our address unless an overlay or a proxy carries it, and then at least the key that we keep")
    func exposure() throws {
        let plain = try address("/ip4/192.0.2.1/tcp/1")
        let onion = try address("/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:1234")
        #expect(DialExposure.of(plain, throughProxy: false) == .clearnetAddress)
        #expect(DialExposure.of(plain, throughProxy: true) == .pseudonym)
        #expect(DialExposure.of(onion, throughProxy: false) == .pseudonym)
        #expect(DialExposure.of(onion, throughProxy: true, keepsKey: false) == .none)
        #expect(DialExposure.of(try address("/dns/example.org/tcp/1"), throughProxy: false) == .clearnetAddress)
        #expect(DialExposure.of(try address("/ip4/10.0.0.1/tcp/1"), throughProxy: false) == .clearnetAddress)
    }

    @Test("what worked comes before what was never tried, and that before what failed")
    func success() throws {
        let failed = try candidate("/ip4/192.0.2.1/tcp/1", success: 3, failure: 4)
        let untried = try candidate("/ip4/192.0.2.2/tcp/1")
        let worked = try candidate("/ip4/192.0.2.3/tcp/1", success: 4, failure: 3)
        #expect(try DialPolicy(stages: ["rank success"]).plan([failed, untried, worked]) == [worked, untried, failed])
    }

    @Test("times are compared in powers of two, and unknown ones come last")
    func latency() throws {
        let unknown = try candidate("/ip4/192.0.2.1/tcp/1")
        let slow = try candidate("/ip4/192.0.2.2/tcp/1", latency: .milliseconds(300))
        let fast = try candidate("/ip4/192.0.2.4/tcp/1", latency: .milliseconds(33))
        let similar = try candidate("/ip4/192.0.2.3/tcp/1", latency: .milliseconds(60))
        let plan = try DialPolicy(stages: ["rank latency"]).plan([unknown, slow, fast, similar])
        #expect(plan == [similar, fast, slow, unknown])
    }

    @Test("network groups and kinds of addresses take turns")
    func turns() throws {
        let candidates = try ["1.1.0.1", "1.1.0.2", "1.1.0.3", "2.2.0.1", "3.3.0.1"]
            .map { try candidate("/ip4/\($0)/tcp/1") }
        #expect(
            try self.plan(["rank diversity"], candidates) == [
                "/ip4/1.1.0.1/tcp/1", "/ip4/2.2.0.1/tcp/1", "/ip4/3.3.0.1/tcp/1", "/ip4/1.1.0.2/tcp/1",
                "/ip4/1.1.0.3/tcp/1",
            ])
        let kinds = try [
            "/ip4/1.1.0.1/tcp/1", "/ip4/2.2.0.1/tcp/1", "/ip6/2001:db8::1/tcp/1", "/ip6/2001:db8::2/tcp/1",
        ]
        .map { try candidate($0) }
        #expect(
            try self.plan(["rank alternate"], kinds) == [
                "/ip6/2001:db8::1/tcp/1", "/ip4/1.1.0.1/tcp/1", "/ip6/2001:db8::2/tcp/1", "/ip4/2.2.0.1/tcp/1",
            ])
    }

    @Test("an earlier stage outweighs all later ones, and last is the opposite of first")
    func weights() throws {
        let candidates = [
            try candidate("/ip4/1.1.0.1/tcp/1", .dht), try candidate("/ip4/2.2.0.1/udp/1/quic-v1", .user),
            try candidate("/ip4/3.3.0.1/tcp/1", .user), try candidate("/ip4/4.4.0.1/udp/1/quic-v1", .dht),
        ]
        #expect(
            try self.plan(["first tcp", "first user"], candidates) == [
                "/ip4/3.3.0.1/tcp/1", "/ip4/1.1.0.1/tcp/1", "/ip4/2.2.0.1/udp/1/quic-v1", "/ip4/4.4.0.1/udp/1/quic-v1",
            ])
        #expect(
            try self.plan(["last tcp", "last user"], candidates) == [
                "/ip4/4.4.0.1/udp/1/quic-v1", "/ip4/2.2.0.1/udp/1/quic-v1", "/ip4/1.1.0.1/tcp/1", "/ip4/3.3.0.1/tcp/1",
            ])
    }

    // MARK: - Text

    @Test("every stage is read back as it was written")
    func roundTrip() throws {
        for (_, policy) in DialPolicy.named { #expect(try DialPolicy(stages: policy.stageTexts) == policy) }
        let texts = [
            "only user certified alt-addr", "without relayed local", "first onion i2p", "last websocket",
            "rank alternate diversity latency success",
        ]
        #expect(try DialPolicy(stages: texts).stageTexts == texts)
        #expect(try DialPolicy(stages: ["only\tcertified   user "]).stageTexts == ["only user certified"])
        var random = SeededRandom(seed: 7)
        for _ in 0..<500 {
            let texts = (0..<Int.random(in: 1...DialPolicy.maximumStages, using: &random)).map { _ in
                let verb = DialPolicy.verbs.randomElement(using: &random) ?? "only"
                let words =
                    verb == "rank" ? DialPolicy.Measure.allCases.map(\.rawValue) : DialTraits.named.map(\.name)
                let chosen = words.shuffled(using: &random).prefix(Int.random(in: 1...words.count, using: &random))
                return ([verb] + chosen).joined(separator: " ")
            }
            let policy = try DialPolicy(stages: texts)
            #expect(try DialPolicy(stages: policy.stageTexts) == policy)
        }
    }

    @Test(
        "what is no policy is refused by name, with the nearest right word",
        arguments: [
            ([], .empty("")), ([""], .empty("")), (["only"], .empty("only")), (["rank  "], .empty("rank")),
            (["olny user"], .unknownVerb("`olny`", nearest: "only")),
            (["only usr"], .unknownWord("`usr`", verb: "only", nearest: "user")),
            (["first certifed tcp"], .unknownWord("`certifed`", verb: "first", nearest: "certified")),
            (["rank user"], .unknownWord("`user`", verb: "rank", nearest: nil)),
            (["only success"], .unknownWord("`success`", verb: "only", nearest: nil)),
            (["rank latency,diversity"], .unknownWord("`latency,diversity`", verb: "rank", nearest: nil)),
            (["only user user"], .repeatedWord("user", verb: "only")),
            (["without a\u{1b}[2Jb"], .unknownWord("`a?[2Jb`", verb: "without", nearest: nil)),
            ([String](repeating: "only user", count: 17), .tooManyStages(17)),
            (["only " + String(repeating: "x", count: 396)], .stageTooLong(401)),
        ] as [([String], DialPolicyError)])
    func refusals(_ stages: [String], _ error: DialPolicyError) {
        #expect(throws: error) { try DialPolicy(stages: stages) }
        #expect(error.description.hasSuffix("."))
    }

    // MARK: - Against a naive model

    @Test("plans are those of a naive model", arguments: 1...100 as ClosedRange<UInt64>)
    func model(_ seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let texts = (0..<Int.random(in: 1...4, using: &random)).map { _ in
            let verb = DialPolicy.verbs.randomElement(using: &random) ?? "rank"
            let words = verb == "rank" ? DialPolicy.Measure.allCases.map(\.rawValue) : DialTraits.named.map(\.name)
            let most = verb == "rank" ? 4 : 8
            let chosen = words.shuffled(using: &random).prefix(Int.random(in: 1...most, using: &random))
            return ([verb] + chosen).joined(separator: " ")
        }
        let policy = try DialPolicy(stages: texts)
        let hosts = ["ip4/1.1.0.", "ip4/1.1.7.", "ip4/2.2.0.", "ip4/10.0.0.", "ip6/2001:db8::", "ip6/2001:db9::"]
        let transports = ["tcp/1", "tcp/2/ws", "udp/1/quic-v1"]
        var seen: Set<String> = []
        var candidates: [DialCandidate] = []
        for _ in 0..<Int.random(in: 0...40, using: &random) {
            let host = (hosts.randomElement(using: &random) ?? "") + String(Int.random(in: 1...9, using: &random))
            let text = "/\(host)/\(transports.randomElement(using: &random) ?? "")"
            guard seen.insert(text).inserted else { continue }
            let times: [Int64?] = [nil, 1, 2, 3]
            candidates.append(
                try candidate(
                    text, AddressSources(rawValue: UInt32.random(in: 1..<1024, using: &random)),
                    exposure: DialExposure.allCases.randomElement(using: &random) ?? .none,
                    success: times.randomElement(using: &random) ?? nil,
                    failure: times.randomElement(using: &random) ?? nil,
                    latency: [nil, .milliseconds(Int.random(in: 0...500, using: &random))]
                        .randomElement(using: &random) ?? nil))
        }
        let plan = policy.plan(candidates)
        #expect(plan == NaivePlan(texts).plan(candidates), "seed \(seed): \(texts)")
        #expect(plan == policy.plan(candidates.reversed()), "the order of what is known does not matter")
        #expect(Set(plan) == Set(candidates.filter { policy.allows($0) }))
    }
}

/// The meaning of a policy's text, word by word, with nothing shared or computed ahead.
private struct NaivePlan {
    private let stages: [[String]]

    init(_ texts: [String]) {
        self.stages = texts.map { $0.split(separator: " ").map(String.init) }
    }

    func plan(_ candidates: [DialCandidate]) -> [DialCandidate] {
        let allowed = candidates.filter { candidate in
            self.stages.allSatisfy { stage in
                let matches = stage.dropFirst().contains { self.has(candidate, $0) }
                return stage[0] == "only" ? matches : stage[0] == "without" ? !matches : true
            }
        }
        // First as if nobody took turns, then with the place among one's own kind.
        let base = self.sorted(allowed) { _, _ in 0 }
        return self.sorted(allowed) { measure, candidate in
            let mine = self.group(measure, candidate)
            return base.prefix { $0 != candidate }.count { self.group(measure, $0) == mine }
        }
    }

    private func sorted(
        _ candidates: [DialCandidate], _ turn: (String, DialCandidate) -> Int
    ) -> [DialCandidate] {
        candidates.sorted { left, right in
            for stage in self.stages {
                let words = stage.dropFirst()
                switch stage[0] {
                case "first", "last":
                    let mine = words.contains { self.has(left, $0) }
                    let other = words.contains { self.has(right, $0) }
                    if mine != other { return mine == (stage[0] == "first") }
                case "rank":
                    for word in words {
                        let mine = self.value(word, left, turn)
                        let other = self.value(word, right, turn)
                        if mine != other { return mine < other }
                    }
                default: break
                }
            }
            let mine = self.has(left, "ip6") ? 0 : 1
            let other = self.has(right, "ip6") ? 0 : 1
            if mine != other { return mine < other }
            return left.address.bytes.lexicographicallyPrecedes(right.address.bytes)
        }
    }

    private func value(_ measure: String, _ candidate: DialCandidate, _ turn: (String, DialCandidate) -> Int) -> Int {
        switch measure {
        case "success":
            guard candidate.known.lastSuccess != nil || candidate.known.lastFailure != nil else { return 1 }
            let success = candidate.known.lastSuccess?.seconds ?? 0
            return success >= candidate.known.lastFailure?.seconds ?? 0 ? 0 : 2
        case "latency":
            guard let latency = candidate.known.latency else { return 1_000 }
            var power = 0
            while Duration.milliseconds(1 << power) <= latency { power += 1 }
            return power
        default: return turn(measure, candidate)
        }
    }

    private func group(_ measure: String, _ candidate: DialCandidate) -> String {
        let text = candidate.address.description.split(separator: "/")
        guard measure == "diversity" else { return "\(text[0]) \(text[2]) \(text.count)" }
        if text[1].hasPrefix("10.") { return "local" }
        return text[0] == "ip4"
            ? text[1].split(separator: ".").prefix(2).joined(separator: ".")
            : text[1].split(separator: ":").prefix(2).joined(separator: ":")
    }

    private func has(_ candidate: DialCandidate, _ word: String) -> Bool {
        let text = candidate.address.description
        switch word {
        case "tcp": return text.contains("/tcp/") && !text.hasSuffix("/ws")
        case "websocket": return text.hasSuffix("/ws")
        case "quic": return text.hasSuffix("/quic-v1")
        case "ip4", "ip6": return text.hasPrefix("/\(word)/")
        case "local": return text.contains("/10.")
        case "global": return !text.contains("/10.")
        case "exposed": return candidate.exposure == .clearnetAddress
        case "pseudonym": return candidate.exposure == .pseudonym
        case "unexposed": return candidate.exposure == .none
        case "name", "onion", "i2p", "relayed": return false
        default: return candidate.known.sources.names.contains(word)
        }
    }
}
