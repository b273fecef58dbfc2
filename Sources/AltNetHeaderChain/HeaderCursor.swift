// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin

/// A place in a chain of headers, with all that is needed to judge the header that comes next.
///
/// This is where every header rule lives; the fork tree, the pre-synchronisation and the offline check of a file all
/// advance a cursor. It costs the same few dozen bytes at any height, because what the rules ask of ancestors (eleven
/// times, the first header of the period, the last target that was no exception) is carried along.
///
/// Rules: Bitcoin Core `CheckBlockHeader`, `ContextualCheckBlockHeader` and `GetNextWorkRequired`; BIP 34, 65, 66, 94.
public struct HeaderCursor: Sendable {
    /// A header may be at most this far ahead of our clock, in seconds.
    public static let maximumFutureSeconds: Int64 = 7200
    /// BIP 94: the first header of a period may lie at most this far before its predecessor, in seconds.
    static let maximumTimewarp: UInt32 = 600
    /// The median time past is that of this many headers.
    static let medianTimeSpan = 11

    public let network: Network
    /// The height of the header that the cursor stands on.
    public private(set) var height: UInt32
    /// The hash of the header that the cursor stands on.
    public private(set) var hash: BlockHash
    /// The time of the header that the cursor stands on, in seconds since 1970.
    public private(set) var time: UInt32
    /// The bits of the header that the cursor stands on.
    public private(set) var bits: CompactTarget
    /// The work of the chain up to here: from genesis, or from the trusted start without that header itself.
    public internal(set) var work: Work

    /// The time of the first header of the current retarget period; `nil` when a trusted start lies after it.
    private(set) var periodStart: (time: UInt32, bits: CompactTarget)?
    /// What the next header must carry if it is neither a retarget nor a minimum-difficulty exception; `nil` when the
    /// trusted start is such an exception itself and nothing else has been seen.
    private(set) var regularBits: CompactTarget?

    private var times: MedianTimes
    /// `bits` as a number, and the work of one header with it; looked up for every header, changed rarely.
    private var target: UInt256
    private var workOfHeader: Work
    private var rules: Rules

    /// What of the network's parameters is asked for every header.
    private struct Rules {
        let limitBits: CompactTarget
        let limit: UInt256
        let neverRetargets: Bool
        let allowsMinimumDifficulty: Bool
        let enforcesBIP94: Bool
        let versionHeights: (bip34: UInt32, bip66: UInt32, bip65: UInt32)

        init(_ network: Network) {
            self.limitBits = network.proofOfWorkLimit
            self.limit = network.proofOfWorkLimitTarget
            self.neverRetargets = network.neverRetargets
            self.allowsMinimumDifficulty = network.allowsMinimumDifficultyBlocks
            self.enforcesBIP94 = network.enforcesBIP94
            self.versionHeights = network.versionHeights
        }

        func minimumVersion(height: UInt32) -> Int32 {
            if height >= self.versionHeights.bip65 { return 4 }
            if height >= self.versionHeights.bip66 { return 3 }
            if height >= self.versionHeights.bip34 { return 2 }
            return Int32.min
        }
    }

    /// A cursor on a network's first header.
    public init(genesisOf network: Network) {
        let genesis = network.genesis
        self.init(network: network, height: 0, header: genesis, work: genesis.bits.work)
        self.times = MedianTimes(genesisTime: genesis.time)
        self.periodStart = (genesis.time, genesis.bits)
        self.regularBits = genesis.bits
    }

    /// A cursor on a header that the operator vouches for.
    ///
    /// What lies before it is not known, so three rules are lenient until it no longer matters: the median of eleven
    /// times counts what it knows and takes the rest for old; the first retarget may be anything within a factor of
    /// four unless the trusted header is the first of its period; and on the test networks the bits after a trusted
    /// minimum-difficulty header may be any until one is seen.
    public init(network: Network, trusted header: BlockHeader, height: UInt32) {
        self.init(network: network, height: height, header: header, work: .zero)
        self.times = MedianTimes(trustedTime: header.time)
        let isPeriodStart = height.isMultiple(of: Network.retargetInterval)
        self.periodStart = isPeriodStart ? (header.time, header.bits) : nil
        let isException = self.rules.allowsMinimumDifficulty && header.bits == self.rules.limitBits && !isPeriodStart
        self.regularBits = isException ? nil : header.bits
    }

