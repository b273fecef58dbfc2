// SPDX-License-Identifier: MIT

internal import Crypto

/// The first bytes of a new connection, which show that it ends where the coordination connection ends.
///
/// Who only answered our SYN knows neither nonce, because both went over the coordination connection. The initiator
/// speaks first: so a stranger who connects to the responder's port learns nothing, and a stranger whom a lying
/// responder named learns 32 bytes that mean nothing to him.
public struct PunchProof: Hashable, Sendable {
    /// The length of each side's proof in bytes.
    public static let length = 32

    /// What came of the bytes so far.
    public enum Verdict: Hashable, Sendable {
        /// More is needed.
        case incomplete
        /// It is the other side. `write` goes out before anything else; `rest` is the first of Bitcoin's protocol.
        case proved(write: [UInt8], rest: [UInt8])
        /// It is somebody else. Reset the connection: not one byte of ours follows.
        case wrong
    }

    /// What we show.
    public let send: [UInt8]
    /// What the other side has to show.
    public let expect: [UInt8]
    private let role: PunchRole
    private var received: [UInt8] = []

    /// - Parameter nonces: the two of ``PunchMessage/endpoints(attempt:_:nonce:)`` of this attempt.
    init(role: PunchRole, attempt: UInt8, initiatorNonce: [UInt8], responderNonce: [UInt8]) {
        let key = SymmetricKey(
            data: SHA256.hash(data: Array("altnet-holepunch".utf8) + responderNonce + initiatorNonce))
        func proof(_ role: PunchRole) -> [UInt8] {
            Array(HMAC<SHA256>.authenticationCode(for: [role.rawValue, attempt], using: key))
        }
        self.role = role
        self.send = proof(role)
        self.expect = proof(role.other)
    }

    /// What to write as soon as the connection stands. Nothing for the responder, who checks first.
    public var opening: [UInt8] { self.role == .initiator ? self.send : [] }

    /// Takes the first bytes of the connection, cut anywhere. To be called until it is not `incomplete`.
    public mutating func onBytes(_ bytes: [UInt8]) -> Verdict {
        let taken = bytes.prefix(Self.length - self.received.count)
        self.received += taken
        guard self.received.count == Self.length else { return .incomplete }
        guard Self.areEqual(self.received, self.expect) else { return .wrong }
        return .proved(
            write: self.role == .responder ? self.send : [], rest: Array(bytes.dropFirst(taken.count)))
    }

    /// In a time that does not tell how many bytes are right.
    private static func areEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        guard left.count == right.count else { return false }
        var difference: UInt8 = 0
        for (one, other) in zip(left, right) { difference |= one ^ other }
        return difference == 0
    }
}
