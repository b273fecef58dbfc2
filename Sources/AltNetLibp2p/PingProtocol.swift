// SPDX-License-Identifier: MIT

/// The bounds of libp2p's ping (libp2p specs, ping/ping.md): 32 bytes there, the same 32 bytes back.
public enum PingProtocol {
    /// Bytes of a ping and of its answer.
    public static let size = 32
    /// Streams on which one peer may ping us at once; the specification's number.
    public static let maximumStreams = 2
    /// Pings on one stream: at once, and a second. go-libp2p sends one a second.
    public static let burst = 32
    public static let perSecond = 4
}
