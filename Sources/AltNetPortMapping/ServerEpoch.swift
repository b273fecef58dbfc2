// SPDX-License-Identifier: MIT

internal import AltNetBase

/// The router's own count of seconds since it lost its mappings, compared with our clock: a router that restarts without
/// a word is found out at its next answer.
struct ServerEpoch: Hashable, Sendable {
    private var last: (epoch: UInt32, at: MonotonicInstant)?

    static func == (left: Self, right: Self) -> Bool {
        left.last?.epoch == right.last?.epoch && left.last?.at == right.last?.at
    }

    func hash(into hasher: inout Hasher) {
        hasher.combine(self.last?.epoch)
        hasher.combine(self.last?.at)
    }

    /// Takes the count of an answer.
    ///
    /// - Returns: whether the router has lost its state since the answer before.
    mutating func observe(_ epoch: UInt32, by method: PortMappingMethod, now: MonotonicInstant) -> Bool {
        defer { self.last = (epoch, now) }
        guard let last = self.last else { return false }
        let ours = Int64((now - last.at).wholeNanoseconds / 1_000_000_000)
        let theirs = Int64(epoch) - Int64(last.epoch)
        if method == .natPMP {
            // RFC 6886, section 3.6: two seconds less than seven eighths of what has passed.
            return theirs < ours - ours / 8 - 2
        }
        // RFC 6887, section 8.5: a second backwards is the network's; beyond, the clocks may differ by a sixteenth.
        if theirs < -1 { return true }
        return ours + 2 < theirs - theirs / 16 || theirs + 2 < ours - ours / 16
    }
}
