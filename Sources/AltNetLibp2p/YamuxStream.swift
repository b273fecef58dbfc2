// SPDX-License-Identifier: MIT

/// One stream of a ``Yamux``: its windows, and what waits for them.
struct YamuxStream: Sendable {
    /// Distinguishes streams that have had the same number one after the other.
    let serial: UInt64
    let isInbound: Bool
    /// Bytes that we may send.
    var sendWindow = YamuxLimits.initialWindow
    /// Bytes that the other side may send.
    var receiveWindow = YamuxLimits.initialWindow
    /// Bytes that were received and not read yet.
    var unread = 0
    /// Bytes that were read since the other side heard of it.
    var read = 0
    /// What waits for the window; empty when nothing does.
    var pending: ArraySlice<UInt8> = []
    /// Whether our end follows `pending`.
    var isEnding = false
    /// Whether we have sent our end.
    var sentEnd = false
    /// Whether the other side has sent its end.
    var receivedEnd = false

    /// Both sides have ended, and all was read.
    var isOver: Bool { self.sentEnd && self.receivedEnd && self.unread == 0 }

    /// Frames that the window allows now.
    mutating func pump(_ id: UInt32, into output: inout [UInt8]) {
        while !self.pending.isEmpty, self.sendWindow > 0 {
            let piece = self.pending.prefix(min(self.sendWindow, YamuxLimits.maximumFrame))
            YamuxHeader(.data, stream: id, length: UInt32(piece.count)).append(to: &output)
            output.append(contentsOf: piece)
            self.pending = self.pending.dropFirst(piece.count)
            self.sendWindow -= piece.count
        }
        if self.pending.isEmpty, self.isEnding, !self.sentEnd {
            YamuxHeader(.windowUpdate, .fin, stream: id).append(to: &output)
            self.sentEnd = true
        }
    }
}
