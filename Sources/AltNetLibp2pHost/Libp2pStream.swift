// SPDX-License-Identifier: MIT

public import AltNetLibp2p

/// One stream of a connection, with its protocol. One task may read while another writes.
///
/// A stream that is dropped is gone: with an orderly end when ``closeWrite()`` was called, with a reset otherwise.
public final class Libp2pStream: Sendable {
    /// Bytes that are given to the connection at once.
    private static let pieceSize = 32 * 1_024

    /// The protocol that was agreed on.
    public let protocolName: String
    /// The connection.
    public let link: Libp2pLink
    private let id: Libp2pStreamID

    init(link: Libp2pLink, id: Libp2pStreamID, protocolName: String) {
        self.link = link
        self.id = id
        self.protocolName = protocolName
    }

    deinit {
        self.link.core.abandon(self.id)
    }

    /// The next bytes, at least one; `nil` when the other side has ended its direction. Throws ``StreamReset``, or
    /// `CancellationError`, after which reading can go on.
    public func read() async throws -> [UInt8]? {
        try await self.link.core.read(self.id)
    }

    /// Sends bytes; returns when all are on their way. Throws ``StreamReset``. A write that is cancelled resets the stream.
    public func write(_ bytes: [UInt8]) async throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = rest.prefix(Self.pieceSize)
            rest = rest.dropFirst(piece.count)
            try await self.link.core.write(Array(piece), to: self.id)
        }
    }

    /// Ends our direction, after what was written.
    public func closeWrite() {
        self.link.core.closeWrite(self.id)
    }

    /// Ends both directions at once.
    public func reset() {
        self.link.core.reset(self.id)
    }
}

/// What goes wrong on a stream beside its end.
public enum Libp2pStreamError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Nothing came in time.
    case timeout(Duration)

    public var description: String {
        switch self {
        case .timeout(let duration): "nothing came on a stream for \(duration)"
        }
    }
}

/// Runs `body`, and cancels it after a while.
func withTimeLimit<Value: Sendable>(
    _ limit: Duration, _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    try await withThrowingTaskGroup(of: Value.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await Task.sleep(for: limit)
            throw Libp2pStreamError.timeout(limit)
        }
        defer { group.cancelAll() }
        guard let value = try await group.next() else { throw CancellationError() }
        return value
    }
}
