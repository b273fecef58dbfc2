// SPDX-License-Identifier: MIT

/// Names of protocols, as multistream-select negotiates them.
public enum ProtocolName {
    /// Negotiation itself (multistream-select 1.0.0).
    public static let multistream = "/multistream/1.0.0"
    /// Encryption and identity (libp2p specs, noise/README.md).
    public static let noise = "/noise"
    /// Many streams in one connection (libp2p specs, yamux/README.md).
    public static let yamux = "/yamux/1.0.0"
    /// "Who are you?" (libp2p specs, identify/README.md).
    public static let identify = "/ipfs/id/1.0.0"
    /// "This has changed about me."
    public static let identifyPush = "/ipfs/id/push/1.0.0"
    /// "Are you there?" (libp2p specs, ping/ping.md).
    public static let ping = "/ipfs/ping/1.0.0"
}
