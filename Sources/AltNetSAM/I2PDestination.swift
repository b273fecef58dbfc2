// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import Crypto

/// The 32 bytes by which I2P finds a destination: its SHA-256, written as 52 characters and `.b32.i2p`.
///
/// It is also what BIP 155 carries for network 5.
public struct I2PAddress: Hashable, Sendable, CustomStringConvertible {
    /// The size of a SHA-256 hash.
    public static let size = 32

    public let hash: [UInt8]

    /// - Returns: `nil` unless there are 32 bytes.
    public init?(hash: [UInt8]) {
        guard hash.count == Self.size else { return nil }
        self.hash = hash
    }

    /// Reads `<52 characters>.b32.i2p`, in either case. The longer names of encrypted lease sets are none of these.
    public init?(_ text: String) {
        let lower = text.lowercased()
        guard lower.utf8.count == 52 + 8, lower.hasSuffix(".b32.i2p"), let hash = Base32.decode(lower.dropLast(8))
        else { return nil }
        self.init(hash: hash)
    }

    public var description: String { "\(Base32.encode(self.hash)).b32.i2p" }
}

/// A destination: the public keys and the certificate that everybody may know (I2P's "Common structures", Destination).
public struct I2PDestination: Hashable, Sendable, CustomStringConvertible {
    /// Two keys in 384 bytes, and a certificate's type and length.
    static let minimumSize = 387
    /// The largest that is read: four times what today's largest signature type, RSA with 4096 bits, needs.
    static let maximumSize = 3_200

    public let bytes: [UInt8]

    /// Reads I2P's base 64.
    public init(base64 text: some StringProtocol) throws(SAMError) {
        guard text.utf8.count <= (Self.maximumSize + 2) / 3 * 4, let bytes = I2PBase64.decode(text) else {
            throw .malformed("a destination is not in base 64, or too long")
        }
        let size = try Self.size(of: bytes)
        guard bytes.count == size else { throw .malformed("bytes follow a destination") }
        self.bytes = bytes
    }

    /// The destination that something longer starts with.
    init(prefixOf bytes: [UInt8]) throws(SAMError) {
        self.bytes = Array(bytes.prefix(try Self.size(of: bytes)))
    }

    public var base64: String { I2PBase64.encode(self.bytes) }

    public var address: I2PAddress {
        // SHA-256 has 32 bytes, always.
        I2PAddress(sha256: SHA256.hash(data: self.bytes))
    }

    /// The short name: the whole destination has more than 500 characters.
    public var description: String { self.address.description }

    /// What the certificate says of the length.
    private static func size(of bytes: [UInt8]) throws(SAMError) -> Int {
        guard bytes.count >= Self.minimumSize else { throw .malformed("a destination is too short") }
        let length = Int(bytes[385]) << 8 | Int(bytes[386])
        switch bytes[384] {
        // No certificate: the keys of I2P's beginnings.
        case 0 where length == 0: break
        // A key certificate: the types of both keys, and what does not fit into 384 bytes.
        case 5 where length >= 4: break
        default: throw .malformed("a destination has a certificate of an unknown kind")
        }
        let size = Self.minimumSize + length
        guard size <= Self.maximumSize, bytes.count >= size else {
            throw .malformed("a destination is shorter than its certificate says, or too long")
        }
        return size
    }
}

extension I2PAddress {
    fileprivate init(sha256: SHA256.Digest) {
        self.hash = Array(sha256)
    }
}

/// A destination with its private keys, in the form in which a SAM bridge gives and takes it.
public struct I2PPrivateKey: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    /// The largest that is read: a destination and private keys of at most the same size.
    static let maximumSize = 2 * I2PDestination.maximumSize
    /// A destination of the smallest kind, 256 bytes for the encryption key and 20 for DSA's.
    static let minimumSize = I2PDestination.minimumSize + 276

    /// I2P's base 64, as it is to be kept. Secret.
    public let text: String
    public let destination: I2PDestination

    /// Reads what was kept.
    public init(_ text: some StringProtocol) throws(SAMError) {
        guard text.utf8.count <= (Self.maximumSize + 2) / 3 * 4, let bytes = I2PBase64.decode(text) else {
            throw .malformed("a destination's private key is not in base 64, or too long")
        }
        let destination = try I2PDestination(prefixOf: bytes)
        guard bytes.count >= Self.minimumSize, bytes.count > destination.bytes.count + 256 else {
            throw .malformed("a destination's private key is too short")
        }
        self.text = String(text)
        self.destination = destination
    }

    /// Never the key.
    public var description: String { "I2PPrivateKey(redacted)" }

    /// Shows no children, so that `dump` cannot print the key either.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// Base 64 as I2P writes it: `-` and `~` for `+` and `/`, with padding.
enum I2PBase64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-~".utf8)

    static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
            for place in 0..<4 {
                text.append(place <= group.count ? Self.alphabet[bits >> (18 - 6 * place) & 63] : UInt8(ascii: "="))
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// The bytes of a text, or `nil` when it has another character, wrong padding, or a last digit that says more than
    /// its bytes: one value has one text.
    static func decode(_ text: some StringProtocol) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard digits.count.isMultiple(of: 4) else { return nil }
        let padding = digits.reversed().prefix { $0 == UInt8(ascii: "=") }.count
        guard padding <= 2 else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(digits.count / 4 * 3)
        var pending = 0
        var bits = 0
        for digit in digits.dropLast(padding) {
            guard let value = Self.value(digit) else { return nil }
            pending = (pending << 6 | value) & 0xffff
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(pending >> bits & 255))
            }
        }
        guard pending & (1 << bits - 1) == 0 else { return nil }
        return bytes
    }

    private static func value(_ digit: UInt8) -> Int? {
        switch digit {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): Int(digit - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): Int(digit - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(digit - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "-"): 62
        case UInt8(ascii: "~"): 63
        default: nil
        }
    }
}
