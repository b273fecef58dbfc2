// SPDX-License-Identifier: MIT

public import AltNetBase

/// One reply of Tor's control port: a status and the lines that follow it (Tor's control-spec, "Replies from Tor to the
/// controller").
struct TorReply: Hashable, Sendable {
    let status: Int
    /// The lines without status and separator; the data of a `+` line is left out, because no command of ours gets any
    /// that it needs.
    let lines: [String]

    /// Whether the command was carried out.
    var isSuccess: Bool { self.status == 250 || self.status == 251 }

    /// What follows `key=` in a line of its own.
    func value(_ key: String) -> String? {
        self.lines.first { $0.hasPrefix(key + "=") }.map { String($0.dropFirst(key.utf8.count + 1)) }
    }
}

/// Cuts what the control port sends into replies.
struct TorReplyParser: Sendable {
    /// The longest line. A key of an onion service is the longest that we ask for, and has some 100 bytes; a path of a
    /// cookie file can have 4,096, four times that when escaped.
    static let maximumLine = 16_500
    /// The most lines in a reply. `PROTOCOLINFO` has five.
    static let maximumLines = 64

    private var line: [UInt8] = []
    private var lines: [String] = []
    private var status: Int?
    private var isInData = false

    /// What is held of a line and of a reply that are not complete.
    var held: (bytes: Int, lines: Int) { (self.line.count, self.lines.count) }

    /// Takes bytes, cut anywhere, and gives the replies that are complete with them.
    mutating func append(_ bytes: some Sequence<UInt8>) throws(TorControlError) -> [TorReply] {
        var replies: [TorReply] = []
        for byte in bytes {
            guard byte == UInt8(ascii: "\n") else {
                guard self.line.count < Self.maximumLine else { throw .malformed("a line is too long") }
                self.line.append(byte)
                continue
            }
            guard self.line.popLast() == UInt8(ascii: "\r") else { throw .malformed("a line ends without CR") }
            let line = self.line
            self.line = []
            if let reply = try self.end(line) { replies.append(reply) }
        }
        return replies
    }

    private mutating func end(_ line: [UInt8]) throws(TorControlError) -> TorReply? {
        if self.isInData {
            if line == [UInt8(ascii: ".")] { self.isInData = false }
            return nil
        }
        guard line.count >= 4, let status = Int(String(decoding: line.prefix(3), as: UTF8.self)),
            (200...699).contains(status), self.status == nil || self.status == status
        else { throw .malformed("a line has no status, or another one than the line before") }
        guard self.lines.count < Self.maximumLines else { throw .malformed("a reply has too many lines") }
        self.status = status
        self.lines.append(String(decoding: line.dropFirst(4), as: UTF8.self))
        switch line[3] {
        case UInt8(ascii: "-"): return nil
        case UInt8(ascii: "+"):
            self.isInData = true
            return nil
        case UInt8(ascii: " "):
            defer {
                self.lines = []
                self.status = nil
            }
            return TorReply(status: status, lines: self.lines)
        default: throw .malformed("a line has no separator after its status")
        }
    }
}

/// Why Tor's control port cannot be used. No text contains a key or an onion service's name.
public enum TorControlError: Error, Hashable, Sendable, CustomStringConvertible {
    case unreachable(String)
    case closed
    case timedOut
    /// The other side does not speak the protocol.
    case malformed(String)
    /// Tor refused a command.
    case refused(command: String, status: Int, UntrustedText)
    /// Tor offers no way to authenticate that we have what is needed for.
    case noAuthentication(offered: String)
    case cookie(path: String, String)
    /// Whoever answers does not know the cookie either.
    case wrongServer
    /// The port or the password cannot be used.
    case badSetting(String)

    /// What is wrong, as a sentence without its full stop.
    public var description: String {
        switch self {
        case .unreachable(let why): "Tor's control port cannot be reached: \(why)"
        case .closed: "Tor closed the control connection"
        case .timedOut: "Tor's control port does not answer"
        case .malformed(let what): "what answers at tor_control does not speak Tor's control protocol: \(what)"
        case .refused(let command, let status, let text): "Tor refuses \(command): \(status) \(text)"
        case .noAuthentication(let offered):
            "Tor's control port asks for \(offered); set CookieAuthentication 1 in torrc, or tor_control_password_file"
        case .cookie(let path, let why): "the cookie of Tor's control port, \(UntrustedText(path)), \(why)"
        case .wrongServer: "what answers at tor_control does not know the cookie that it asks for"
        case .badSetting(let what): what
        }
    }
}
