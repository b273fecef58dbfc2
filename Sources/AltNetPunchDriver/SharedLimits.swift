// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetHolePunch
internal import AltNetTransport
internal import Synchronization

/// The ``PunchLimits`` of the driver, which all its coordinations share.
final class SharedLimits: Sendable {
    private let limits = Mutex(PunchLimits(now: .now))

    /// See ``PunchLimits/connected()``.
    func connected() -> Bool { self.limits.withLock { $0.connected() } }
    func disconnected() { self.limits.withLock { $0.disconnected() } }

    /// See ``PunchLimits/request(at:now:)``.
    func request(at endpoint: CoordinationEndpoint) -> PunchRefusal? {
        self.limits.withLock { $0.request(at: endpoint, now: .now) }
    }

    func requestEnded() { self.limits.withLock { $0.requestEnded() } }

    /// Whether all the SYNs that a plan allows may go to an address.
    func takeSyns(_ count: Int, to target: ExternalEndpoint) -> Bool {
        self.limits.withLock { $0.takeSYNs(count, to: target, now: .now) }
    }

    /// Coordinations under way as responder.
    var coordinations: Int { self.limits.withLock { $0.coordinations } }
}
