// SPDX-License-Identifier: MIT

internal import AltNetHolePunch

/// What witnesses say during one attempt, from one local port, against what the check has found.
struct NATVoices: Sendable {
    /// The outside addresses that the check found; empty when it found none.
    let external: [[UInt8]]
    /// The local port, where our NAT keeps port numbers.
    let preservedPort: UInt16?
    let allowPrivate: Bool
    /// Ports that single witnesses told although our NAT keeps numbers.
    private var disputed: Set<ExternalEndpoint> = []

    init(external: [[UInt8]], preservedPort: UInt16?, allowPrivate: Bool) {
        self.external = external
        self.preservedPort = preservedPort
        self.allowPrivate = allowPrivate
    }

    /// Whether the other side may be told so: a lie makes it send SYNs to somebody who has nothing to do with us. A port
    /// that was not kept, because the NAT has it in use, takes two witnesses.
    mutating func heard(_ seen: ExternalEndpoint) -> Bool {
        guard seen.isIPv4, seen.refusedTarget(allowPrivate: self.allowPrivate) == nil,
            self.external.isEmpty || self.external.contains(seen.address)
        else { return false }
        guard let preservedPort, seen.port != preservedPort else { return true }
        return !self.disputed.insert(seen).inserted
    }
}
