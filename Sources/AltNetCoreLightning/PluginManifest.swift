// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetLightning

/// What the plugin tells lightningd of itself: the answer to `getmanifest`.
struct PluginManifest: Hashable, Sendable, Encodable {
    /// The option that names altnetd's start file.
    static let startFileOption = "altnet-start-file"

    /// The hooks; each is answered with "continue" whatever it brings, because lightningd aborts on anything else.
    enum Hook: String, CaseIterable, Sendable {
        case customMessage = "custommsg"
        case onionMessage = "onion_message_recv"
        case onionMessageOverOurPath = "onion_message_recv_secret"
    }

    /// The notifications that we subscribe to.
    enum Topic: String, CaseIterable, Sendable {
        case connect, disconnect, shutdown
        case channelStateChanged = "channel_state_changed"
    }

    private struct Option: Hashable, Encodable {
        let name: String
        let type: String
        let description: String
    }

    private struct HookEntry: Hashable, Encodable {
        let name: String
        let filters: [UInt16]?
    }

    private let options: [Option]
    private let subscriptions: [String]
    private let hooks: [HookEntry]
    private let featurebits: [String: String]
    private let custommessages: [UInt16]
    private let rpcmethods: [String] = []
    /// A plugin with feature bits must be there from the start: lightningd refuses them together with `true`.
    private let dynamic = false
    private let nonnumericids = true

    /// The types of custom messages that are for us.
    let messageTypes: Set<UInt16>

    private enum CodingKeys: String, CodingKey {
        case options, subscriptions, hooks, featurebits, custommessages, rpcmethods, dynamic, nonnumericids
    }

    /// - Parameter messageTypes: the types that lightningd hands to us; it disconnects a peer that sends an even type
    ///   which no plugin has named.
    init(messageTypes: Set<UInt16>) {
        self.messageTypes = messageTypes
        self.options = [
            Option(
                name: Self.startFileOption, type: "string",
                description: "Path of the file in which altnetd says how its driver attaches to it. Without it this"
                    + " plugin disables itself.")
        ]
        self.subscriptions = Topic.allCases.map(\.rawValue)
        let types = messageTypes.sorted()
        self.hooks = Hook.allCases.map {
            HookEntry(name: $0.rawValue, filters: $0 == .customMessage ? types : nil)
        }
        // Objects over custom messages. Not the bit of directed messages, which promises that they are forwarded: that
        // takes the node's key, which lightningd does not lend.
        let features = LightningFeatures([BitcoinOverLightning.featureBit])
        self.featurebits = ["init": Hex.encode(features.bytes)]
        self.custommessages = types.filter { $0.isMultiple(of: 2) }
    }
}
