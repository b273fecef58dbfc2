// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKademlia
import AltNetPeerRecords
import Testing

/// Searches in a network of a hundred and fifty nodes that exist in this process only. Every run checks, besides what its test
/// asks for, that no peer is asked twice, no more than `α` at once, and that the search ends in time.
@Suite struct LookupTests {
    private static let seeds: [UInt64] = [1, 2]

    @Test(arguments: Self.seeds)
    func theClosestPeersAreFoundFromAnywhere(seed: UInt64) throws {
        var network = try SimulatedNetwork(of: 150, seed: seed)
        for _ in 0..<10 {
            let key = network.random.bytes(34)
            let asker = try #require(network.ids.randomElement(using: &network.random))
            let others = network.ids.filter { $0 != asker }
            let (findings, duration) = try network.run(key, .closest, by: asker)
            #expect(findings.closest == SimulatedNetwork.closest(others, to: key, count: 20), "seed \(seed)")
            #expect(findings.ending == .converged)
            #expect(findings.failed == 0)
            #expect(findings.asked < 80)
            #expect(duration < .seconds(10))
        }
    }

    @Test(arguments: Self.seeds)
    func aPeerIsFoundWithItsRecordThroughASingleBootstrapNode(seed: UInt64) throws {
        var network = try SimulatedNetwork(of: 150, seed: seed)
        for _ in 0..<10 {
            let both = network.ids.shuffled(using: &network.random)
            let (findings, _) = try network.run(both[0].bytes, .peer(both[0]), by: both[1], seeds: [both[2]])
            #expect(findings.record?.record.peer == both[0], "seed \(seed)")
            #expect(findings.ending == .satisfied)
        }
    }

    @Test(arguments: Self.seeds)
    func lossAndChurnCostTimeButNotTheResult(seed: UInt64) throws {
        var network = try SimulatedNetwork(of: 150, seed: seed)
        network.loss = 5
        network.set(.dead, for: network.ids.shuffled(using: &network.random).prefix(45))
        let alive = network.all(.honest)
        var found = 0
        for _ in 0..<10 {
            let pair = alive.shuffled(using: &network.random)
            let (findings, _) = try network.run(pair[0].bytes, .closest, by: pair[1])
            let right = SimulatedNetwork.closest(alive.filter { $0 != pair[1] }, to: pair[0].bytes, count: 20)
            // Near the key, everybody still names those that are gone, in the place of others.
            #expect(Set(findings.closest).intersection(right).count >= 10, "seed \(seed)")
            #expect(findings.closest.allSatisfy(Set(alive).contains))
            let (search, _) = try network.run(pair[0].bytes, .peer(pair[0]), by: pair[1])
            if search.record?.record.peer == pair[0] { found += 1 }
        }
        #expect(found == 10, "seed \(seed)")
    }

    @Test(arguments: Self.seeds)
    func peersAreFoundAlthoughAFifthOfTheNodesLie(seed: UInt64) throws {
        var network = try SimulatedNetwork(of: 150, seed: seed)
        network.set(.liar, for: network.ids.shuffled(using: &network.random).prefix(30))
        let honest = network.all(.honest)
        var found = 0
        var places = 0
        for _ in 0..<10 {
            let pair = honest.shuffled(using: &network.random)
            let (findings, _) = try network.run(pair[0].bytes, .peer(pair[0]), by: pair[1])
            if let record = findings.record {
                // A liar's record of itself never passes for another's.
                #expect(record.record.peer == pair[0])
                found += 1
            }
            let (closest, _) = try network.run(pair[0].bytes, .closest, by: pair[1])
            let right = SimulatedNetwork.closest(honest.filter { $0 != pair[1] }, to: pair[0].bytes, count: 10)
            places += Set(closest.closest + closest.closestOfPaths).intersection(right).count
        }
        #expect(found >= 9, "seed \(seed)")
        // Of the ten closest honest nodes, most get what is put.
        #expect(places >= 10 * 7, "seed \(seed): \(places)")
    }

    @Test(arguments: Self.seeds)
    func aValueIsFoundAndForgeriesAreNot(seed: UInt64) throws {
        var network = try SimulatedNetwork(of: 150, seed: seed)
        network.set(.liar, for: network.ids.shuffled(using: &network.random).prefix(20))
        network.set(.confused, for: network.all(.honest).prefix(5))
        let pair = network.all(.honest).shuffled(using: &network.random)
        // Every honest node's peer store knows every record in this network, so that all have the value.
        let key = KademliaValueKey.peerRecord(pair[0]).bytes
        let (findings, _) = try network.run(key, .value(quorum: 5), by: pair[1])
        #expect(findings.value == network.nodes[pair[0]]?.envelope, "seed \(seed)")
        #expect(findings.holders.count >= 5)
        #expect(findings.ending == .satisfied)
        let honest = Set(network.all(.honest))
        #expect(findings.holders.allSatisfy(honest.contains))
    }

