// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin
public import AltNetWatchdog
internal import FoundationEssentials

/// The proof of an incident as a file: one JSON value that another machine can check without us.
///
/// ``verify()`` says what the headers prove by themselves, and what rests on the word of the daemon that wrote the file.
/// A checksum over everything names a file that was damaged; against somebody who computes it anew only the headers
/// help, which cannot be made up without their proof of work.
public struct EvidenceFile: Hashable, Sendable {
    /// The value of `format` in every file.
    public static let format = "altnet-evidence"
    /// The newest form that this program writes, and reads.
    public static let version = 1
    /// A larger file is none of ours: ``Evidence/maximumHeaders`` twice, and words.
    public static let maximumLength = 1 << 20

    public var network: Network
    /// When it was written, on the daemon's clock.
    public var exportedAt: WallClockTime
    /// The software that wrote it.
    public var exportedBy: String
    public var incident: Incident

    public init(
        network: Network, exportedAt: WallClockTime, exportedBy: String = "altnet \(AltNetVersion.current)",
        incident: Incident
    ) {
        self.network = network
        self.exportedAt = exportedAt
        self.exportedBy = exportedBy
        self.incident = incident
    }

    /// The text of the file: keys in alphabetical order, the checksum of everything else among them.
    public func encoded() throws -> [UInt8] {
        try Self.text(Form(self, checksum: try self.checksum()), pretty: true) + [UInt8(ascii: "\n")]
    }

    /// Reads a file, and compares its checksum.
    ///
    /// - Throws: ``EvidenceError`` `.notEvidence`, `.unknownVersion`, `.unreadable` or `.checksum`.
    public init(_ bytes: [UInt8]) throws(EvidenceError) {
        guard bytes.count <= Self.maximumLength else {
            throw EvidenceError(.notEvidence, "the file is larger than \(Self.maximumLength) bytes")
        }
        let head: Head
        do {
            head = try JSONDecoder().decode(Head.self, from: Data(bytes))
        } catch {
            throw EvidenceError(.notEvidence, "the file is not the JSON of an evidence file")
        }
        guard head.format == Self.format else {
            throw EvidenceError(.notEvidence, "the format is \(UntrustedText(head.format)), not \(Self.format)")
        }
        guard head.version == Self.version else {
            throw EvidenceError(
                .unknownVersion, "the file has version \(head.version); this program reads \(Self.version)")
        }
        let form: Form
        do {
            form = try JSONDecoder().decode(Form.self, from: Data(bytes))
            self = try form.file()
        } catch let error as DecodingError {
            throw EvidenceError(.unreadable, error.sentence)
        } catch {
            throw EvidenceError(.unreadable, "\(error)")
        }
        guard let expected = try? self.checksum(), expected == form.checksum else {
            throw EvidenceError(.checksum, "the file was changed after it was written: its checksum does not match")
        }
    }

    /// The double SHA-256 of the file without its checksum and without white space.
    private func checksum() throws -> String {
        DoubleSHA256.hash(try Self.text(Form(self, checksum: nil), pretty: false)).description
    }

    private static func text(_ form: Form, pretty: Bool) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        if pretty { encoder.outputFormatting.insert(.prettyPrinted) }
        return Array(try encoder.encode(form))
    }

    private struct Head: Decodable {
        var format: String
        var version: Int
    }

    /// The keys of the file.
    private struct Form: Codable {
        struct Exported: Codable {
            var at: Int64
            var by: String
        }

        struct About: Codable {
            var id: Int64
            var kind: Incident.Kind
            var severity: Incident.Severity
            var subject: Subject
            var explanation: String
            var behind: Behind?
            var measures: [Measure]
            var actions: [ActionRecord]
            var since: Int64
            var opened: Int64
            var updated: Int64
            var closed: Int64?
            var ending: Incident.Ending?
        }

        var format = EvidenceFile.format
        var version = EvidenceFile.version
        var network: Network
        var exported: Exported
        var incident: About
        var evidence: Evidence
        var checksum: String?

        init(_ file: EvidenceFile, checksum: String?) {
            let incident = file.incident
            self.network = file.network
            self.exported = Exported(at: file.exportedAt.milliseconds, by: file.exportedBy)
            self.incident = About(
                id: incident.id, kind: incident.kind, severity: incident.severity, subject: incident.subject,
                explanation: incident.explanation, behind: incident.behind, measures: incident.measures,
                actions: incident.actions, since: incident.since.milliseconds, opened: incident.opened.milliseconds,
                updated: incident.updated.milliseconds, closed: incident.closed?.milliseconds, ending: incident.ending)
            self.evidence = incident.evidence
            self.checksum = checksum
        }

        func file() throws -> EvidenceFile {
            guard self.evidence.headers.count <= Evidence.maximumHeaders,
                self.evidence.otherBranch.count <= Evidence.maximumHeaders,
                self.evidence.statements.count <= Evidence.maximumStatements
            else { throw EvidenceError(.unreadable, "more headers or statements than an evidence file has") }
            let about = self.incident
            return EvidenceFile(
                network: self.network, exportedAt: WallClockTime(milliseconds: self.exported.at),
                exportedBy: self.exported.by,
                incident: Incident(
                    id: about.id, kind: about.kind, severity: about.severity, subject: about.subject,
                    explanation: about.explanation, behind: about.behind, measures: about.measures,
                    evidence: self.evidence, actions: about.actions, since: WallClockTime(milliseconds: about.since),
                    opened: WallClockTime(milliseconds: about.opened),
                    updated: WallClockTime(milliseconds: about.updated),
                    closed: about.closed.map { WallClockTime(milliseconds: $0) }, ending: about.ending))
        }
    }
}

/// Why an evidence file is none, or proves nothing.
public struct EvidenceError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A short name, stable for programs.
    public enum Name: String, Hashable, Sendable, Codable {
        case notEvidence = "not-evidence"
        case unknownVersion = "unknown-version"
        case unreadable
        case checksum
        /// A header breaks a rule, or does not link.
        case header
        /// A header stands at another height than it says.
        case height
        /// The other branch does not begin on the chain.
        case branch
        /// The headers do not show what the incident claims.
        case claim
        /// A statement contradicts the headers.
        case statement

        /// Whether the file is at fault, rather than what it claims.
        public var isAboutTheFile: Bool {
            self == .notEvidence || self == .unknownVersion || self == .unreadable
        }
    }

    public var name: Name
    /// One sentence.
    public var description: String

    public init(_ name: Name, _ description: String) {
        self.name = name
        self.description = description
    }
}
