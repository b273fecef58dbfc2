// SPDX-License-Identifier: MIT

internal import AltNetObjects
internal import SwiftProtobuf

extension DriverCapabilities {
    init(_ message: Altnet_Driver_V1_Capabilities) throws(DriverProtocolError) {
        self.init(
            requests: try Set(protobuf: message.requests), serves: try Set(protobuf: message.serves),
            announces: try Set(protobuf: message.announces),
            direction: try Self.known(message.direction.rawValue, Direction.allCases, "direction"),
            latency: try Self.known(message.latency.rawValue, Latency.allCases, "latency"),
            bandwidth: try Self.known(message.bandwidth.rawValue, Bandwidth.allCases, "bandwidth"),
            cost: try Self.known(message.cost.rawValue, Cost.allCases, "cost"),
            exposure: try Self.known(message.exposure),
            streams: message.streams, operations: try OperationRules.checked(names: message.operations),
            peers: message.peers, offers: message.offers)
    }

    var protobuf: Altnet_Driver_V1_Capabilities {
        .with {
            $0.requests = self.requests.protobuf
            $0.serves = self.serves.protobuf
            $0.announces = self.announces.protobuf
            $0.direction = Self.number(self.direction, Direction.allCases)
            $0.latency = Self.number(self.latency, Latency.allCases)
            $0.bandwidth = Self.number(self.bandwidth, Bandwidth.allCases)
            $0.cost = Self.number(self.cost, Cost.allCases)
            $0.exposure = self.exposure.protobuf
            $0.streams = self.streams
            $0.operations = self.operations
            $0.peers = self.peers
            $0.offers = self.offers
        }
    }

    /// The `.proto` file numbers the values of its enumerations from 1, in the order of ours.
    private static func known<Value>(
        _ number: Int, _ values: [Value], _ what: String
    ) throws(DriverProtocolError) -> Value {
        guard values.indices.contains(number - 1) else {
            throw DriverProtocolError("no known \(what)")
        }
        return values[number - 1]
    }

    static func known(_ exposure: Altnet_Driver_V1_Exposure) throws(DriverProtocolError) -> Exposure {
        try Self.known(exposure.rawValue, Exposure.allCases, "exposure")
    }

    fileprivate static func number<Value: Equatable, Message: RawRepresentable<Int>>(
        _ value: Value, _ values: [Value]
    ) -> Message where Message: Sendable, Message: ProtobufEnumeration {
        Message(rawValue: (values.firstIndex(of: value) ?? -1) + 1) ?? Message()
    }
}

extension DriverCapabilities.Exposure {
    var protobuf: Altnet_Driver_V1_Exposure { DriverCapabilities.number(self, Self.allCases) }
}

/// What the generated enumerations have in common.
protocol ProtobufEnumeration: RawRepresentable<Int> {
    init()
}

extension Altnet_Driver_V1_Direction: ProtobufEnumeration {}
extension Altnet_Driver_V1_Latency: ProtobufEnumeration {}
extension Altnet_Driver_V1_Bandwidth: ProtobufEnumeration {}
extension Altnet_Driver_V1_Cost: ProtobufEnumeration {}
extension Altnet_Driver_V1_Exposure: ProtobufEnumeration {}

extension Set<ObjectKind> {
    init(protobuf kinds: [Altnet_Driver_V1_ObjectKind]) throws(DriverProtocolError) {
        self.init()
        for kind in kinds { self.insert(try ObjectKind(protobuf: kind)) }
    }

    var protobuf: [Altnet_Driver_V1_ObjectKind] {
        ObjectKind.allCases.filter(self.contains).map(\.protobuf)
    }
}

extension ObjectKind {
    init(protobuf kind: Altnet_Driver_V1_ObjectKind) throws(DriverProtocolError) {
        guard let known = Self.allCases.first(where: { $0.protobuf == kind }) else {
            throw DriverProtocolError("an unknown kind of object, \(kind.rawValue)")
        }
        self = known
    }

    var protobuf: Altnet_Driver_V1_ObjectKind {
        switch self {
        case .headers: .headers
        case .filterHeaders: .filterHeaders
        case .filters: .filters
        case .blocks: .blocks
        case .transactions: .transactions
        case .addresses: .addresses
        case .tips: .tips
        case .peerRecords: .peerRecords
        }
    }
}
