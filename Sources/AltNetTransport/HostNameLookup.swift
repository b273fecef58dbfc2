// SPDX-License-Identifier: MIT

internal import Glibc

/// Asks the system's resolver.
public enum HostNameLookup {
    /// The numeric addresses of a name; none when there is none. Blocks until the resolver has answered, and cannot be
    /// interrupted.
    ///
    public static func addresses(of name: String) -> [String] { self.addresses(of: name, family: AF_UNSPEC) }

    /// - Parameter family: `AF_INET`, `AF_INET6`, or `AF_UNSPEC` for both.
    static func addresses(of name: String, family: Int32) -> [String] {
        var hints = addrinfo()
        hints.ai_family = family
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(name, nil, &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var found: [String] = []
        var next = list
        while let entry = next {
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let result = getnameinfo(
                entry.pointee.ai_addr, entry.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
            if result == 0 {
                found.append(String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
            }
            next = entry.pointee.ai_next
        }
        return found
    }
}