    @Test func theNewestValueWinsAndTheOthersAreNamed() throws {
        let key = try #require(PeerPrivateKey.ed25519(seed: Array(repeating: 3, count: 32)))
        let name = KademliaValueKey.peerRecord(key.peerID).bytes
        func envelope(_ sequence: UInt64) throws -> [UInt8] {
            try PeerRecord(peer: key.peerID, sequence: sequence, addresses: []).sealed(by: key).envelope
        }
        var random = SeededRandom(seed: 1)
        let peers = (0..<5).map { _ in randomPeer(&random) }
        var lookup = Lookup(
            key: name, goal: .value(quorum: 10), ourselves: key.peerID, seeds: peers, now: .zero)
        _ = lookup.start(now: .zero)
        var directives: [Lookup.Directive] = []
        for (peer, sequence) in zip(peers, [5, 4, 6, 6, nil] as [UInt64?]) {
            let record = try sequence.map { KademliaMessage.Record(key: name, value: try envelope($0)) }
            let answer = KademliaMessage(kind: .getValue, key: name, record: record)
            let result = lookup.onAnswer(answer, from: peer, now: .zero)
            #expect(result.problem == nil)
            directives = result.directives
        }
        guard case .finished(let findings) = directives.last else {
            Issue.record("the search goes on: \(directives)")
            return
        }
        #expect(findings.value == (try envelope(6)))
        #expect(findings.holders == [peers[2], peers[3]])
        #expect(Set(findings.outdated) == [peers[0], peers[1]])
        #expect(findings.lacking == [peers[4]])
    }

    @Test func wrongAnswersAreNamedAndLateOnesIgnored() throws {
        var random = SeededRandom(seed: 2)
        let peers = (0..<4).map { _ in randomPeer(&random) }
        let key = randomPeer(&random).bytes
        var lookup = Lookup(key: key, goal: .closest, ourselves: randomPeer(&random), seeds: peers, now: .zero)
        _ = lookup.start(now: .zero)
        let otherKind = lookup.onAnswer(KademliaMessage(kind: .ping), from: peers[0], now: .zero)
        #expect(otherKind.problem == .otherKind)
        let otherKey = lookup.onAnswer(KademliaMessage(kind: .findNode, key: [1]), from: peers[1], now: .zero)
        #expect(otherKey.problem == .otherKey)
        let again = lookup.onAnswer(KademliaMessage(kind: .findNode), from: peers[1], now: .zero)
        #expect(again.directives.isEmpty)
        let late = MonotonicInstant.zero + Lookup.queryTimeout
        let directives = lookup.onTimer(now: late)
        #expect(Set(directives.dropLast()) == [.abandon(peers[2]), .abandon(peers[3])])
        guard case .finished(let findings) = directives.last else {
            Issue.record("the search goes on: \(directives)")
            return
        }
        #expect(findings.failed == 4)
        #expect(lookup.onAnswer(KademliaMessage(kind: .findNode), from: peers[2], now: late).directives.isEmpty)
    }

