// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin

/// When blocks became the tip of one node: lines of `height,hash,milliseconds since 1970`, in any order.
public struct ArrivalFile: Hashable, Sendable {
    /// One line.
    public struct Arrival: Hashable, Sendable {
        public var height: UInt32
        public var hash: BlockHash
        public var at: WallClockTime

        public init(height: UInt32, hash: BlockHash, at time: WallClockTime) {
            self.height = height
            self.hash = hash
            self.at = time
        }
    }

    /// Blocks beyond this height come after the year 2200.
    public static let maximumHeight: UInt32 = 10_000_000

    public var name: String
    /// By time; at the same time by height.
    public var arrivals: [Arrival]

    public init(name: String, arrivals: [Arrival]) {
        self.name = name
        self.arrivals = arrivals.sorted { ($0.at, $0.height) < ($1.at, $1.height) }
    }

    /// Reads a file. Empty lines are skipped.
    public init(_ bytes: [UInt8], name: String) throws(ReplayError) {
        var arrivals: [Arrival] = []
        var number = 0
        for line in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            number += 1
            let line = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
            guard !line.isEmpty else { continue }
            let parts = line.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
            guard parts.count == 3 else {
                throw ReplayError(file: name, line: number, "not height,hash,milliseconds: \(UntrustedText(line))")
            }
            guard let height = UInt32(String(decoding: parts[0], as: UTF8.self)), height <= Self.maximumHeight else {
                throw ReplayError(file: name, line: number, "not a height: \(UntrustedText(parts[0]))")
            }
            guard let hash = BlockHash(hex: String(decoding: parts[1], as: UTF8.self)) else {
                throw ReplayError(file: name, line: number, "not a block hash: \(UntrustedText(parts[1]))")
            }
            guard let time = Int64(String(decoding: parts[2], as: UTF8.self)), Timestamps.plausible.contains(time)
            else {
                throw ReplayError(
                    file: name, line: number, "not a time in milliseconds since 1970: \(UntrustedText(parts[2]))")
            }
            arrivals.append(Arrival(height: height, hash: hash, at: WallClockTime(milliseconds: time)))
        }
        guard !arrivals.isEmpty else { throw ReplayError(file: name, line: 0, "there is no arrival in it") }
        self.init(name: name, arrivals: arrivals)
    }

    /// A recorder that misses at least this many consecutive heights was off meanwhile: an hour of blocks. Fewer are
    /// taken for lines that were lost.
    public static let recorderHole: UInt32 = 6

    /// The arrivals in pieces between which the recorder was off: at places where the next height lies more than
    /// ``recorderHole`` above the highest so far, and the file has none of the heights between anywhere. A watchdog that
    /// had run with the recorder would have been restarted there.
    public var sessions: [[Arrival]] {
        let known = Set(self.arrivals.map(\.height))
        var sessions: [[Arrival]] = []
        var session: [Arrival] = []
        var top: UInt32?
        for arrival in self.arrivals {
            if let highest = top, arrival.height > highest + Self.recorderHole,
                !((highest + 1)..<arrival.height).contains(where: known.contains)
            {
                sessions.append(session)
                session = []
            }
            top = max(top ?? 0, arrival.height)
            session.append(arrival)
        }
        return sessions + [session]
    }
}
