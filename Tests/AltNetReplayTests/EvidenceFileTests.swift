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
        #expect(verification.proven.count == (onBranch ? 3 : 2) && verification.notes.isEmpty)
        #expect(verification.proven.last?.contains("3 blocks after the last common one") == true)
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
        try fails(.claim) { $0.behind?.firstMissing.hash = .zero }
        try fails(.claim) { $0.behind?.firstMissing.height += 1 }
        try fails(.claim) { $0.behind?.best?.work = .max }
        try fails(.claim) { $0.behind?.best?.hash = .zero }
        try fails(.claim) { $0.behind?.shown?.height += 1 }
        try fails(.claim) { $0.behind?.provenBy = Self.a }
        try fails(.statement) { $0.evidence.statements[0].point?.work = .max }
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

    @Test(
        "proves real headers across a retarget, and says what it could not check",
        .enabled(if: ProcessInfo.processInfo.environment["ALTNET_SHARED"] != nil))
    func mainnet() throws {
        let shared = ProcessInfo.processInfo.environment["ALTNET_SHARED"] ?? ""
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: shared + "/data/mainnet-headers-586656.bin")))
        let at = WallClockTime(seconds: 1_700_000_000)
        // Heights 588,600 to 588,743; the target changes at 588,672.
        let headers = (1944..<2088).compactMap { index in
            BlockHeader(bytes: bytes[index * 80..<index * 80 + 80]).map {
                Evidence.Header(height: UInt32(586_656 + index), header: $0, provenBy: Self.b, provenAt: at)
            }
        }
        let incident = Incident(
            id: 1, kind: .staleTip, severity: .warning, subject: .chain, explanation: "",
            evidence: Evidence(headers: headers), since: at, opened: at, updated: at)
        let verification = try EvidenceFile(network: .main, exportedAt: at, incident: incident).verify()
        #expect(verification.proven.first?.contains("144 headers from height 588600 to 588743") == true)
        #expect(verification.notes.first?.contains("height 588672") == true)
    }
}
