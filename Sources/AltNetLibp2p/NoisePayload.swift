// SPDX-License-Identifier: MIT

internal import AltNetPeerRecords

/// What the second and third message of the handshake carry: `NoiseHandshakePayload` of libp2p's noise/README.md.
struct NoisePayload: Sendable {
    /// Stream multiplexers that are read of the extensions; there are two in all of libp2p.
    static let maximumMuxers = 16
    private static let signaturePrefix = Array("noise-libp2p-static-key:".utf8)

    let identityKey: PeerPublicKey
    let signature: [UInt8]
    /// The stream multiplexers of the sender, the preferred one first; empty when it does not say.
    let muxers: [String]

    /// Signs a static key with our identity.
    init(key: PeerPrivateKey, staticKey: [UInt8], muxers: [String]) throws(NoiseError) {
        guard let signature = key.signature(for: Self.signaturePrefix + staticKey) else { throw .cannotSign }
        self.identityKey = key.publicKey
        self.signature = signature
        self.muxers = muxers
    }

    /// Reads a payload; fields that are not known are skipped, the last of a repeated single field counts.
    init(bytes: [UInt8]) throws(NoiseError) {
        var key: ArraySlice<UInt8>?
        var signature: ArraySlice<UInt8>?
        var muxers: [String] = []
        do {
            var reader = ProtobufReader(bytes[...])
            while let (field, value) = try reader.next() {
                switch (field, value) {
                case (1, .bytes(let bytes)): key = bytes
                case (2, .bytes(let bytes)): signature = bytes
                case (4, .bytes(let bytes)): muxers = try Self.muxers(of: bytes)
                case (1, _), (2, _), (4, _): throw NoiseError.badPayload
                default: break
                }
            }
        } catch { throw .badPayload }
        guard let key, let identityKey = try? PeerPublicKey(protobuf: key) else { throw .badIdentityKey }
        guard let signature else { throw .badIdentitySignature }
        self.identityKey = identityKey
        self.signature = Array(signature)
        self.muxers = muxers
    }

    var bytes: [UInt8] {
        var extensions = ProtobufWriter()
        for muxer in self.muxers { extensions.string(2, muxer) }
        var writer = ProtobufWriter()
        writer.bytes(1, self.identityKey.protobuf)
        writer.bytes(2, self.signature)
        if !self.muxers.isEmpty { writer.bytes(4, extensions.encoded) }
        return writer.encoded
    }

    /// Whether the identity key signed this static key.
    func isSigned(for staticKey: [UInt8]) -> Bool {
        self.identityKey.isValid(signature: self.signature, for: Self.signaturePrefix + staticKey)
    }

    private static func muxers(of bytes: ArraySlice<UInt8>) throws -> [String] {
        var muxers: [String] = []
        var reader = ProtobufReader(bytes)
        while let (field, value) = try reader.next() {
            guard field == 2 else { continue }
            guard case .bytes(let name) = value, muxers.count < Self.maximumMuxers else { throw NoiseError.badPayload }
            muxers.append(String(decoding: name, as: UTF8.self))
        }
        return muxers
    }
}
