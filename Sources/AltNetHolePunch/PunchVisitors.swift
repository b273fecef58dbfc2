// SPDX-License-Identifier: MIT

/// Who waits at our coordination endpoints without having asked for anything: connections in the time between their
/// first byte and their hello. They cost some kilobytes each, no token and no outbound connection.
///
/// There is always room for a newcomer. Two lists, each bounded, keep those apart who have sent nothing and those who
/// have sent their version message; in either, the one that has been there for longest leaves for the next. So
/// somebody who opens connections and says nothing pushes out nobody who speaks, and to push out a caller whose round
/// trip takes two seconds, either list has to be filled from end to end within these two seconds.
///
/// `Visitor` is whatever names a connection.
public struct PunchVisitors<Visitor: Hashable & Sendable>: Sendable {
    /// In each of the two lists: more than 30 new connections a second, each a circuit of its own, are needed to push out
    /// a caller whose round trip takes two seconds. Each is gone after ``Coordination/handshakeTimeout`` anyway.
    public static var maximumOfEach: Int { 64 }

    private var silent: [Visitor] = []
    private var speaking: [Visitor] = []

    public init() {}

    /// Those who wait.
    public var count: Int { self.silent.count + self.speaking.count }

    /// Somebody new is there.
    ///
    /// - Returns: who has to leave for it.
    public mutating func arrived(_ visitor: Visitor) -> Visitor? {
        guard !self.silent.contains(visitor), !self.speaking.contains(visitor) else { return nil }
        return Self.append(visitor, to: &self.silent)
    }

    /// Its version message came: ``Coordination`` writes nothing before it. May be said again.
    ///
    /// - Returns: who has to leave for it.
    public mutating func greeted(_ visitor: Visitor) -> Visitor? {
        guard let index = self.silent.firstIndex(of: visitor) else { return nil }
        self.silent.remove(at: index)
        return Self.append(visitor, to: &self.speaking)
    }

    /// It coordinates now, where ``PunchLimits`` counts it, or it is gone.
    public mutating func left(_ visitor: Visitor) {
        self.silent.removeAll { $0 == visitor }
        self.speaking.removeAll { $0 == visitor }
    }

    private static func append(_ visitor: Visitor, to list: inout [Visitor]) -> Visitor? {
        let out = list.count < Self.maximumOfEach ? nil : list.removeFirst()
        list.append(visitor)
        return out
    }
}
