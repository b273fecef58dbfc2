// SPDX-License-Identifier: MIT

internal import AltNetBase

/// A MAP request of the Port Control Protocol for TCP (RFC 6887, sections 7.1 and 11.1).
struct PCPRequest: Hashable, Sendable {
    static let version: UInt8 = 2
    static let port: UInt16 = 5351
    static let nonceSize = 12
    /// The number of the TCP protocol.
    static let tcp: UInt8 = 6

    /// In seconds; 0 deletes the mapping.
    var lifetime: UInt32
    /// Our own address towards the router, which it compares with the packet's: four bytes.
    var clientAddress: [UInt8]
    /// The same for renewals and deletion: who does not know it can change nothing.
    var nonce: [UInt8]
    var internalPort: UInt16
    /// 0 when we have no preference.
    var suggestedPort: UInt16
    var suggestedAddress: [UInt8] = [0, 0, 0, 0]

    /// 60 bytes.
    func encoded() -> [UInt8] {
        // The request bit is 0, the operation MAP is 1.
        var bytes: [UInt8] = [Self.version, 1, 0, 0]
        bytes.appendBigEndian(self.lifetime)
        bytes += Self.mapped(self.clientAddress)
        bytes += self.nonce
        bytes += [Self.tcp, 0, 0, 0]
        bytes.appendBigEndian(self.internalPort)
        bytes.appendBigEndian(self.suggestedPort)
        return bytes + Self.mapped(self.suggestedAddress)
    }

    /// An IPv4 address as IPv6 writes it (RFC 4291, section 2.5.5.2).
    private static func mapped(_ address: [UInt8]) -> [UInt8] {
        [UInt8](repeating: 0, count: 10) + [0xff, 0xff] + address
    }
}

/// The answer to a MAP request (RFC 6887, sections 7.2 and 11.1).
struct PCPResponse: Hashable, Sendable {
    /// The largest message of the protocol, in bytes.
    static let maximumSize = 1_100

    let result: UInt8
    /// In seconds: of the mapping, or of the error.
    let lifetime: UInt32
    /// Seconds since the router lost its state.
    let epoch: UInt32
    /// `nil` in an error that repeats nothing of the request.
    let mapping: Mapping?

    struct Mapping: Hashable, Sendable {
        let nonce: [UInt8]
        let transport: UInt8
        let internalPort: UInt16
        let externalPort: UInt16
        /// Four bytes, or 16 where the address is no IPv4 address.
        let externalAddress: [UInt8]
    }

    init(_ bytes: [UInt8]) throws(PortMappingError) {
        guard bytes.count <= Self.maximumSize, bytes.count.isMultiple(of: 4) else {
            throw .malformed(.pcp, "its length is wrong")
        }
        do {
            var reader = ByteReader(bytes)
            let version: UInt8 = try reader.bigEndian()
            let operation: UInt8 = try reader.bigEndian()
            _ = try reader.bytes(1)
            self.result = try reader.bigEndian()
            self.lifetime = try reader.bigEndian()
            self.epoch = try reader.bigEndian()
            _ = try reader.bytes(12)
            // A router of another version answers in its own, and says so with result 1.
            guard version == PCPRequest.version || self.result == 1 else {
                throw PortMappingError.malformed(.pcp, "its version is \(version)")
            }
            guard operation == 0x81 else { throw PortMappingError.malformed(.pcp, "it is no answer to a MAP request") }
            guard !reader.isAtEnd else {
                guard self.result != 0 else { throw PortMappingError.malformed(.pcp, "it grants nothing") }
                self.mapping = nil
                return
            }
            let nonce = Array(try reader.bytes(PCPRequest.nonceSize))
            let transport: UInt8 = try reader.bigEndian()
            _ = try reader.bytes(3)
            let internalPort: UInt16 = try reader.bigEndian()
            let externalPort: UInt16 = try reader.bigEndian()
            let address = Array(try reader.bytes(16))
            let isIPv4 = address.prefix(12).elementsEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff])
            self.mapping = Mapping(
                nonce: nonce, transport: transport, internalPort: internalPort, externalPort: externalPort,
                externalAddress: isIPv4 ? Array(address.suffix(4)) : address)
            // Options may follow; none changes what a MAP request without options was granted.
        } catch let error as PortMappingError {
            throw error
        } catch {
            throw .malformed(.pcp, "it is too short")
        }
    }

    /// The words of RFC 6887, section 7.4.
    static func name(of result: UInt8) -> String {
        switch result {
        case 0: "success"
        case 1: "unsupported version"
        case 2: "not authorised"
        case 3: "malformed request"
        case 4: "unsupported operation"
        case 5: "unsupported option"
        case 6: "malformed option"
        case 7: "network failure"
        case 8: "no resources"
        case 9: "unsupported protocol"
        case 10: "quota exceeded"
        case 11: "cannot provide the external address or port"
        case 12: "another NAT stands between"
        case 13: "too many remote peers"
        default: "result \(result)"
        }
    }
}
