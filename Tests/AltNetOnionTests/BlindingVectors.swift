// SPDX-License-Identifier: MIT

/// `route-blinding-test.json`.
struct RouteBlindingVector: Decodable {
    struct Features: Decodable {
        let features: [Int]
    }

    struct Records: Decodable {
        let padding: String?
        let shortChannelId: String?
        let pathId: String?
        let nextPathKeyOverride: String?
        let allowedFeatures: Features?
        let unknownTag561: String?
        let unknownTag65535: String?
    }

    struct Hop: Decodable {
        let alias: String
        let sessionKey: String?
        let nodeId: String
        let tlvs: Records
        let encodedTlvs: String
        let pathPrivkey: String
        let pathKey: String
        let sharedSecret: String
        let rho: String
        let encryptedData: String
        let blindedNodeId: String
    }

    struct Generate: Decodable {
        let hops: [Hop]
    }

    struct RouteHop: Decodable {
        let blindedNodeId: String
        let encryptedData: String
    }

    struct Route: Decodable {
        let firstNodeId: String
        let firstPathKey: String
        let hops: [RouteHop]
    }

    struct UnblindHop: Decodable {
        let nodePrivkey: String
        let pathKey: String
        let blindedPrivkey: String
        let decryptedData: String
        let nextPathKey: String
        let nextPathKeyOverride: String?
    }

    struct Unblind: Decodable {
        let hops: [UnblindHop]
    }

    let generate: Generate
    let route: Route
    let unblind: Unblind
}

/// `blinded-onion-message-onion-test.json`.
struct OnionMessageVector: Decodable {
    struct Records: Decodable {
        let padding: String?
        let nextNodeId: String?
        let pathId: String?
        let nextPathKeyOverride: String?
        let pathKeyOverrideSecret: String?
        let unknownTag561: String?
        let unknownTag65535: String?
    }

    struct Hop: Decodable {
        let pathKeySecret: String
        let tlvs: Records
        let encryptedDataTlv: String
        let ss: String
        let blindingKey: String
        let blindedNodeId: String
        let pathKey: String
        let factor: String
        let nextE: String
        let rho: String
        let encryptedRecipientData: String

        private enum CodingKeys: String, CodingKey {
            case pathKeySecret, tlvs, encryptedDataTlv, ss, blindedNodeId, nextE, rho, encryptedRecipientData
            case blindingKey = "HMAC256('blinded_node_id', ss)"
            case pathKey = "E"
            case factor = "H(E || ss)"
        }
    }

    struct Generate: Decodable {
        let sessionKey: String
        let hops: [Hop]
    }

    struct RouteHop: Decodable {
        let blindedNodeId: String
        let encryptedRecipientData: String
    }

    struct Route: Decodable {
        let firstNodeId: String
        let firstPathKey: String
        let hops: [RouteHop]
    }

    struct Message: Decodable {
        let unknownTag1: String
        let onionMessagePacket: String
    }

    struct FinalRecords: Decodable {
        let unknownTag1: String
        let encryptedRecipientData: String
    }

    struct DecryptHop: Decodable {
        let privkey: String
        let onionMessage: String
        let nextNodeId: String?
        let tlvs: FinalRecords?
    }

    struct Decrypt: Decodable {
        let hops: [DecryptHop]
    }

    let generate: Generate
    let route: Route
    let onionmessage: Message
    let decrypt: Decrypt
}
