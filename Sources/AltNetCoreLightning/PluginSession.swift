// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetKeys
internal import AltNetLightningAttachment
internal import FoundationEssentials

/// Why the conversation with lightningd cannot go on.
enum PluginProtocolError: Error, Hashable, Sendable, CustomStringConvertible {
    case framing(JSONFramingError)
    /// An object that is no JSON-RPC request or notification.
    case notAMessage
    /// `init` has not the form that we know.
    case badInitialisation(String)

    var description: String {
        switch self {
        case .framing(let error): "\(error)"
        case .notAMessage: "lightningd wrote an object that is neither a request nor a notification"
        case .badInitialisation(let why): "lightningd's init is not understood: \(why)"
        }
    }
}

/// What happened at lightningd, before we have asked it for details.
enum PluginEvent: Hashable, Sendable {
    case connected(NodeID)
    case disconnected(NodeID)
    /// The state of a channel with this peer changed.
    case channelsChanged(NodeID)
    case message(from: NodeID, [UInt8])
    case onionMessage(OnionDelivery)
}

/// What the shell of the plugin is to do.
enum PluginDirective: Hashable, Sendable {
    /// Write these bytes to standard output.
    case write([UInt8])
    /// lightningd has said how it runs. It waits for ``PluginSession/answerInitialisation(disabling:)``.
    case initialise(PluginConfiguration)
    case event(PluginEvent)
    /// Something in a message was not as it should be; it was answered and otherwise ignored. For the log.
    case ignored(String)
    /// lightningd stops, or is done with us: end within 30 seconds.
    case end
}

/// lightningd's plugin protocol, from the plugin's side: bytes in, directives out.
///
/// Hooks are answered at once with "continue", in the same step that reads them: lightningd stands still for a peer
/// until it has the answer, and ABORTS when it gets an error or anything else from `custommsg`.
struct PluginSession: Sendable {
    /// The longest message in a hook, in bytes: BOLT 8's limit.
    static let maximumMessage = 65_535

    private let manifest: PluginManifest
    private var framer = JSONFramer()
    /// The identifier of `init`, until it is answered.
    private var initialisation: RequestID?
    private var isInitialised = false

    init(manifest: PluginManifest) {
        self.manifest = manifest
    }

    /// Takes what lightningd wrote, cut anywhere.
    mutating func onBytes(_ bytes: some Sequence<UInt8>) throws(PluginProtocolError) -> [PluginDirective] {
        let objects: [[UInt8]]
        do {
            objects = try self.framer.onBytes(bytes)
        } catch {
            throw .framing(error)
        }
        var directives: [PluginDirective] = []
        for object in objects { directives += try self.onObject(Data(object)) }
        return directives
    }

    /// Answers `init`: the plugin is ready, or disables itself for a reason that lightningd logs. Nothing when there is
    /// no `init` to answer.
    mutating func answerInitialisation(disabling reason: String?) -> [PluginDirective] {
        guard let id = self.initialisation else { return [] }
        self.initialisation = nil
        self.isInitialised = true
        guard let reason else { return [.write(PluginOutput.encode(PluginOutput.Answer(id: id, result: NoMembers())))] }
        return [
            // lightningd logs the reason for debugging only, so the operator would see a plugin that is not there.
            .write(Self.logLine(level: .warning, "disabled: \(reason)")),
            .write(PluginOutput.encode(PluginOutput.Answer(id: id, result: ["disable": reason]))),
        ]
    }

    /// lightningd's log levels that we use.
    enum Level: String, Sendable {
        case debug, info
        case warning = "warn"
        case error
    }

    /// A line for lightningd's log.
    static func logLine(level: Level, _ message: String) -> [UInt8] {
        PluginOutput.encode(
            PluginOutput.Notification(
                method: "log", params: PluginOutput.LogLine(level: level.rawValue, message: message)))
    }

