// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetLibp2p
internal import AltNetTransport

/// Answers libp2p's pings.
enum PingServer {
    /// - Parameter idleTimeout: how long the next ping may take to come.
    static func answer(_ stream: Libp2pStream, idleTimeout: Duration) async {
        guard stream.link.takePingStream() else { return stream.reset() }
        defer { stream.link.releasePingStream() }
        var bucket = TokenBucket(burst: PingProtocol.burst, perSecond: PingProtocol.perSecond, now: .now)
        var waiting: [UInt8] = []
        do {
            while let bytes = try await withTimeLimit(idleTimeout, { try await stream.read() }) {
                waiting += bytes
                while waiting.count >= PingProtocol.size {
                    guard bucket.take(now: .now) else { return stream.reset() }
                    try await stream.write(Array(waiting.prefix(PingProtocol.size)))
                    waiting.removeFirst(PingProtocol.size)
                }
            }
            stream.closeWrite()
        } catch {
            stream.reset()
        }
    }
}

extension Libp2pLink {
    /// How long the answer to a ping may take.
    private static var pingTimeout: Duration { .seconds(20) }

    /// Sends one ping, and gives the time until its answer.
    public func ping() async throws -> Duration {
        try await withTimeLimit(Self.pingTimeout) {
            let stream = try await self.openStream(protocols: [ProtocolName.ping])
            let payload = (0..<PingProtocol.size).map { _ in UInt8.random(in: .min ... .max) }
            let begun = MonotonicInstant.now
            try await stream.write(payload)
            var answer: [UInt8] = []
            while answer.count < payload.count, let bytes = try await stream.read() { answer += bytes }
            let duration = MonotonicInstant.now - begun
            guard answer == payload else {
                stream.reset()
                throw PingError.wrongAnswer
            }
            stream.closeWrite()
            return duration
        }
    }
}

/// Why a ping failed, beside the end of its stream.
public enum PingError: Error, Hashable, Sendable, CustomStringConvertible {
    case wrongAnswer

    public var description: String { "the peer answered a ping with something else" }
}
