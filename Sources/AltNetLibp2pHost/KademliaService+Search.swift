// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetKademlia
internal import AltNetPeerRecords
internal import AltNetTransport
internal import Logging

extension KademliaService {
    /// What a search waits for.
    private enum Event: Sendable {
        case answer(PeerID, KademliaMessage, KademliaContact)
        case failure(PeerID, any Error)
        case timer
        case cancelled
    }

    /// Carries out a ``Lookup`` to its end. Failures of single peers are part of it; it throws nothing.
    @discardableResult
    func search(_ key: [UInt8], _ goal: Lookup.Goal) async -> Lookup.Findings {
        let seeds = self.table.closest(to: KademliaKey(hashing: key))
        var lookup = Lookup(key: key, goal: goal, ourselves: self.ourselves, seeds: seeds, now: .now)
        let (events, source) = AsyncStream.makeStream(of: Event.self)
        var findings = Lookup.Findings()
        var queries: [PeerID: Task<Void, Never>] = [:]
        var timer: Task<Void, Never>?
        var contacts: [PeerID: KademliaContact] = [:]
        let answersBefore = self.answers
        var failed: [PeerID] = []
        await withTaskCancellationHandler {
            var directives = lookup.start(now: .now)
            var iterator = events.makeAsyncIterator()
            while true {
                for directive in directives {
                    switch directive {
                    case .learn(let peers, let teller):
                        guard let contact = contacts[teller] else { continue }
                        _ = await self.learn(peers.compactMap(KademliaNews.init), from: contact)
                    case .query(let peer, let request):
                        queries[peer] = Task {
                            switch await self.ask(peer, request) {
                            case .success((let answer, let contact)): source.yield(.answer(peer, answer, contact))
                            case .failure(let error): source.yield(.failure(peer, error))
                            }
                        }
                    case .abandon(let peer):
                        queries.removeValue(forKey: peer)?.cancel()
                        // Those still under way at the end have done nothing wrong.
                        if !lookup.isFinished { failed.append(peer) }
                    case .setTimer(let time):
                        timer?.cancel()
                        timer = Task {
                            try? await Task.sleep(for: max(.zero, time - .now))
                            if !Task.isCancelled { source.yield(.timer) }
                        }
                    case .finished(let result): findings = result
                    }
                }
                guard !lookup.isFinished, let event = await iterator.next() else { break }
                switch event {
                case .answer(let peer, let answer, let contact):
                    queries[peer] = nil
                    contacts[peer] = contact
                    let (next, problem) = lookup.onAnswer(answer, from: peer, now: .now)
                    if let problem {
                        self.table.failed(peer)
                        self.logger.debug(
                            "a bad answer from the DHT", metadata: ["peer": "\(peer)", "reason": "\(problem)"])
                    } else {
                        self.heard(contact)
                        if case .peerRecord(let subject) = KademliaValueKey(key), let value = answer.record?.value {
                            _ = await self.learn([.record(value, about: subject)], from: contact)
                        }
                    }
                    directives = next
                case .failure(let peer, let error):
                    queries[peer] = nil
                    if Self.isOfPeer(error) { failed.append(peer) }
                    self.logger.debug(
                        "no answer from the DHT", metadata: ["peer": "\(peer)", "reason": "\(error)"])
                    directives = lookup.onFailure(of: peer, now: .now)
                case .timer: directives = lookup.onTimer(now: .now)
                case .cancelled: directives = lookup.cancel()
                }
            }
        } onCancel: {
            source.yield(.cancelled)
        }
        timer?.cancel()
        source.finish()
        // When nobody at all has answered meanwhile, it is rather we who are cut off.
        if self.answers > answersBefore {
            for peer in failed { self.table.failed(peer) }
        } else if findings.asked > 0 {
            self.lastHeard = nil
        }
        return findings
    }
}
