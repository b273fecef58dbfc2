// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin

// How the values of incidents are written: hashes, work and headers in hexadecimal, times in milliseconds since 1970.
// The store and the evidence files use the same forms.

extension KeyedDecodingContainer {
    func decodeHash(_ key: Key) throws -> BlockHash {
        guard let hash = BlockHash(hex: try self.decode(String.self, forKey: key)) else {
            throw self.problem(key, "not a block hash of 64 hexadecimal digits")
        }
        return hash
    }

    func decodeWork(_ key: Key) throws -> Work {
        guard let work = Work(hex: try self.decode(String.self, forKey: key)) else {
            throw self.problem(key, "not a number of up to 64 hexadecimal digits")
        }
        return work
    }

    func decodeHeader(_ key: Key) throws -> BlockHeader {
        guard let bytes = Hex.decode(try self.decode(String.self, forKey: key)),
            let header = BlockHeader(bytes: bytes)
        else { throw self.problem(key, "not a header of 160 hexadecimal digits") }
        return header
    }

    func decodeTime(_ key: Key) throws -> WallClockTime {
        WallClockTime(milliseconds: try self.decode(Int64.self, forKey: key))
    }

    private func problem(_ key: Key, _ what: String) -> DecodingError {
        .dataCorruptedError(forKey: key, in: self, debugDescription: what)
    }
}