    private mutating func onObject(_ object: Data) throws(PluginProtocolError) -> [PluginDirective] {
        guard let envelope = try? JSONDecoder().decode(Envelope.self, from: object) else { throw .notAMessage }
        if let id = envelope.id { return try self.onRequest(envelope.method, id: id, object) }
        return Self.onNotification(envelope.method, object)
    }

    private mutating func onRequest(
        _ method: String, id: RequestID, _ object: Data
    ) throws(PluginProtocolError) -> [PluginDirective] {
        if let hook = PluginManifest.Hook(rawValue: method) {
            let answer = PluginOutput.Answer(id: id, result: ["result": "continue"])
            return [.write(PluginOutput.encode(answer))] + self.onHook(hook, object)
        }
        switch method {
        case "getmanifest":
            return [.write(PluginOutput.encode(PluginOutput.Answer(id: id, result: self.manifest)))]
        case "init" where self.initialisation == nil && !self.isInitialised:
            return try self.onInitialisation(id: id, object)
        default:
            let reason = PluginOutput.Refusal.Reason(code: -32601, message: "this plugin has no such method")
            return [
                .write(PluginOutput.encode(PluginOutput.Refusal(id: id, error: reason))),
                .ignored("lightningd called \(UntrustedText(method)), which this plugin does not have"),
            ]
        }
    }

    private mutating func onInitialisation(
        id: RequestID, _ object: Data
    ) throws(PluginProtocolError) -> [PluginDirective] {
        let parameters: PluginParameters.Initialisation
        do {
            parameters = try JSONDecoder().decode(Call<PluginParameters.Initialisation>.self, from: object).params
        } catch {
            throw .badInitialisation(UntrustedText("\(error)").description)
        }
        self.initialisation = id
        do throws(PluginConfiguration.Unusable) {
            return [.initialise(try PluginConfiguration(parameters))]
        } catch {
            return self.answerInitialisation(disabling: error.description)
        }
    }

    private func onHook(_ hook: PluginManifest.Hook, _ object: Data) -> [PluginDirective] {
        switch hook {
        case .customMessage:
            guard
                let call = try? JSONDecoder().decode(Call<PluginParameters.CustomMessage>.self, from: object)
            else { return [.ignored("a custommsg of lightningd is not understood")] }
            let message = call.params.payload.bytes
            guard (2...Self.maximumMessage).contains(message.count) else {
                return [.ignored("a custommsg of lightningd has \(message.count) bytes")]
            }
            // Versions that know no filters give us everything, their own backups among it.
            let type = UInt16(message[0]) << 8 | UInt16(message[1])
            guard self.manifest.messageTypes.contains(type) else { return [] }
            return [.event(.message(from: call.params.peer.node, message))]
        case .onionMessage, .onionMessageOverOurPath:
            guard let call = try? JSONDecoder().decode(Call<OnionMessageParameters>.self, from: object),
                let delivery = call.params.delivery
            else { return [.ignored("an onion message that lightningd unwrapped is not understood")] }
            return [.event(.onionMessage(delivery))]
        }
    }

    private static func onNotification(_ method: String, _ object: Data) -> [PluginDirective] {
        func parameters<Parameters: Decodable>(_ type: Parameters.Type) -> Parameters? {
            (try? JSONDecoder().decode(Call<Parameters>.self, from: object))?.params
        }
        let event: PluginEvent? =
            switch PluginManifest.Topic(rawValue: method) {
            case .shutdown: nil
            case .connect: parameters(PluginParameters.Connected.self).map { .connected($0.connect.id.node) }
            case .disconnect:
                parameters(PluginParameters.Disconnected.self).map { .disconnected($0.disconnect.id.node) }
            case .channelStateChanged:
                parameters(PluginParameters.ChannelStateChanged.self).map { .channelsChanged($0.change.peer.node) }
            case nil: nil
            }
        if let event { return [.event(event)] }
        if method == PluginManifest.Topic.shutdown.rawValue { return [.end] }
        return [.ignored("lightningd's notification \(UntrustedText(method)) is not understood")]
    }
}

/// An object without members.
private struct NoMembers: Encodable {}