    private init(network: Network, height: UInt32, header: BlockHeader, work: Work) {
        self.network = network
        self.height = height
        self.hash = header.hash
        self.time = header.time
        self.bits = header.bits
        self.work = work
        self.times = MedianTimes(trustedTime: header.time)
        self.target = header.bits.target ?? .zero
        self.workOfHeader = header.bits.work
        self.rules = Rules(network)
    }

    /// A cursor on an ancestor-complete place of a fork tree; see ``HeaderChain/cursor(at:)``.
    init(
        network: Network, height: UInt32, hash: BlockHash, bits: CompactTarget, work: Work, times: MedianTimes,
        periodStart: (time: UInt32, bits: CompactTarget)?, regularBits: CompactTarget?
    ) {
        self.network = network
        self.height = height
        self.hash = hash
        self.time = times.newest
        self.bits = bits
        self.work = work
        self.times = times
        self.periodStart = periodStart
        self.regularBits = regularBits
        self.target = bits.target ?? .zero
        self.workOfHeader = bits.work
        self.rules = Rules(network)
    }

    /// The median time of the last eleven headers up to here, in seconds since 1970.
    public var medianTimePast: UInt32 { self.times.median }

    /// Whether the next retarget can be computed: not between a trusted start and the period that follows it.
    public var knowsPeriodStart: Bool { self.periodStart != nil }

    /// Judges the header that comes next and steps onto it.
    ///
    /// - Parameters:
    ///   - header: at least 80 bytes.
    ///   - latestTime: the latest time that a header may carry: our clock and ``maximumFutureSeconds``.
    /// - Throws: the first rule that the header breaks, in Bitcoin Core's order; the cursor has not moved then.
    mutating func advance(_ header: UnsafeRawBufferPointer, latestTime: Int64) throws(HeaderRule) {
        let fields = BlockHeader(unaligned: header)
        guard fields.previous == self.hash else {
            throw .notConnected(expected: self.hash, found: fields.previous)
        }
        let hash = DoubleSHA256.hash(UnsafeRawBufferPointer(rebasing: header[0..<BlockHeader.size]))
        var target = self.target
        if fields.bits != self.bits {
            guard let newTarget = fields.bits.target, newTarget <= self.rules.limit else {
                throw .invalidBits(fields.bits)
            }
            target = newTarget
        }
        guard hash.number <= target else { throw .insufficientWork(hash: hash) }
        try self.step(onto: fields, hash: hash, target: target, latestTime: latestTime)
    }

    /// Judges what a header with proven work owes to its ancestors, and steps onto it.
    @inline(__always)
    mutating func step(
        onto fields: BlockHeader, hash: BlockHash, target: UInt256, latestTime: Int64
    ) throws(HeaderRule) {
        let height = self.height + 1
        try self.checkBits(fields, height: height)
        let median = self.times.median
        guard fields.time > median else { throw .timeTooOld(medianTimePast: median, found: fields.time) }
        let isPeriodStart = height.isMultiple(of: Network.retargetInterval)
        if self.rules.enforcesBIP94, isPeriodStart, self.time > Self.maximumTimewarp {
            let earliest = self.time - Self.maximumTimewarp
            guard fields.time >= earliest else { throw .timewarp(earliest: earliest, found: fields.time) }
        }
        guard Int64(fields.time) <= latestTime else { throw .timeTooNew(latest: latestTime, found: fields.time) }
        let minimumVersion = self.rules.minimumVersion(height: height)
        guard fields.version >= minimumVersion else {
            throw .versionTooOld(minimum: minimumVersion, found: fields.version)
        }

        self.height = height
        self.hash = hash
        self.time = fields.time
        if fields.bits != self.bits {
            self.bits = fields.bits
            self.target = target
            self.workOfHeader = fields.bits.work
        }
        self.work = self.work.addingSaturating(self.workOfHeader)
        self.times.append(fields.time)
        if isPeriodStart { self.periodStart = (fields.time, fields.bits) }
        let isException = self.rules.allowsMinimumDifficulty && fields.bits == self.rules.limitBits
        if isPeriodStart || !isException { self.regularBits = fields.bits }
    }

