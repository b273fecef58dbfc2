// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetReplay
import AltNetWatchdog
import Foundation
import HeaderTestSupport
import Testing

@Suite("EvidenceFile")
struct EvidenceFileTests {
    private static let now = WallClockTime(seconds: Int64(Network.regtest.genesis.time) + 1_000_000)
    private static let a = Subject("bitcoin a:8333")
    private static let b = Subject("lightning b")

    /// What a watchdog says when a link stands at height 3 of 6, or on a branch of one block from there.
    private static func incident(onBranch: Bool = false) throws -> Incident {
        var watchdog = Watchdog(configuration: Watchdog.Configuration(grace: .zero, expectedInterval: nil), nextID: 1)
        var directives: [Watchdog.Directive] = []
        func see(_ event: Observation.Event) {
            directives += watchdog.observe(Observation(at: Self.now, event))
        }
        var point = ChainPoint(hash: Network.regtest.genesis.hash, height: 0, work: Network.regtest.genesis.bits.work)
        see(.proved(Network.regtest.genesis, point, by: .chain))
        var points = [point]
        let chain = HeaderMiner.chain(6)
        func next(_ header: BlockHeader, on parent: ChainPoint) -> ChainPoint {
            ChainPoint(hash: header.hash, height: parent.height + 1, work: parent.work &+ header.bits.work)
        }
        for header in chain {
            point = next(header, on: point)
            points.append(point)
            see(.proved(header, point, by: Self.b))
        }
        var shown = points[3]
        if onBranch {
            let header = HeaderMiner.header(on: shown.hash, time: chain[2].time + 1, salt: 9)
            shown = next(header, on: shown)
            see(.proved(header, shown, by: Self.a))
        }
        see(.best(point))
        see(
            .opened(
                Self.a, LinkFacts(driver: "bitcoin", isTarget: true, operatorKey: "", networkGroup: "", exposure: "")))
        see(.shows(Self.a, shown))
        for case .open(let incident) in directives { return incident }
        throw CancellationError()
    }

    private static func file(_ incident: Incident) -> EvidenceFile {
        EvidenceFile(network: .regtest, exportedAt: Self.now, incident: incident)
    }

    @Test("proves that a link is behind, from what a watchdog wrote", arguments: [false, true])
    func valid(onBranch: Bool) throws {
        let incident = try Self.incident(onBranch: onBranch)
        let bytes = try Self.file(incident).encoded()
        let file = try EvidenceFile(bytes)
        #expect(file.incident == incident)
        #expect(try file.encoded() == bytes)
        let verification = try file.verify()
        #expect(verification.proven.count == (onBranch ? 4 : 3))
        #expect(verification.proven.contains { $0.contains("3 blocks after the last common one") })
        // The rules of regtest allow anybody to make these headers, so they prove nothing to others.
        #expect(!verification.proves && verification.summary.hasPrefix("CONSISTENT: the headers say that blocks exist"))
        #expect(verification.summary.hasSuffix("on regtest such headers cost nothing to make"))
        #expect(verification.proven.contains { $0.contains("times the easiest that regtest allows") })
        #expect(verification.claimed.contains { $0.hasPrefix("bitcoin a:8333 showed block \(onBranch ? 4 : 3)") })
        #expect(verification.claimed.contains { $0.hasPrefix("lightning b brought 3 of the headers") })
    }

    @Test("fails when any character that is no white space changes", arguments: [false, true])
    func mutations(onBranch: Bool) throws {
        let bytes = try Self.file(try Self.incident(onBranch: onBranch)).encoded()
        var random = SeededRandom(seed: 4)
        for place in bytes.indices where !" \n".utf8.contains(bytes[place]) {
            // Every seventh place: a file has thousands.
            guard place.isMultiple(of: 7) else { continue }
            var changed = bytes
            repeat {
                changed[place] = UInt8.random(in: 0x21...0x7e, using: &random)
            } while changed[place] == bytes[place]
            // The case of hexadecimal digits means nothing.
            if changed[place] ^ bytes[place] == 0x20 { continue }
            #expect(throws: EvidenceError.self, "at \(place)") { _ = try EvidenceFile(changed).verify() }
        }
    }

