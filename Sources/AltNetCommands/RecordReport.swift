// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetLightning
internal import AltNetPeerRecords

/// What a file says that may be a record, and whether that is genuine.
struct RecordReport: Encodable {
    struct BitcoinAddress: Encodable {
        var address: String
        /// Hexadecimal digits.
        var services: String
    }

    var genuine: Bool
    /// Why it is not genuine.
    var problem: String?
    var kind: RecordKind?
    /// Who signed, or who the file says signed.
    var signer: String?
    var signerKey: String?
    var payloadType: String?
    var size: Int
    var peer: String?
    var sequence: UInt64?
    var addresses: [String]?
    var chain: String?
    var bitcoin: [BitcoinAddress]?
    var lightningNode: String?
    var lightning: [String]?
    /// Hexadecimal digits of a payload that cannot be read.
    var unreadablePayload: String?

    private static let olderType = PeerRecord.Naming.olderRFC.payloadType
    private static let peerTypes = PeerRecord.Naming.allCases.map(\.payloadType)

    /// - Parameter naming: under which names a peer record counts.
    init(_ bytes: [UInt8], naming: Set<PeerRecord.Naming>) {
        self.genuine = false
        self.size = bytes.count
        let envelope: UnverifiedEnvelope
        do {
            envelope = try UnverifiedEnvelope(bytes)
        } catch {
            self.problem = error.description
            return
        }
        let key = try? envelope.publicKey()
        self.signer = key.map { PeerID($0).description }
        self.signerKey = key?.kind.description
        self.payloadType = Self.text(of: envelope.payloadType)
        if envelope.payloadType.elementsEqual(NodeAddressRecord.payloadType) {
            self.kind = .node
            self.verify { _ = try CertifiedNodeAddressRecord(verifying: bytes) }
            if let record = try? NodeAddressRecord(decoding: envelope.payload) { self.show(record, key) }
        } else if Self.peerTypes.contains(where: { envelope.payloadType.elementsEqual($0) }) {
            self.kind = .peer
            self.verify { _ = try CertifiedPeerRecord(verifying: bytes, namings: naming) }
            if naming == [.current], envelope.payloadType.elementsEqual(Self.olderType) {
                self.problem = "a record under the names of RFC 0003 counts only with --older"
            }
            if let record = try? PeerRecord(decoding: envelope.payload) { self.show(record) }
        } else {
            self.problem = "nothing is known of records of this type"
        }
        if self.peer == nil { self.unreadablePayload = Hex.encode(envelope.payload) }
    }

    /// Says that the record is not what it has to be.
    mutating func refuse(_ problem: String) {
        self.genuine = false
        self.problem = problem
    }

    private mutating func verify(_ check: () throws -> Void) {
        do {
            try check()
            self.genuine = true
        } catch {
            self.problem = "\(error)"
        }
    }

    private mutating func show(_ record: PeerRecord) {
        self.peer = record.peer.description
        self.sequence = record.sequence
        self.addresses = record.addresses.map(\.description)
    }

    private mutating func show(_ record: NodeAddressRecord, _ key: PeerPublicKey?) {
        self.peer = record.peer.description
        self.sequence = record.sequence
        self.chain = Network.allCases.first { $0.chainHash == record.chain }?.rawValue ?? record.chain.description
        self.bitcoin = record.bitcoin.map {
            BitcoinAddress(address: $0.text, services: "0x\(String($0.services, radix: 16))")
        }
        self.lightning = record.lightning.map(\.text)
        if let key, key.kind == .secp256k1 { self.lightningNode = Hex.encode(key.data) }
    }

    private static func text(of type: ArraySlice<UInt8>) -> String {
        let isPrintable = !type.isEmpty && type.allSatisfy { (0x21...0x7e).contains($0) }
        return isPrintable ? UntrustedText(type).description : Hex.encode(type.prefix(64))
    }

    // MARK: - For people

    /// The verdict in a line or two.
    var summary: String {
        guard self.genuine else { return "NOT GENUINE  \(self.problem ?? "")" }
        let count = [self.addresses?.count, self.bitcoin?.count, self.lightning?.count].compactMap(\.self).reduce(0, +)
        return """
            GENUINE      \(self.kind?.rawValue ?? "") record with \(count) \(count == 1 ? "address" : "addresses")
            peer         \(self.peer ?? "")
            sequence     \(self.sequence ?? 0)
            """
    }

    /// Everything. What others chose is printed so that it cannot move the cursor.
    var text: String {
        var lines: [(String, String)] = []
        if self.genuine {
            lines.append(("GENUINE", "signed by \(self.signer ?? "")"))
        } else {
            lines.append(("NOT GENUINE", self.problem ?? ""))
            if self.signer != nil { lines.append(("", "what follows is what the file says; nobody vouches for it")) }
        }
        if let kind { lines.append(("kind", kind.rawValue)) }
        if let payloadType { lines.append(("type", payloadType)) }
        if let signer { lines.append(("signer", "\(signer) (\(self.signerKey ?? ""))")) }
        if let peer { lines.append(("peer", peer)) }
        if let sequence { lines.append(("sequence", "\(sequence)")) }
        if let chain { lines.append(("chain", chain)) }
        lines.append(("size", "\(self.size) bytes"))
        for address in self.addresses ?? [] { lines.append(("address", Self.safe(address))) }
        for address in self.bitcoin ?? [] {
            lines.append(("bitcoin", "\(Self.safe(address.address)), services \(address.services)"))
        }
        if let lightningNode { lines.append(("node", lightningNode)) }
        for address in self.lightning ?? [] { lines.append(("lightning", Self.safe(address))) }
        if let unreadablePayload { lines.append(("payload", unreadablePayload)) }
        return lines.map { name, value in
            name + String(repeating: " ", count: max(1, 13 - name.count)) + value
        }.joined(separator: "\n")
    }

    private static func safe(_ text: String) -> String {
        UntrustedText(text.utf8, maximumLength: 4 * Multiaddress.maximumSize).description
    }
}
