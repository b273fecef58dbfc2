// SPDX-License-Identifier: MIT

public import AltNetBase
internal import AltNetPeerRecords

/// Why a negotiation of protocols (multistream-select 1.0.0) fails.
public enum MultistreamError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The length before a line is no unsigned varint in its shortest form, or the line is empty.
    case badLength
    /// A line is longer than ``Multistream/maximumLine``.
    case lineTooLong
    /// A line does not end with a newline character.
    case noNewline
    /// The first line is not `/multistream/1.0.0`.
    case notMultistream(UntrustedText)
    /// The answer to a proposal is neither the proposal nor `na`.
    case unexpectedAnswer(UntrustedText)
    /// The other side has none of the protocols that were proposed.
    case notSupported([String])
    /// The other side proposed more than ``Multistream/maximumProposals`` protocols that we do not have.
    case tooManyProposals

    public var description: String {
        switch self {
        case .badLength: "a line of the protocol negotiation has no proper length"
        case .lineTooLong: "a line of the protocol negotiation has more than \(Multistream.maximumLine) bytes"
        case .noNewline: "a line of the protocol negotiation has no end"
        case .notMultistream(let line): "the other side does not speak multistream-select, it said \"\(line)\""
        case .unexpectedAnswer(let line): "the proposal of a protocol was answered with \"\(line)\""
        case .notSupported(let names): "the other side does not speak \(names.joined(separator: ", "))"
        case .tooManyProposals:
            "the other side proposed more than \(Multistream.maximumProposals) protocols that we do not speak"
        }
    }
}

/// What both sides of a negotiation share: the form of lines, and the bounds.
///
/// A line is its length as an unsigned varint, its text, and a newline character, which the length counts.
public enum Multistream {
    /// Bytes of a line, its newline character included. Names in use have less than 100 bytes; go-multistream stops at
    /// the same number.
    public static let maximumLine = 1_024
    /// Proposals that a listener refuses before it gives up: more versions of one protocol than anybody speaks.
    public static let maximumProposals = 32

    static let notAvailable = "na"

    static func append(_ line: String, to output: inout [UInt8]) {
        UnsignedVarint.append(UInt64(line.utf8.count + 1), to: &output)
        output.append(contentsOf: line.utf8)
        output.append(UInt8(ascii: "\n"))
    }
}

/// Cuts lines out of bytes, and takes none that comes after them: what follows the last line belongs to the protocol.
struct MultistreamLines: Sendable {
    private var prefix: [UInt8] = []
    private var length: Int?
    private var line: [UInt8] = []

    /// The next line without its newline character; `nil` when it is not complete yet.
    mutating func next(_ input: inout ArraySlice<UInt8>) throws(MultistreamError) -> [UInt8]? {
        while self.length == nil {
            guard let byte = input.popFirst() else { return nil }
            self.prefix.append(byte)
            if byte & 0x80 != 0 {
                // Two bytes say up to 16,383.
                guard self.prefix.count < 2 else { throw .lineTooLong }
            } else {
                self.length = try self.decodedLength()
                self.prefix = []
            }
        }
        guard let length = self.length else { return nil }
        let piece = input.prefix(length - self.line.count)
        self.line.append(contentsOf: piece)
        input = input.dropFirst(piece.count)
        guard self.line.count == length else { return nil }
        defer {
            self.length = nil
            self.line = []
        }
        guard self.line.last == UInt8(ascii: "\n") else { throw .noNewline }
        return Array(self.line.dropLast())
    }

    private func decodedLength() throws(MultistreamError) -> Int {
        var reader = ByteReader(self.prefix)
        guard let length = try? UnsignedVarint.read(from: &reader), length > 0 else { throw .badLength }
        guard length <= UInt64(Multistream.maximumLine) else { throw .lineTooLong }
        return Int(length)
    }
}

/// The side that proposes protocols, in the order in which it prefers them.
///
/// It sends its first proposal together with the header, so that a negotiation takes one round trip when the first
/// proposal is taken. It sends nothing of the protocol before the answer: a listener that refuses would read that as
/// further proposals.
struct MultistreamDialer: Sendable {
    private let protocols: [String]
    private var proposed = 0
    private var sawHeader = false
    private var lines = MultistreamLines()

    /// - Parameter protocols: at least one.
    init(_ protocols: [String]) {
        precondition(!protocols.isEmpty, "a negotiation needs something to propose")
        self.protocols = protocols
    }

    /// Writes the header and the first proposal.
    func start(_ output: inout [UInt8]) {
        Multistream.append(ProtocolName.multistream, to: &output)
        Multistream.append(self.protocols[0], to: &output)
    }

    /// Takes answers out of `input`; gives the protocol when there is one, and leaves in `input` what belongs to it.
    mutating func onBytes(
        _ input: inout ArraySlice<UInt8>, output: inout [UInt8]
    ) throws(MultistreamError) -> String? {
        while let line = try self.lines.next(&input) {
            guard self.sawHeader else {
                guard line.elementsEqual(ProtocolName.multistream.utf8) else {
                    throw .notMultistream(UntrustedText(line))
                }
                self.sawHeader = true
                continue
            }
            let proposal = self.protocols[self.proposed]
            if line.elementsEqual(proposal.utf8) { return proposal }
            guard line.elementsEqual(Multistream.notAvailable.utf8) else {
                throw .unexpectedAnswer(UntrustedText(line))
            }
            self.proposed += 1
            guard self.proposed < self.protocols.count else { throw .notSupported(self.protocols) }
            Multistream.append(self.protocols[self.proposed], to: &output)
        }
        return nil
    }
}

/// The side that takes or refuses proposals.
///
/// It answers the header only when it has seen one, so a scanner that says nothing learns nothing. `ls` is refused
/// like any protocol that we do not have: nothing of today needs the list, identify has it.
struct MultistreamListener: Sendable {
    private var refused = 0
    private var sawHeader = false
    private var lines = MultistreamLines()

    /// Takes proposals out of `input`; gives the first that is served, and leaves in `input` what belongs to it.
    mutating func onBytes(
        _ input: inout ArraySlice<UInt8>, output: inout [UInt8], isServed: (String) -> Bool
    ) throws(MultistreamError) -> String? {
        while let line = try self.lines.next(&input) {
            guard self.sawHeader else {
                guard line.elementsEqual(ProtocolName.multistream.utf8) else {
                    throw .notMultistream(UntrustedText(line))
                }
                self.sawHeader = true
                Multistream.append(ProtocolName.multistream, to: &output)
                continue
            }
            if let name = String(validating: line, as: UTF8.self), isServed(name) {
                Multistream.append(name, to: &output)
                return name
            }
            self.refused += 1
            guard self.refused <= Multistream.maximumProposals else { throw .tooManyProposals }
            Multistream.append(Multistream.notAvailable, to: &output)
        }
        return nil
    }
}