    /// Whoever computes the checksum anew still cannot make up headers or a claim that they do not carry.
    @Test("fails by name when the content is forged and the checksum made anew")
    func forgeries() throws {
        let honest = try Self.incident(onBranch: true)
        func fails(_ name: EvidenceError.Name, _ change: (inout Incident) -> Void) throws {
            var incident = honest
            change(&incident)
            let error = #expect(throws: EvidenceError.self) {
                _ = try EvidenceFile(try Self.file(incident).encoded()).verify()
            }
            #expect(error?.name == name, "\(error?.description ?? "")")
        }
        try fails(.header) { $0.evidence.headers[1].header.nonce ^= 1 }
        try fails(.header) { $0.evidence.headers[2].header.time += 1 }
        try fails(.header) { $0.evidence.headers[3].header.bits = CompactTarget(0x1d00_ffff) }
        try fails(.height) { $0.evidence.headers.remove(at: 2) }
        try fails(.header) { $0.evidence.headers[0].header.nonce ^= 1 }
        try fails(.height) { for index in 1...3 { $0.evidence.headers[index].height += 1 } }
        try fails(.branch) { $0.evidence.otherBranch[0].header.previous = .zero }
        try fails(.header) { $0.evidence.otherBranch[0].header.merkleRoot = .zero }
        try fails(.claim) { $0.evidence.headers.removeLast() }
        try fails(.claim) { $0.behind = nil }
        try fails(.claim) { $0.behind?.blocks = 4 }
        // Also once it is over.
        try fails(.claim) {
            $0.behind?.blocks = 1000
            $0.closed = Self.now
        }
        try fails(.claim) { $0.measures[0].value = 1000 }
        try fails(.claim) { $0.behind?.firstMissing.hash = .zero }
        try fails(.claim) { $0.behind?.firstMissing.height += 1 }
        try fails(.claim) { $0.behind?.best?.work = .max }
        try fails(.claim) { $0.behind?.best?.hash = .zero }
        try fails(.claim) { $0.behind?.shown?.height += 1 }
        try fails(.claim) { $0.behind?.provenBy = Self.a }
        try fails(.statement) { $0.evidence.statements[0].point?.work = .max }
    }

    @Test("does not call proven what only the daemon says: another kind, no headers, other heights")
    func words() throws {
        var bare = try Self.incident()
        bare.kind = .staleTip
        bare.behind = nil
        var valid = bare
        bare.evidence = Evidence()
        let nothing = try Self.file(bare).verify()
        #expect(nothing.summary == "CONSISTENT: nothing in this file is proven by headers")
        #expect(!nothing.proves && nothing.proven.isEmpty)
        valid.measures = [Measure("silence", 9000, "seconds")]
        let unrelated = try Self.file(valid).verify()
        #expect(unrelated.summary == "CONSISTENT: the headers are valid, and prove nothing of what is claimed")
        #expect(!unrelated.proves && unrelated.claimed.contains { $0.contains("silence as 9000.0") })
        var moved = try Self.incident(onBranch: true)
        for index in moved.evidence.headers.indices { moved.evidence.headers[index].height += 900_000 }
        for index in moved.evidence.otherBranch.indices { moved.evidence.otherBranch[index].height += 900_000 }
        for index in moved.evidence.statements.indices { moved.evidence.statements[index].point?.height += 900_000 }
        moved.behind?.firstMissing.height += 900_000
        moved.behind?.best?.height += 900_000
        moved.behind?.shown?.height += 900_000
        let elsewhere = try Self.file(moved).verify()
        #expect(!(elsewhere.proven + [elsewhere.summary]).contains { $0.contains("90000") }, "\(elsewhere)")
        #expect(elsewhere.claimed.contains("it places these headers at heights 900003 to 900006"))
        // A number beyond the headers, where the accused's block is not among them.
        var far = try Self.incident()
        far.behind?.shown?.hash = .zero
        far.evidence.statements[0].point?.hash = .zero
        far.behind?.blocks = 1000
        far.measures = []
        let word = try Self.file(far).verify()
        #expect(!word.proves && word.summary.hasSuffix("prove nothing of what is claimed"))
        #expect(word.notes.contains { $0.contains("1000 blocks are missing, rests on the daemon's word") })
        #expect(!word.proven.contains { $0.contains("1000") })
    }

    @Test("names what is no evidence file, and one of a newer version")
    func others() throws {
        func name(_ text: String) -> EvidenceError.Name? {
            #expect(throws: EvidenceError.self) { _ = try EvidenceFile(Array(text.utf8)) }?.name
        }
        #expect(name("") == .notEvidence)
        #expect(name("[]") == .notEvidence)
        #expect(name(#"{"format":"other","version":1}"#) == .notEvidence)
        #expect(name(#"{"format":"altnet-evidence","version":2}"#) == .unknownVersion)
        #expect(name(#"{"format":"altnet-evidence","version":1}"#) == .unreadable)
        #expect(EvidenceError.Name.notEvidence.isAboutTheFile && !EvidenceError.Name.claim.isAboutTheFile)
    }

    private static let hasShared = ProcessInfo.processInfo.environment["ALTNET_SHARED"] != nil

    /// 144 real headers, at heights 588,600 to 588,743; the target changes at 588,672.
    private static func realHeaders() throws -> [Evidence.Header] {
        let shared = ProcessInfo.processInfo.environment["ALTNET_SHARED"] ?? ""
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: shared + "/data/mainnet-headers-586656.bin")))
        return try (1944..<2088).map { index in
            let header = try #require(BlockHeader(bytes: Array(bytes[index * 80..<index * 80 + 80])))
            return Evidence.Header(
                height: UInt32(586_656 + index), header: header, provenBy: Self.b, provenAt: Self.later)
        }
    }

    private static let later = WallClockTime(seconds: 1_700_000_000)

    @Test("checks real headers across a retarget, and says what it could not check", .enabled(if: hasShared))
    func mainnet() throws {
        let incident = Incident(
            id: 1, kind: .staleTip, severity: .warning, subject: .chain, explanation: "",
            evidence: Evidence(headers: try Self.realHeaders()), since: Self.later, opened: Self.later,
            updated: Self.later)
        let verification = try EvidenceFile(network: .main, exportedAt: Self.later, incident: incident).verify()
        #expect(verification.proven.first?.hasPrefix("144 headers, from ") == true)
        #expect(verification.claimed.contains("it places these headers at heights 588600 to 588743"))
        #expect(verification.notes.first?.contains("the target changes at 588672") == true)
        #expect(!verification.proves)
    }

    @Test("proves with headers that are dear to make that blocks are missing", .enabled(if: hasShared))
    func dear() throws {
        let headers = Array(try Self.realHeaders().prefix(3))
        var works = [Work(7)]
        for header in headers.dropFirst() { works.append(works[works.count - 1] &+ header.header.bits.work) }
        let points = zip(headers, works).map { ChainPoint(hash: $0.header.hash, height: $0.height, work: $1) }
        let incident = Incident(
            id: 1, kind: .nodeBehind, severity: .warning, subject: .node, explanation: "",
            behind: Behind(
                blocks: 2, firstMissing: points[1], provenBy: Self.b, provenAt: Self.later, best: points[2],
                shown: points[0]),
            evidence: Evidence(headers: headers), since: Self.later, opened: Self.later, updated: Self.later)
        let verification = try EvidenceFile(network: .main, exportedAt: Self.later, incident: incident).verify()
        #expect(verification.proves && verification.notes.isEmpty)
        #expect(verification.summary.hasPrefix("PROVEN: blocks exist that have more work than \(points[0].hash)"))
        let price = try #require(verification.proven.last)
        #expect(price.contains("each header is of difficulty 9e12"), "\(price)")
        #expect(price.contains("takes about 7.7e22 hashes"), "\(price)")
    }

    @Test("says that headers near the least difficulty of the main network are cheap")
    func cheap() throws {
        let genesis = Evidence.Header(
            height: 0, header: Network.main.genesis, provenBy: Self.b, provenAt: Self.later)
        let point = ChainPoint(hash: genesis.header.hash, height: 0, work: Work(1))
        let incident = Incident(
            id: 1, kind: .withheldBlock, severity: .warning, subject: Self.a, explanation: "",
            behind: Behind(blocks: 1, firstMissing: point, provenBy: Self.b, provenAt: Self.later),
            evidence: Evidence(headers: [genesis]), since: Self.later, opened: Self.later, updated: Self.later)
        let verification = try EvidenceFile(network: .main, exportedAt: Self.later, incident: incident).verify()
        #expect(!verification.proves && verification.summary.contains("a header of difficulty 1 costs little to make"))
        #expect(verification.proven.last?.hasPrefix("each header is of difficulty 1, at least 1 times") == true)
        #expect(verification.proven.last?.hasSuffix("from 2009-01-03T18:15:05Z to 2009-01-03T18:15:05Z") == true)
    }
}
