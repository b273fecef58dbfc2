// SPDX-License-Identifier: MIT

internal import FoundationEssentials

/// The parts of a webhook's URL that decide whether it is used.
struct WebAddress: Hashable, Sendable {
    /// The longest URL: what common servers accept at most.
    static let maximumLength = 2_048

    let isSecure: Bool
    let host: String

    init(_ text: String) throws(AlertError) {
        guard text.utf8.count <= Self.maximumLength, text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }),
            let url = URL(string: text), let scheme = url.scheme?.lowercased(), let host = url.host(), !host.isEmpty,
            ["http", "https"].contains(scheme)
        else {
            throw AlertError("url must be a URL that begins with https:// or http://")
        }
        guard url.user() == nil, url.password() == nil else {
            throw AlertError("url has a user or a password in it, which would reach logs; use the signature instead")
        }
        guard url.fragment() == nil else { throw AlertError("url has a fragment (#…), which is never sent") }
        self.isSecure = scheme == "https"
        self.host = host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : host
    }

    /// Whether it leads to this machine, by its own words: names other than `localhost` are not resolved.
    var isLoopback: Bool {
        let host = self.host.lowercased()
        if host == "localhost" || host == "::1" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }
}
