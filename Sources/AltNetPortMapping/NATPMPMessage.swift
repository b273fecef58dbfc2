// SPDX-License-Identifier: MIT

internal import AltNetBase

/// What is asked by the NAT Port Mapping Protocol (RFC 6886, sections 3.2 and 3.3).
enum NATPMPRequest: Hashable, Sendable {
    case externalAddress
    /// - Parameters:
    ///   - suggestedPort: 0 when we have no preference.
    ///   - lifetime: in seconds; 0 deletes.
    case mapTCP(internalPort: UInt16, suggestedPort: UInt16, lifetime: UInt32)

    /// The number of the operation; the answer's is 128 more.
    var operation: UInt8 {
        switch self {
        case .externalAddress: 0
        case .mapTCP: 2
        }
    }

    func encoded() -> [UInt8] {
        var bytes: [UInt8] = [0, self.operation]
        if case .mapTCP(let internalPort, let suggestedPort, let lifetime) = self {
            bytes += [0, 0]
            bytes.appendBigEndian(internalPort)
            bytes.appendBigEndian(suggestedPort)
            bytes.appendBigEndian(lifetime)
        }
        return bytes
    }
}

/// An answer of the NAT Port Mapping Protocol.
struct NATPMPResponse: Hashable, Sendable {
    enum Content: Hashable, Sendable {
        /// Four bytes.
        case externalAddress([UInt8])
        case mapping(internalPort: UInt16, externalPort: UInt16, lifetime: UInt32)
        /// A refusal, whatever was asked (RFC 6886, section 3.5).
        case refusal(UInt16)
    }

    /// The request's number and 128.
    let operation: UInt8
    /// Seconds since the router lost its state.
    let epoch: UInt32
    let content: Content

    init(_ bytes: [UInt8]) throws(PortMappingError) {
        do {
            var reader = ByteReader(bytes)
            let version: UInt8 = try reader.bigEndian()
            self.operation = try reader.bigEndian()
            let result: UInt16 = try reader.bigEndian()
            guard version == 0, self.operation >= 128 else {
                throw PortMappingError.malformed(.natPMP, "it is no answer of version 0")
            }
            guard result == 0 else {
                // Refusals may be cut off after the result.
                self.epoch = reader.count >= 4 ? try reader.bigEndian() : 0
                self.content = .refusal(result)
                return
            }
            self.epoch = try reader.bigEndian()
            switch self.operation {
            case 128: self.content = .externalAddress(Array(try reader.bytes(4)))
            case 130:
                let internalPort: UInt16 = try reader.bigEndian()
                let externalPort: UInt16 = try reader.bigEndian()
                self.content = .mapping(
                    internalPort: internalPort, externalPort: externalPort, lifetime: try reader.bigEndian())
            default: throw PortMappingError.malformed(.natPMP, "it answers what was not asked")
            }
            try reader.expectEnd()
        } catch let error as PortMappingError {
            throw error
        } catch {
            throw .malformed(.natPMP, "its length is wrong")
        }
    }

    /// The words of RFC 6886, section 3.5.
    static func name(of result: UInt16) -> String {
        switch result {
        case 1: "unsupported version"
        case 2: "not authorised"
        case 3: "network failure"
        case 4: "no resources"
        case 5: "unsupported operation"
        default: "result \(result)"
        }
    }
}
