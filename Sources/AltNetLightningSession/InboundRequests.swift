// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetLightning
internal import AltNetObjects

/// What the other side asked us for and has not got yet.
struct InboundRequests: Sendable {
    enum Opening: Hashable {
        case opened
        case full
    }

    private let timeout: Duration
    private var open: [UInt64: (request: ObjectRequest, deadline: MonotonicInstant)] = [:]

    init(timeout: Duration) {
        self.timeout = timeout
    }

    /// When the next request must be given up.
    var deadline: MonotonicInstant? { self.open.values.map(\.deadline).min() }

    /// Whether a request of this number is open.
    func contains(_ id: UInt64) -> Bool { self.open[id] != nil }

    /// Notes a request, unless as many are open as the limits allow. The number MUST NOT be open.
    mutating func open(id: UInt64, _ request: ObjectRequest, now: MonotonicInstant) -> Opening {
        guard self.open.count < BitcoinOverLightning.maximumOpenRequests else { return .full }
        self.open[id] = (request, now + self.timeout)
        return .opened
    }

    /// The request of a number, which is then no longer open; `nil` when none is.
    mutating func close(id: UInt64) -> ObjectRequest? {
        self.open.removeValue(forKey: id)?.request
    }

    /// The numbers of the requests that nobody on our side answered in time.
    func expired(now: MonotonicInstant) -> [UInt64] {
        self.open.filter { $0.value.deadline <= now }.keys.sorted()
    }
}
