// SPDX-License-Identifier: MIT

/// The features that a node offers: a set of bits in which even ones are compulsory and odd ones optional (BOLT 9).
public struct LightningFeatures: Hashable, Sendable, CustomStringConvertible {
    /// Most significant byte first, without leading zero bytes: the shortest form, as BOLT 1 asks for.
    public private(set) var bytes: [UInt8]

    /// No feature, or the given bits.
    public init(_ bits: some Sequence<UInt16> = []) {
        self.bytes = []
        for bit in bits { self.insert(bit) }
    }

    /// Reads a feature field; leading zero bytes are allowed and dropped.
    public init(bytes: some Sequence<UInt8>) {
        self.bytes = Array(bytes.drop { $0 == 0 })
    }

    /// Whether exactly this bit is set.
    public func contains(_ bit: UInt16) -> Bool {
        let index = Int(bit) / 8
        guard index < self.bytes.count else { return false }
        return self.bytes[self.bytes.count - 1 - index] >> (bit % 8) & 1 == 1
    }

    /// Whether the feature that a bit belongs to is offered, as compulsory or as optional.
    public func offers(_ bit: UInt16) -> Bool {
        self.contains(bit & ~1) || self.contains(bit | 1)
    }

    /// Sets one bit.
    public mutating func insert(_ bit: UInt16) {
        let index = Int(bit) / 8
        if index >= self.bytes.count {
            self.bytes.insert(contentsOf: repeatElement(0, count: index + 1 - self.bytes.count), at: 0)
        }
        self.bytes[self.bytes.count - 1 - index] |= 1 << (bit % 8)
    }

    /// The features of both, as the two fields of `init` are combined.
    public func union(_ other: Self) -> Self {
        let (longer, shorter) = self.bytes.count >= other.bytes.count ? (self, other) : (other, self)
        var result = longer
        let offset = longer.bytes.count - shorter.bytes.count
        for (index, byte) in shorter.bytes.enumerated() { result.bytes[offset + index] |= byte }
        return result
    }

    /// The bits that are set, lowest first.
    public var bits: [Int] {
        self.bytes.reversed().enumerated().flatMap { index, byte in
            (0..<8).filter { byte >> $0 & 1 == 1 }.map { index * 8 + $0 }
        }
    }

    /// The lowest compulsory bit that is set and not among the understood ones; `nil` when there is none.
    public func firstUnknownCompulsoryBit(understood: Set<Int>) -> Int? {
        self.bits.first { $0.isMultiple(of: 2) && !understood.contains($0) }
    }

    /// The first feature that is offered without one that it depends on (BOLT 9), as the even bits of both.
    public var missingDependency: (feature: UInt16, needs: UInt16)? {
        Self.dependencies.first { self.offers($0.feature) && !self.offers($0.needs) }
    }

    /// The numbers of the bits, lowest first.
    public var description: String { "\(self.bits)" }

    /// The compulsory bits that BOLT 9 assigns. They concern channels, payments, gossip and storage: a node that offers
    /// none of these satisfies them by having nothing to do, and need not close the connection.
    public static let assigned: Set<Int> = [
        0, 4, 6, 8, 10, 12, 14, 16, 18, 22, 24, 26, 28, 34, 36, 38, 42, 44, 46, 48, 50, 60, 62,
    ]

    /// BOLT 9's dependencies, without those on features that it lists as assumed.
    static let dependencies: [(feature: UInt16, needs: UInt16)] = [(50, 46), (60, 26)]
}
