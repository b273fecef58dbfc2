// SPDX-License-Identifier: MIT

internal import AltNetAlternativeAddresses
internal import AltNetKeys
internal import AltNetLightning
internal import Logging

// MARK: - What the log says of peers

extension AlternativeAddressBook {
    func log(_ reception: AddressReception, of peer: NodeID, _ now: Moment, _ state: inout State) {
        switch reception {
        case .stored:
            let address = state.machine.received.first { $0.peer == peer }?.address
            self.logger.info("a peer gave us an alternative address", metadata: self.metadata(peer, address))
        case .cleared: self.logger.info("a peer took its alternative address back", metadata: self.metadata(peer))
        case .refused(let refusal):
            // Any stranger can send these, as fast as the line goes.
            guard let unlogged = state.refusals.line(peer, now: now.monotonic) else { return }
            self.logger.notice(
                "an alternative address is not stored",
                metadata: ["peer": "\(peer)", "reason": "\(refusal)", "unlogged": "\(unlogged)"])
        case .unchanged, .nothingToClear: break
        }
    }

    func metadata(_ peer: NodeID, _ address: LightningAddress? = nil) -> Logger.Metadata {
        guard let address, self.logsAddresses else { return ["peer": "\(peer)"] }
        return ["peer": "\(peer)", "address": "\(address.text)"]
    }

    /// A peer proved who it is at an endpoint whose address it was not given.
    func logTurnedAway(_ peer: NodeID, at endpoint: EndpointID, _ state: inout State) {
        guard let unlogged = state.turnedAway.line(peer, now: self.clock.now().monotonic) else { return }
        // The peer is known to us now, so the operator may be, too.
        self.logger.notice(
            "a peer was turned away from an alternative endpoint that it was not given",
            metadata: ["peer": "\(peer)", "endpoint": "\(endpoint)", "unlogged": "\(unlogged)"])
    }
}
