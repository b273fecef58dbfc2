// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import Crypto

/// Answers that travel back along the route of an onion, as failures of payments do (BOLT 4, "Returning Errors"), and
/// as replies to directed messages do.
public enum OnionReply {
    /// The bytes of a reply beside contents and padding: the authentication code and two lengths.
    public static let overhead = OnionPacket.hmacSize + 2 + 2
    /// The least bytes of contents and padding, so that lengths tell little (BOLT 4).
    public static let minimumLength = 256
    /// The most bytes that contents, or contents and padding, can have: a Lightning message has at most 65,535 bytes,
    /// and a `directed_reply` 36 of its own beside the reply.
    public static let maximumLength = 65_535 - 36 - Self.overhead
    /// How many layers the sender of the onion removes at least, however short the route is (BOLT 4: 27), so that the
    /// time says nothing about the route.
    public static let minimumRounds = 27

    /// What the answering node sends back: contents, padded to `minimumLength` bytes, authenticated and encrypted.
    ///
    /// Contents and minimum MUST NOT be longer than ``maximumLength``.
    public static func make(
        _ contents: [UInt8], secret: OnionSecret, minimumLength: Int = Self.minimumLength
    ) -> [UInt8] {
        let padding = max(0, minimumLength - contents.count)
        precondition(contents.count + padding <= Self.maximumLength, "the reply does not fit into a message")
        var plain: [UInt8] = []
        plain.reserveCapacity(contents.count + padding + 4)
        plain.appendBigEndian(UInt16(contents.count))
        plain.append(contentsOf: contents)
        plain.appendBigEndian(UInt16(padding))
        plain.append(contentsOf: repeatElement(0, count: padding))
        return Self.sealed(plain, secret: secret)
    }

    /// Authenticates and encrypts what the lengths, contents and padding are to be.
    static func sealed(_ plain: [UInt8], secret: OnionSecret) -> [UInt8] {
        let code = HMAC<SHA256>.authenticationCode(for: plain, using: secret.key(.um))
        return Self.wrap(Array(code) + plain, secret: secret)
    }

    /// What each node on the way back sends on: the reply with one more layer of encryption.
    public static func wrap(_ reply: [UInt8], secret: OnionSecret) -> [UInt8] {
        Keystream.apply(secret.key(.ammag), to: reply)
    }

    /// Opens a reply with the secrets that ``OnionPacket/build(_:sessionKey:associatedData:hopPayloadsSize:)`` gave,
    /// first hop first. Says which hop sent it, counted from 0, and what.
    ///
    /// Removes the layers of all hops, and more, whoever sent it, so that the time does not depend on the sender.
    public static func open(
        _ reply: [UInt8], secrets: [OnionSecret]
    ) throws(OnionError) -> (hop: Int, contents: [UInt8]) {
        guard reply.count >= Self.overhead, reply.count <= Self.overhead + Self.maximumLength else {
            throw .badLength(reply.count)
        }
        var layer = reply
        var found: (hop: Int, reply: [UInt8])?
        for round in 0..<max(Self.minimumRounds, secrets.count) {
            let secret = round < secrets.count ? secrets[round] : Self.standIn
            layer = Keystream.apply(secret.key(.ammag), to: layer)
            let fits = HMAC<SHA256>.isValidAuthenticationCode(
                layer[..<OnionPacket.hmacSize], authenticating: layer[OnionPacket.hmacSize...], using: secret.key(.um))
            if fits, found == nil, round < secrets.count { found = (round, layer) }
        }
        guard let found else { throw .badHMAC }
        return (found.hop, try Self.contents(found.reply.dropFirst(OnionPacket.hmacSize)))
    }

    private static func contents(_ bytes: ArraySlice<UInt8>) throws(OnionError) -> [UInt8] {
        do throws(ByteReaderError) {
            var reader = ByteReader(bytes)
            let contents = try reader.bytes(Int(try reader.bigEndian(UInt16.self)))
            _ = try reader.bytes(Int(try reader.bigEndian(UInt16.self)))
            try reader.expectEnd()
            return Array(contents)
        } catch {
            throw .badPayload("the lengths in a reply do not fit its size")
        }
    }

    /// Does the work of a hop that the route does not have.
    private static let standIn = OnionSecret(SymmetricKey(data: [UInt8](repeating: 0, count: OnionSecret.size)))
}
