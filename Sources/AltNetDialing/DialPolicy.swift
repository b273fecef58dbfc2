// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetPeerRecords

/// Which addresses of a peer are dialled, and in which order: filters and ranks, as the operator wrote them.
///
/// Filters keep or drop addresses. Ranks order those that are left; an earlier stage outweighs all that follow. Addresses
/// that no rank tells apart keep a fixed order, so that the same addresses always give the same plan.
public struct DialPolicy: Hashable, Sendable {
    /// One step of a policy.
    public enum Stage: Hashable, Sendable {
        /// Keeps addresses that have at least one of these traits.
        case only(DialTraits)
        /// Drops addresses that have any of these traits.
        case without(DialTraits)
        /// Those with at least one of these traits before all others.
        case first(DialTraits)
        /// Those with any of these traits after all others.
        case last(DialTraits)
        /// By these measures, the first one outweighing the second, and so on.
        case rank([Measure])
    }

    /// What addresses can be ordered by.
    public enum Measure: String, Hashable, Sendable, CaseIterable {
        /// What worked when last used, then what was never used, then what failed.
        case success
        /// The faster half as long comes first: times are compared in powers of two milliseconds, because smaller
        /// differences are noise. Unknown times come last.
        case latency
        /// No second address of a network group (see `NetworkGroup`) before the first of every other one.
        case diversity
        /// Kinds of addresses (IPv6, IPv4, onion, …, each with its transport) take turns, as in RFC 8305.
        case alternate
    }

    /// In the order in which they were given.
    public let stages: [Stage]

    init(unchecked stages: [Stage]) {
        self.stages = stages
    }

    // MARK: - Ready ones

    /// What the operator typed and what the peer signed first, then everything else.
    public static let standard = Self(unchecked: [.first([.user, .certified]), Self.usualRank])
    /// Only what the peer signed.
    public static let certifiedOnly = Self(unchecked: [.only([.certified]), Self.usualRank])
    /// Nothing that reveals our address on the Internet: overlays, and what a proxy carries.
    public static let privateOnly = Self(unchecked: [
        .without([.exposed]), .first([.user, .certified]), Self.usualRank,
    ])

    /// The ready policies by their names.
    public static let named: [(name: String, policy: Self)] = [
        ("standard", .standard), ("certified-only", .certifiedOnly), ("private-only", .privateOnly),
    ]

    private static let usualRank = Stage.rank([.success, .latency, .diversity, .alternate])

    // MARK: - Decisions

    /// Whether the filters let the address pass.
    public func allows(_ candidate: DialCandidate) -> Bool {
        self.stages.allSatisfy { stage in
            switch stage {
            case .only(let traits): !candidate.traits.isDisjoint(with: traits)
            case .without(let traits): candidate.traits.isDisjoint(with: traits)
            case .first, .last, .rank: true
            }
        }
    }

    /// The addresses that are allowed, the best first.
    ///
    /// The measures that look at more than one address (`diversity`, `alternate`) number the members of each group in the
    /// order that all other stages give; these numbers then have the weight of the place where the measure stands.
    public func plan(_ candidates: [DialCandidate]) -> [DialCandidate] {
        var rows = candidates.filter { self.allows($0) }.map { Row(candidate: $0, keys: self.keys(of: $0)) }
        rows.sort(by: Row.precedes)
        let groupings = self.measures.enumerated().compactMap { index, measure in
            Self.grouping(of: measure).map { (index, $0) }
        }
        guard !groupings.isEmpty else { return rows.map(\.candidate) }
        for (index, group) in groupings {
            var members: [Group: Int] = [:]
            for position in rows.indices {
                let name = group(rows[position].candidate)
                rows[position].keys[index] = members[name, default: 0]
                members[name, default: 0] += 1
            }
        }
        rows.sort(by: Row.precedes)
        return rows.map(\.candidate)
    }

    /// Whose members are told apart by how many of them come before.
    private enum Group: Hashable {
        case network(String)
        case kind(DialTraits)
    }

    private struct Row {
        let candidate: DialCandidate
        var keys: [Int]

        static func precedes(_ left: Row, _ right: Row) -> Bool {
            for (mine, other) in zip(left.keys, right.keys) where mine != other { return mine < other }
            // RFC 8305, section 4: IPv6 first where nothing else tells them apart.
            let families = (left.candidate.traits.contains(.ip6), right.candidate.traits.contains(.ip6))
            guard families.0 == families.1 else { return families.0 }
            return left.candidate.address.bytes.lexicographicallyPrecedes(right.candidate.address.bytes)
        }
    }

    /// What the keys of a row stand for: all ranks, one after the other.
    private enum Key {
        case traits(DialTraits, isFirst: Bool)
        case measure(Measure)
    }

    private var measures: [Key] {
        self.stages.flatMap { stage -> [Key] in
            switch stage {
            case .only, .without: []
            case .first(let traits): [.traits(traits, isFirst: true)]
            case .last(let traits): [.traits(traits, isFirst: false)]
            case .rank(let measures): measures.map(Key.measure)
            }
        }
    }

    /// The smaller, the earlier. Measures that look at more than one address are 0 here.
    private func keys(of candidate: DialCandidate) -> [Int] {
        self.measures.map { key in
            switch key {
            case .traits(let traits, let isFirst): candidate.traits.isDisjoint(with: traits) == isFirst ? 1 : 0
            case .measure(.success): Self.success(of: candidate)
            case .measure(.latency): Self.latency(of: candidate)
            case .measure(.diversity), .measure(.alternate): 0
            }
        }
    }

    private static func success(of candidate: DialCandidate) -> Int {
        switch (candidate.known.lastSuccess, candidate.known.lastFailure) {
        case (nil, nil): 1
        case (.some, nil): 0
        case (nil, .some): 2
        case (.some(let success), .some(let failure)): success < failure ? 2 : 0
        }
    }

    private static func latency(of candidate: DialCandidate) -> Int {
        guard let latency = candidate.known.latency else { return Int.max }
        let milliseconds = max(0, latency.wholeNanoseconds / 1_000_000)
        return Int64.bitWidth - milliseconds.leadingZeroBitCount
    }

    private static func grouping(of key: Key) -> ((DialCandidate) -> Group)? {
        switch key {
        case .measure(.diversity): { .network($0.networkGroup) }
        case .measure(.alternate): { .kind($0.traits.intersection(.kinds)) }
        case .measure(.success), .measure(.latency), .traits: nil
        }
    }
}

extension DialTraits {
    static let user = Self(AddressSources.user)
    static let certified = Self(AddressSources.certified)
    /// What makes two addresses of different kinds: one may work where the other is blocked.
    static let kinds: Self = [.tcp, .quic, .webSocket, .relayed, .ip4, .ip6, .name, .onion, .i2p]
}