    /// Judges consecutive headers and steps onto the last one.
    ///
    /// - Parameters:
    ///   - headers: concatenated 80-byte headers; an incomplete one at the end is left alone.
    ///   - now: our clock.
    ///   - onHeader: called after each step with the cursor on the header.
    /// - Returns: `nil` when all are good; else where the first bad header stands and what is wrong with it, and the
    ///   cursor stands on the last good one.
    @inline(__always)
    public mutating func advance(
        over headers: UnsafeRawBufferPointer, now: WallClockTime, onHeader: (borrowing HeaderCursor) -> Void
    ) -> HeaderRejection? {
        let latestTime = now.seconds + Self.maximumFutureSeconds
        for position in 0..<(headers.count / BlockHeader.size) {
            let start = position * BlockHeader.size
            do throws(HeaderRule) {
                try self.advance(
                    UnsafeRawBufferPointer(rebasing: headers[start..<start + BlockHeader.size]),
                    latestTime: latestTime)
            } catch {
                return HeaderRejection(height: self.height &+ 1, position: position, rule: error)
            }
            onHeader(self)
        }
        return nil
    }

    /// The bits that the next header must carry.
    private func checkBits(_ header: BlockHeader, height: UInt32) throws(HeaderRule) {
        guard !height.isMultiple(of: Network.retargetInterval) || self.rules.neverRetargets else {
            return try self.checkRetarget(header)
        }
        var expected = self.bits
        if self.rules.allowsMinimumDifficulty {
            let isLate = UInt64(header.time) > UInt64(self.time) + UInt64(2 * Network.targetSpacing)
            guard let regularBits = isLate ? self.rules.limitBits : self.regularBits else {
                return  // After a trusted exception nobody can say.
            }
            expected = regularBits
        }
        guard header.bits == expected else { throw .wrongBits(expected: expected, found: header.bits) }
    }

    private func checkRetarget(_ header: BlockHeader) throws(HeaderRule) {
        guard let periodStart = self.periodStart else {
            // The trusted start hides the first header of the period: only what no period can explain is refused.
            guard !self.rules.allowsMinimumDifficulty else { return }
            let easiest = self.retarget(from: self.bits, timespan: .max).target ?? .zero
            let hardest = self.retarget(from: self.bits, timespan: 0).target ?? .zero
            guard let target = header.bits.target, target >= hardest, target <= easiest else {
                throw .impossibleRetarget(from: self.bits, to: header.bits)
            }
            return
        }
        let base = self.rules.enforcesBIP94 ? periodStart.bits : self.bits
        let expected = self.retarget(from: base, timespan: Int64(self.time) - Int64(periodStart.time))
        guard header.bits == expected else { throw .wrongBits(expected: expected, found: header.bits) }
    }

    /// The bits after a period of `timespan` seconds: the old target times the time it took over the time it should
    /// have taken, by at most a factor of four and never above the network's limit.
    func retarget(from bits: CompactTarget, timespan: Int64) -> CompactTarget {
        let wanted = Int64(Network.targetTimespan)
        let clamped = UInt64(min(max(timespan, wanted / 4), wanted * 4))
        let target = (bits.target ?? .zero) &* clamped / UInt64(wanted)
        return CompactTarget(target: min(target, self.rules.limit))
    }
}
