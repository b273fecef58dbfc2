// SPDX-License-Identifier: MIT

internal import AltNetDriverHost
internal import AltNetDriverProtocol
internal import AltNetObjects

/// Gives what drivers say to those whom it concerns: streams to the splicer, news of peers to the peer service, addresses
/// to hole punching, the rest to the orchestrator, and links that come and go to all four. So the bytes of streams never wait for the header chain, nor the other way round.
struct SpliceRouter: DriverHostDelegate {
    let orchestrator: Orchestrator
    let splicer: Splicer
    let peers: PeerService
    let punching: PunchService

    func driverAttached(_ driver: String, capabilities: DriverCapabilities, identity: String) async {
        await self.peers.attached(driver, capabilities, identity: identity)
        await self.punching.attached(driver, capabilities)
        await self.orchestrator.driverAttached(driver, capabilities: capabilities, identity: identity)
    }

    func driver(_ driver: String, said event: DriverEvent) async {
        guard !PeerService.takes(event) else { return await self.peers.driver(driver, said: event) }
        switch event {
        case .stream(let link, let id, let message):
            await self.splicer.heard(message, of: id, over: link, of: driver)
        case .linkOpened(let link, let description):
            await self.splicer.opened(link, of: driver, description)
            await self.peers.driver(driver, said: event)
            await self.punching.driver(driver, said: event)
            await self.orchestrator.driver(driver, said: event)
        case .linkClosed(let link, _):
            await self.splicer.closed(link, of: driver)
            await self.peers.driver(driver, said: event)
            await self.punching.driver(driver, said: event)
            await self.orchestrator.driver(driver, said: event)
        // Of the addresses of nodes only offers of hole punching concern us.
        case .announcement(_, let announcement) where announcement.kind == .addresses:
            await self.punching.driver(driver, said: event)
        case .hello, .listening, .targetFailed, .request, .answer, .announcement, .pong, .operationResult, .peerNews,
            .peerQuestion:
            await self.orchestrator.driver(driver, said: event)
        }
    }

    func driverDetached(_ driver: String, reason: String) async {
        await self.splicer.detached(driver)
        await self.peers.detached(driver)
        await self.punching.detached(driver)
        await self.orchestrator.driverDetached(driver, reason: reason)
    }
}
