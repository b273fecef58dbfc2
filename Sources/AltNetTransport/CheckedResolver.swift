// SPDX-License-Identifier: MIT

internal import Dispatch
internal import Glibc
internal import NIOCore
internal import NIOPosix

/// A name leads only to addresses that are not to be connected to.
struct NameRefused: Error, CustomStringConvertible {
    let host: String
    let addresses: [String]

    var description: String {
        "the name \(self.host) leads to \(self.addresses.joined(separator: ", ")), which is nobody else's to point at"
    }
}

/// Resolves names as the system does, and keeps the addresses that may be connected to: what is connected to is then what
/// was looked at, whatever the name leads to a moment later.
final class CheckedResolver: Resolver, Sendable {
    /// Addresses in the text of an error: some are enough to see why.
    private static let maximumNamed = 4

    private struct Unresolved: Error {}

    private let loop: any EventLoop
    private let allows: @Sendable (String) -> Bool

    init(on loop: any EventLoop, allows: @escaping @Sendable (String) -> Bool) {
        self.loop = loop
        self.allows = allows
    }

    func initiateAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> {
        self.query(host, port, AF_INET)
    }

    func initiateAAAAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> {
        self.query(host, port, AF_INET6)
    }

    /// The system's resolver cannot be interrupted; its answer is dropped.
    func cancelQueries() {}

    private func query(_ host: String, _ port: Int, _ family: Int32) -> EventLoopFuture<[SocketAddress]> {
        let promise = self.loop.makePromise(of: [SocketAddress].self)
        // The system's resolver blocks.
        DispatchQueue.global().async {
            promise.completeWith(Result { try self.resolve(host, port, family) })
        }
        return promise.futureResult
    }

    private func resolve(_ host: String, _ port: Int, _ family: Int32) throws -> [SocketAddress] {
        let found = HostNameLookup.addresses(of: host, family: family)
        guard !found.isEmpty else { throw Unresolved() }
        let allowed = found.filter(self.allows)
        guard !allowed.isEmpty else {
            throw NameRefused(host: host, addresses: Array(found.prefix(Self.maximumNamed)))
        }
        return allowed.compactMap { try? SocketAddress(ipAddress: $0, port: port) }
    }
}
