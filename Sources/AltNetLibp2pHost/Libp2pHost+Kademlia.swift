// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetKademlia
internal import AltNetLibp2p
public import AltNetPeerRecords
internal import Logging

extension Libp2pHost {
    /// Joins a DHT: in server mode the host serves its protocol from now on.
    ///
    /// ``runKademlia(_:publishes:)`` MUST run as long as the DHT is used.
    public func joinKademlia(_ configuration: KademliaService.Configuration) -> KademliaService {
        let service = KademliaService(
            ourselves: self.peer, book: self.book,
            carrier: KademliaStreams(host: self, protocolName: configuration.protocolName),
            configuration: configuration, logger: self.logger)
        if configuration.mode == .server {
            self.serve(configuration.protocolName) { stream, peer in
                await KademliaStreams.serve(stream, from: peer, service, limit: Lookup.timeout)
            }
        }
        return service
    }

    /// Keeps a DHT going until it is cancelled: peers that serve it become members, and the table is refreshed.
    public func runKademlia(_ service: KademliaService, publishes: Bool) async {
        let name = service.configuration.protocolName
        let events = self.events()
        await withDiscardingTaskGroup { group in
            group.addTask { await service.run(publishes: publishes) }
            for link in self.links where link.identify?.protocols.contains(name) == true {
                await service.met(link)
            }
            for await event in events {
                guard case .identified(let link, let message) = event else { continue }
                if message.protocols.contains(name) {
                    await service.met(link)
                } else {
                    await service.left(link.peer)
                }
            }
        }
    }
}

extension KademliaService {
    /// Whom we have reached, others can; who has called us must answer first.
    fileprivate func met(_ link: Libp2pLink) {
        if link.isInbound { self.claimed(by: KademliaContact(link)) } else { self.met(KademliaContact(link)) }
    }
}

extension KademliaContact {
    init(_ link: Libp2pLink) {
        self.init(peer: link.peer, group: link.place.isLocal ? nil : link.networkGroup, network: link.network)
    }
}

/// Kademlia messages over a host's streams.
struct KademliaStreams: KademliaCarrier {
    /// How long we wait for the end of a stream on which no answer comes.
    private static let endTimeout = Duration.seconds(2)

    let host: Libp2pHost
    let protocolName: String

    func own(to network: LocalNetwork?) -> KademliaMessage.Peer {
        let addresses = self.host.addresses(for: network)
        let told = Set(addresses)
        let record = self.host.record
        let isTold = record.map { told.isSuperset(of: $0.record.addresses) } ?? false
        return KademliaMessage.Peer(
            id: self.host.peer, addresses: addresses, connection: .connected,
            signedRecord: isTold ? record?.envelope : nil)
    }

    func learned(_ news: [PeerNews]) async { await self.host.tellDialer(of: news) }

    func ask(_ peer: PeerID, _ compose: @escaping Composer) async throws -> (KademliaMessage, KademliaContact) {
        let stream = try await self.host.openStream(to: peer, protocols: [self.protocolName])
        do {
            let contact = KademliaContact(stream.link)
            try await stream.write(try compose(self.own(to: contact.network)).framed)
            var frames = KademliaFrames()
            while true {
                if let answer = try frames.next() {
                    stream.closeWrite()
                    return (answer, contact)
                }
                guard let bytes = try await stream.read() else { throw KademliaError.noAnswer }
                frames.append(bytes)
            }
        } catch let error as KademliaMessageError {
            stream.reset()
            throw KademliaError.message(error)
        } catch {
            stream.reset()
            throw error
        }
    }

    func tell(_ peer: PeerID, _ compose: @escaping Composer) async throws {
        let stream = try await self.host.openStream(to: peer, protocols: [self.protocolName])
        do {
            try await stream.write(try compose(self.own(to: stream.link.network)).framed)
        } catch {
            stream.reset()
            throw error
        }
        stream.closeWrite()
        // No answer is needed: py-libp2p echoes the message and resets the stream, go-libp2p ends it. A reset without a
        // word says that the message was refused.
        do {
            _ = try await withTimeLimit(Self.endTimeout) { try await stream.read() }
        } catch is Libp2pStreamError {
            return
        }
    }

    /// Answers requests on a stream, one after the other, until the other side ends it.
    ///
    /// - Parameter limit: for each request.
    static func serve(_ stream: Libp2pStream, from peer: PeerID, _ service: KademliaService, limit: Duration) async {
        let contact = KademliaContact(stream.link)
        do {
            var frames = KademliaFrames()
            while true {
                guard let request = try frames.next() else {
                    let bytes = try await withTimeLimit(limit) { try await stream.read() }
                    guard let bytes else {
                        // The end within a message is none in good order.
                        if frames.isBetweenMessages { stream.closeWrite() } else { stream.reset() }
                        return
                    }
                    frames.append(bytes)
                    continue
                }
                switch await service.answer(request, from: contact) {
                case .answer(let message):
                    let framed = message.framed
                    try await withTimeLimit(limit) { try await stream.write(framed) }
                case .nothing: continue
                case .reset(let reason):
                    service.logger.debug(
                        "a request of the DHT is refused", metadata: ["peer": "\(peer)", "reason": "\(reason)"])
                    return stream.reset()
                }
            }
        } catch {
            service.logger.debug(
                "a stream of the DHT has failed", metadata: ["peer": "\(peer)", "reason": "\(error)"])
            stream.reset()
        }
    }
}