    @Test(arguments: Self.seeds)
    func providersAreFoundWithTheirRecords(seed: UInt64) throws {
        var network = try SimulatedNetwork(of: 150, seed: seed)
        let key = network.random.bytes(34)
        let provider = network.ids[0]
        let announcement = KademliaMessage(kind: .addProvider, key: key, providers: [.init(id: provider)])
        for holder in SimulatedNetwork.closest(network.ids, to: key, count: 20) where holder != provider {
            network.tell(holder, announcement, from: provider)
        }
        let asker = network.ids[1]
        let (findings, _) = try network.run(key, .providers(count: 1), by: asker)
        #expect(findings.providers.map(\.id) == [provider])
        #expect(findings.ending == .satisfied)
        let record = try CertifiedPeerRecord(verifying: try #require(findings.providers.first?.signedRecord))
        #expect(record.record.peer == provider)
    }

    @Test func aLiarThatNamesPeersWithoutEndCostsABoundedNumberOfRequests() throws {
        var random = SeededRandom(seed: 3)
        let ourselves = randomPeer(&random)
        let key = randomPeer(&random).bytes
        var now = MonotonicInstant.zero
        var lookup = Lookup(
            key: key, goal: .closest, ourselves: ourselves, seeds: [randomPeer(&random)], now: now)
        var queue = lookup.start(now: now)
        var asked = 0
        var ending: Lookup.Ending?
        while !queue.isEmpty {
            switch queue.removeFirst() {
            case .query(let peer, _):
                asked += 1
                now = now + .milliseconds(1)
                // A hundred peers that nobody knew, and every one of them answers in the same way.
                let named = (0..<100).map { _ in KademliaMessage.Peer(id: randomPeer(&random)) }
                let answer = KademliaMessage(kind: .findNode, closerPeers: named)
                let result = lookup.onAnswer(answer, from: peer, now: now)
                for directive in result.directives {
                    if case .learn(let peers, _) = directive { #expect(peers.count == 20) }
                }
                queue += result.directives
            case .finished(let findings): ending = findings.ending
            case .learn, .abandon, .setTimer: continue
            }
        }
        #expect(asked <= Lookup.maximumQueries)
        #expect(ending == .tooManyQueries || ending == .converged)
    }

    @Test func withNobodyToAskASearchEndsAtOnce() throws {
        var random = SeededRandom(seed: 4)
        let ourselves = randomPeer(&random)
        var lookup = Lookup(key: [1], goal: .closest, ourselves: ourselves, seeds: [ourselves], now: .zero)
        let directives = lookup.start(now: .zero)
        guard case .finished(let findings) = directives.last, directives.count == 1 else {
            Issue.record("\(directives)")
            return
        }
        #expect(findings.ending == .nobody)
        #expect(lookup.isFinished)
    }

    @Test func threeThatAgreeOnAnOldRecordDoNotEndASearchBeforeTheClosestHaveAnswered() throws {
        let key = try #require(PeerPrivateKey.ed25519(seed: Array(repeating: 8, count: 32)))
        func envelope(_ sequence: UInt64) throws -> [UInt8] {
            try PeerRecord(peer: key.peerID, sequence: sequence, addresses: []).sealed(by: key).envelope
        }
        var random = SeededRandom(seed: 18)
        let wanted = key.peerID
        let all = SimulatedNetwork.closest((0..<12).map { _ in randomPeer(&random) }, to: wanted.bytes, count: 12)
        var lookup = Lookup(
            key: wanted.bytes, goal: .peer(wanted), ourselves: randomPeer(&random), seeds: all, now: .zero)
        _ = lookup.start(now: .zero)
        // The farthest answer first, with what is long outdated.
        for peer in all[5..<10].reversed() {
            let old = KademliaMessage.Peer(id: wanted, signedRecord: try envelope(1))
            let result = lookup.onAnswer(KademliaMessage(kind: .findNode, closerPeers: [old]), from: peer, now: .zero)
            #expect(result.directives.allSatisfy { if case .finished = $0 { false } else { true } })
        }
        #expect(!lookup.isFinished)
        // Somebody close has the new one; nobody has to agree with whoever has the highest number to win.
        let new = KademliaMessage.Peer(id: wanted, signedRecord: try envelope(2))
        _ = lookup.onAnswer(KademliaMessage(kind: .findNode, closerPeers: [new]), from: all[0], now: .zero)
        let directives = lookup.cancel()
        guard case .finished(let findings) = directives.last else {
            Issue.record("\(directives)")
            return
        }
        #expect(findings.record?.record.sequence == 2)
    }

    @Test func oldValuesFromAfarDoNotEndASearchEither() throws {
        let key = try #require(PeerPrivateKey.ed25519(seed: Array(repeating: 9, count: 32)))
        let name = KademliaValueKey.peerRecord(key.peerID).bytes
        let old = try PeerRecord(peer: key.peerID, sequence: 1, addresses: []).sealed(by: key).envelope
        var random = SeededRandom(seed: 19)
        let all = SimulatedNetwork.closest((0..<12).map { _ in randomPeer(&random) }, to: name, count: 12)
        var lookup = Lookup(
            key: name, goal: .value(quorum: 3), ourselves: randomPeer(&random), seeds: all, now: .zero)
        _ = lookup.start(now: .zero)
        let answer = KademliaMessage(kind: .getValue, key: name, record: .init(key: name, value: old))
        for peer in all[5..<10].reversed() { _ = lookup.onAnswer(answer, from: peer, now: .zero) }
        #expect(!lookup.isFinished)
        // Those whom nobody can reach are not waited for.
        for peer in all[0..<5] + all[10...] { _ = lookup.onFailure(of: peer, now: .zero) }
        #expect(lookup.isFinished)
    }

    @Test func aSearchKeepsABoundedNumberOfProvidersHoweverManyAreAskedFor() throws {
        var random = SeededRandom(seed: 20)
        let seeds = (0..<4).map { _ in randomPeer(&random) }
        func answer() -> KademliaMessage {
            let providers = (0..<100).map { _ in KademliaMessage.Peer(id: randomPeer(&random)) }
            return KademliaMessage(kind: .getProviders, key: [1], providers: providers)
        }
        var lookup = Lookup(
            key: [1], goal: .providers(count: .max), ourselves: randomPeer(&random), seeds: seeds, now: .zero)
        _ = lookup.start(now: .zero)
        var last: Lookup.Directive?
        for peer in seeds where !lookup.isFinished {
            last = lookup.onAnswer(answer(), from: peer, now: .zero).directives.last
        }
        guard case .finished(let findings) = last else {
            Issue.record("the search goes on")
            return
        }
        #expect(findings.providers.count == Lookup.maximumProviders)
        // Who looks for places to announce itself asks the same, and keeps none.
        var places = Lookup(
            key: [1], goal: .placesOfProviders, ourselves: randomPeer(&random), seeds: seeds, now: .zero)
        let requests = places.start(now: .zero)
        #expect(requests.contains(.query(seeds[0], KademliaMessage(kind: .getProviders, key: [1]))))
        for peer in seeds { last = places.onAnswer(answer(), from: peer, now: .zero).directives.last }
        guard case .finished(let found) = last else {
            Issue.record("the search goes on")
            return
        }
        #expect(found.providers.isEmpty)
        #expect(Set(found.closest) == Set(seeds))
    }
}
