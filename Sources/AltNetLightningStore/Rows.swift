// SPDX-License-Identifier: MIT

internal import AltNetAlternativeAddresses
internal import AltNetBase
internal import AltNetKeys
public import AltNetLightning
internal import Foundation
internal import GRDB

/// What is needed to bring an onion service back under the same address.
public struct OnionServiceRecord: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    /// As `ADD_ONION` takes it: `ED25519-V3:` and base 64. A secret.
    public let key: String
    public let address: LightningAddress

    public init(key: String, address: LightningAddress) {
        self.key = key
        self.address = address
    }

    /// Never the key or the address.
    public var description: String { "OnionServiceRecord(redacted)" }

    /// Shows no children, so that `dump` cannot print the key either.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

func blob(_ bytes: [UInt8]) -> Data { Data(bytes) }

extension Row {
    func given() throws -> GivenAddress {
        GivenAddress(
            id: try self.value("id"), peer: try self.node(), address: try self.address(),
            endpoint: EndpointID(try self.value("endpoint")), channelID: try self.channelID(),
            since: WallClockTime(milliseconds: try self.value("since")), sentAt: try self.time("sentAt"),
            until: try self.time("until"))
    }

    func received() throws -> ReceivedAddress {
        ReceivedAddress(
            peer: try self.node(), address: try self.address(), channelID: try self.channelID(),
            receivedAt: WallClockTime(milliseconds: try self.value("receivedAt")),
            validatedAt: try self.time("validatedAt"), lastSuccessAt: try self.time("lastSuccessAt"),
            lastFailureAt: try self.time("lastFailureAt"))
    }

    func peer() throws -> PeerRecord {
        PeerRecord(
            peer: try self.node(), isWithheld: try self.value("isWithheld"), mayHold: try self.value("mayHold"),
            stood: .milliseconds(try self.value("stoodMilliseconds") as Int64))
    }

    func address() throws -> LightningAddress {
        guard let address = try? LightningAddress(descriptor: Array(try self.value("address") as Data)) else {
            throw Self.unreadable("address")
        }
        return address
    }

    /// The value of a column that is never empty.
    func value<Value: DatabaseValueConvertible>(_ column: String) throws -> Value {
        guard let value = Value.fromDatabaseValue(self[column]) else { throw Self.unreadable(column) }
        return value
    }

    private func node() throws -> NodeID {
        guard let node = NodeID(bytes: Array(try self.value("peer") as Data)) else { throw Self.unreadable("peer") }
        return node
    }

    private func channelID() throws -> [UInt8] {
        let bytes = Array(try self.value("channelID") as Data)
        guard bytes.count == PeerAltAddr.channelIDSize else { throw Self.unreadable("channelID") }
        return bytes
    }

    private func time(_ column: String) throws -> WallClockTime? {
        let value: DatabaseValue = self[column]
        guard !value.isNull else { return nil }
        return WallClockTime(milliseconds: try self.value(column))
    }

    /// What stands in the file is not what this program writes. Says where, never what.
    private static func unreadable(_ column: String) -> DatabaseError {
        DatabaseError(resultCode: .SQLITE_CORRUPT, message: "a row has no readable \(column)")
    }
}
