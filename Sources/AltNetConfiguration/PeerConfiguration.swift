// SPDX-License-Identifier: MIT

extension DaemonConfiguration {
    /// The store of peers, and who is told of us.
    public struct Peers: Hashable, Sendable {
        /// To whom our own signed record goes, which holds our addresses.
        public enum Sharing: String, CaseIterable, Hashable, Sendable {
            /// To nobody over links; a DHT is the libp2p driver's business.
            case never
            /// To those who see our address anyway.
            case clearnet
            /// Also to those who know us by a key only, or by our address only: it links keys to addresses.
            case pseudonym
        }

        /// How many peers are kept.
        public var capacity: Int
        public var shareRecord: Sharing
        /// Whether addresses of private ranges are kept.
        public var keepsPrivateRanges: Bool
        /// Whether addresses are kept that this version cannot dial.
        public var keepsUnknownTransports: Bool

        /// The given values, and the defaults of the others.
        public init(
            capacity: Int = Self.defaultCapacity, shareRecord: Sharing = .clearnet, keepsPrivateRanges: Bool = true,
            keepsUnknownTransports: Bool = true
        ) {
            self.capacity = capacity
            self.shareRecord = shareRecord
            self.keepsPrivateRanges = keepsPrivateRanges
            self.keepsUnknownTransports = keepsUnknownTransports
        }

        /// Ten times the public nodes of Bitcoin's and Lightning's networks together; some 100 MB on the disk.
        public static let defaultCapacity = 100_000
        /// Fewer are hardly worth a file, and more are no peers any more.
        public static let capacityRange = 100...10_000_000
    }
}

extension Settings {
    func peers() throws(ConfigurationError) -> DaemonConfiguration.Peers {
        typealias Peers = DaemonConfiguration.Peers
        let table = SettingPath("peers")
        return Peers(
            capacity: try self.number(
                table.appending("capacity"), default: Peers.defaultCapacity, in: Peers.capacityRange),
            shareRecord: try self.choice(
                table.appending("share_record"), default: .clearnet, among: Peers.Sharing.allCases.map(\.rawValue)
            ) { Peers.Sharing(rawValue: $0) },
            keepsPrivateRanges: self.flag(table.appending("keep_private_ranges")) ?? true,
            keepsUnknownTransports: self.flag(table.appending("keep_unknown_transports")) ?? true)
    }
}
