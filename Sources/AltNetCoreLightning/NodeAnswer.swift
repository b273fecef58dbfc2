// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetKeys
internal import AltNetLightningAttachment
internal import FoundationEssentials

/// An answer of lightningd's JSON-RPC, before it is known which call it belongs to.
struct NodeAnswer: Sendable {
    /// The number of the call; `nil` when lightningd could not read the request that it complains of.
    let id: Int?
    private let object: Data

    private struct Header: Decodable {
        let id: Int?
    }

    private struct Outcome<Result: Decodable>: Decodable {
        let result: Result?
        let error: NodeFailure?
    }

    /// Reads who an object is for; `nil` for notifications, which have no identifier, and for what is no JSON.
    init?(_ object: [UInt8]) {
        let data = Data(object)
        guard let header = try? JSONDecoder().decode(Header.self, from: data) else { return nil }
        self.id = header.id
        self.object = data
    }

    /// Reads the rest as the answer to a call.
    func result<Parameters, Result>(
        of call: NodeCall<Parameters, Result>, peer: NodeID?
    ) throws(AttachmentError) -> Result {
        let outcome: Outcome<Result>
        do {
            outcome = try JSONDecoder().decode(Outcome<Result>.self, from: self.object)
        } catch {
            throw .nonsense("the answer to \(call.method) has not the form that it should have")
        }
        if let failure = outcome.error { throw failure.error(method: call.method, peer: peer) }
        guard let result = outcome.result else {
            throw .nonsense("the answer to \(call.method) has neither result nor error")
        }
        return result
    }
}
