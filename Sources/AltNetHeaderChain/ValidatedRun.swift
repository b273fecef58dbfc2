// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin

/// Headers that build on each other and on a node of the tree, every one of them judged, none of them kept yet.
///
/// Between judging and keeping, the work of the whole run decides whether it is worth memory.
public struct ValidatedRun: Sendable {
    /// One header as the tree keeps it.
    public struct Header: Hashable, Sendable {
        public let hash: BlockHash
        public let time: UInt32
        public let bits: CompactTarget
    }

    /// What the first header builds on.
    public let parent: HeaderNode
    public let headers: [Header]
    /// A cursor on the last header, or on the parent when there is none.
    public let end: HeaderCursor
    /// Why the run ends before the headers that were given; `nil` when all are valid.
    public let rejection: HeaderRejection?

    /// Judges concatenated 80-byte headers that build on `parent`, up to the first bad one.
    public init(_ bytes: UnsafeRawBufferPointer, on parent: HeaderNode, of chain: HeaderChain, now: WallClockTime) {
        self.parent = parent
        var cursor = chain.cursor(at: parent)
        var headers: [Header] = []
        headers.reserveCapacity(bytes.count / BlockHeader.size)
        self.rejection = cursor.advance(over: bytes, now: now) { position in
            headers.append(Header(hash: position.hash, time: position.time, bits: position.bits))
        }
        self.headers = headers
        self.end = cursor
    }

    /// The work of the chain that ends with this run.
    public var work: Work { self.end.work }
}
