// SPDX-License-Identifier: MIT

public import AltNetBitcoin
internal import Glibc

/// How we prove to Bitcoin Core that we may ask.
public enum CoreCredentials: Hashable, Sendable {
    /// The file that Core writes at each start and removes when it stops.
    case cookieFile(String)
    /// What the operator set with `rpcauth` or `rpcpassword`.
    case password(user: String, password: String)

    /// The cookie file in the default data directory of the user that we run as.
    public static func defaultCookieFile(network: Network) -> CoreCredentials {
        let home = getenv("HOME").map { String(cString: $0) } ?? ""
        return .cookieFile("\(home)/.bitcoin/\(network.coreCookieFile)")
    }

    /// A cookie is 75 bytes; what is longer is another file.
    static let maximumCookieLength = 1024

    /// `user:password`, read anew.
    ///
    /// Throws ``NodeError/unreachable(_:)`` when there is no cookie, because Core removes it when it stops, and
    /// ``NodeError/refused(_:)`` when it cannot be used.
    func read() throws(NodeError) -> String {
        switch self {
        case .password(let user, let password): return "\(user):\(password)"
        case .cookieFile(let path): return try Self.readCookie(path)
        }
    }

    private static func readCookie(_ path: String) throws(NodeError) -> String {
        // Not a pipe that never ends, and not a device: a plain file, or nothing.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            switch errno {
            case ENOENT, ENOTDIR:
                throw .unreachable(
                    "there is no cookie file \(path): Bitcoin Core is not running, or has another data directory (set "
                        + "cookie_file), or takes a user and password (set user and password)")
            case EACCES, EPERM:
                throw .refused(
                    "the cookie file \(path) cannot be read by this user; run as Core's user, or join Core's group and "
                        + "start Core with rpccookieperms=group")
            default: throw .refused("the cookie file \(path) cannot be opened: \(String(cString: strerror(errno)))")
            }
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw .refused("the cookie file \(path) is no plain file")
        }
        var bytes = [UInt8](repeating: 0, count: Self.maximumCookieLength + 1)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        guard count >= 0 else {
            throw .refused("the cookie file \(path) cannot be read: \(String(cString: strerror(errno)))")
        }
        let line = bytes.prefix(count).prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
        guard count <= Self.maximumCookieLength, line.contains(UInt8(ascii: ":")),
            line.allSatisfy({ (0x21...0x7e).contains($0) })
        else { throw .refused("\(path) is no cookie file of Bitcoin Core; set cookie_file to the right one") }
        return String(decoding: line, as: UTF8.self)
    }
}
