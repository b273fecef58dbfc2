// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetKeys
internal import AltNetLightningAttachment

/// The parameters of the hooks `onion_message_recv` and `onion_message_recv_secret` (lightningd/onion_message.c).
struct OnionMessageParameters: Decodable {
    private struct Field: Decodable {
        let number: UInt64
        let value: HexBytes
    }

    private struct Hop: Decodable {
        let node: NodeText
        let data: HexBytes

        private enum CodingKeys: String, CodingKey {
            case node = "blinded_node_id"
            case data = "encrypted_recipient_data"
        }
    }

    private struct Path: Decodable {
        let firstNode: NodeText?
        let firstChannel: String?
        let firstChannelDirection: UInt8?
        let firstPathKey: NodeText
        let hops: [Hop]

        private enum CodingKeys: String, CodingKey {
            case firstNode = "first_node_id"
            case firstChannel = "first_scid"
            case firstChannelDirection = "first_scid_dir"
            case firstPathKey = "first_path_key"
            case hops
        }
    }

    private struct Message: Decodable {
        let pathSecret: HexBytes?
        let replyPath: Path?
        let invoiceRequest: HexBytes?
        let invoice: HexBytes?
        let invoiceError: HexBytes?
        let unknownFields: [Field]

        private enum CodingKeys: String, CodingKey {
            case pathSecret = "pathsecret"
            case replyPath = "reply_blindedpath"
            case invoiceRequest = "invoice_request"
            case invoice
            case invoiceError = "invoice_error"
            case unknownFields = "unknown_fields"
        }
    }

    private let message: Message

    private enum CodingKeys: String, CodingKey { case message = "onion_message" }

    /// BOLT 4's numbers of the fields that lightningd has names for.
    private enum FieldNumber {
        static let invoiceRequest: UInt64 = 64
        static let invoice: UInt64 = 66
        static let invoiceError: UInt64 = 68
    }

    /// The same as a value; `nil` when it could not have been in an onion message.
    var delivery: OnionDelivery? {
        var fields: [UInt64: [UInt8]] = [:]
        fields[FieldNumber.invoiceRequest] = self.message.invoiceRequest?.bytes
        fields[FieldNumber.invoice] = self.message.invoice?.bytes
        fields[FieldNumber.invoiceError] = self.message.invoiceError?.bytes
        for field in self.message.unknownFields {
            // A TLV stream has each type once.
            guard fields.updateValue(field.value.bytes, forKey: field.number) == nil else { return nil }
        }
        var replyPath: [UInt8]?
        if let path = self.message.replyPath {
            guard let bytes = Self.wireForm(of: path) else { return nil }
            replyPath = bytes
        }
        let size = fields.values.reduce(replyPath?.count ?? 0) { $0 + $1.count }
        guard size <= PluginSession.maximumMessage else { return nil }
        return OnionDelivery(fields: fields, replyPath: replyPath, pathSecret: self.message.pathSecret?.bytes)
    }

    /// BOLT 4's `blinded_path`, which lightningd took apart.
    private static func wireForm(of path: Path) -> [UInt8]? {
        var bytes: [UInt8]
        if let node = path.firstNode {
            bytes = node.node.bytes
        } else if let text = path.firstChannel, let direction = path.firstChannelDirection, direction <= 1,
            let channel = Self.shortChannelID(text)
        {
            bytes = [direction]
            bytes.appendBigEndian(channel)
        } else {
            return nil
        }
        bytes += path.firstPathKey.node.bytes
        guard let count = UInt8(exactly: path.hops.count) else { return nil }
        bytes.append(count)
        for hop in path.hops {
            guard let length = UInt16(exactly: hop.data.bytes.count) else { return nil }
            bytes += hop.node.node.bytes
            bytes.appendBigEndian(length)
            bytes += hop.data.bytes
        }
        return bytes
    }

    /// BOLT 7's `short_channel_id` from its text, `BLOCKxTRANSACTIONxOUTPUT`.
    private static func shortChannelID(_ text: String) -> UInt64? {
        let parts = text.split(separator: "x", omittingEmptySubsequences: false).map { UInt64($0) }
        guard parts.count == 3, let block = parts[0], let transaction = parts[1], let output = parts[2],
            block < 1 << 24, transaction < 1 << 24, output < 1 << 16
        else { return nil }
        return block << 40 | transaction << 16 | output
    }
}
