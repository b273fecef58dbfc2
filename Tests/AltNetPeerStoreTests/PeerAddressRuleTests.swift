// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetPeerRecords
import AltNetPeerStore
import Testing

@Suite("Addresses in a peer store")
struct PeerAddressRuleTests {
    @Test("what the operator typed stays, whatever records say and however long", arguments: StoreKind.allCases)
    func user(kind: StoreKind) throws {
        let store = try kind.make()
        let key = try Sample.key(1)
        let (typed, other) = (try Sample.address(1), try Sample.address(2))
        #expect(try store.learn(Sample.told(key.peerID, [typed], .user, for: .zero)) == .stored)
        #expect(try store.learn(Sample.record(key, 1, [typed])) == .stored)
        #expect(try store.texts(key.peerID) == ["\(typed)": "user+certified"])
        #expect(try store.learn(Sample.record(key, 2, [other])) == .stored)
        #expect(try store.texts(key.peerID) == ["\(typed)": "user", "\(other)": "certified"])
        let muchLater = Sample.start + .seconds(400 * 86_400)
        #expect(try store.sweep(limit: 100, now: muchLater) == 0)
        #expect(try store.texts(key.peerID, muchLater) == ["\(typed)": "user"])
        #expect(try store.known(key.peerID, muchLater)?.addresses.first?.expiry == nil)

        let many = try (10..<40).map { try Sample.address($0) }
        let outcome = try store.learn(Sample.told(key.peerID, many, .user))
        #expect(outcome.leftOut.allSatisfy { $0 == .noRoom })
        #expect(outcome.leftOut.count == many.count + 1 - PeerRules.maximumUserAddresses)
    }

    @Test("sources add up, and lifetimes are bounded", arguments: StoreKind.allCases)
    func sources(kind: StoreKind) throws {
        let store = try kind.make()
        let peer = try Sample.peer(1)
        let address = try Sample.address(1)
        let withID = try address.appending(peer)
        #expect(try store.learn(Sample.told(peer, [address], .dht)) == .stored)
        #expect(try store.learn(Sample.told(peer, [withID], .bolt7, for: .seconds(9_000_000))) == .stored)
        #expect(try store.learn(Sample.told(peer, [address], .dht)) == .unchanged)
        let known = try #require(try store.known(peer)?.addresses.first)
        #expect(known.sources == [.dht, .bolt7] && known.address == address)
        #expect(known.expiry == Sample.start + PeerRules.maximumLifetime)
        #expect(try store.known(peer, Sample.start + PeerRules.maximumLifetime) == nil)
    }

    @Test("news that cannot be is refused by name", arguments: StoreKind.allCases)
    func refused(kind: StoreKind) throws {
        let store = try kind.make()
        let (peer, other) = (try Sample.peer(1), try Sample.peer(2))
        let address = try Sample.address(1)
        let tooMany = try (0..<101).map { try Sample.address($0) }
        func code(_ news: PeerNews) throws -> PeerNewsRefusal.Code? { try store.learn(news).code }
        #expect(try code(Sample.told(peer, [])) == .noAddress)
        #expect(try code(Sample.told(peer, tooMany)) == .tooManyAddresses)
        #expect(try code(Sample.told(peer, [address], .certified)) == .badSource)
        #expect(try code(Sample.told(peer, [address], [.dht, .connection])) == .badSource)
        #expect(try code(Sample.told(peer, [address], [])) == .badSource)
        #expect(try code(Sample.told(peer, [address], AddressSources(rawValue: 1 << 30))) == .badSource)
        #expect(try code(Sample.told(peer, [address], for: .zero)) == .expired)
        #expect(try code(Sample.told(peer, [address], for: .seconds(-5))) == .expired)
        #expect(try code(Sample.told(peer, [try address.appending(other)])) == .addressOfOtherPeer)
        #expect(try code(.failed(peer, address)) == .unknownAddress)
        #expect(try store.counts().peers == 0)
        // The good ones among bad ones are stored.
        #expect(
            try store.learn(Sample.told(peer, [try address.appending(other), address])).leftOut
                == [.addressOfOtherPeer])
        #expect(try store.known([peer, other], now: Sample.start).map(\.id) == [peer])
    }

    @Test("IP addresses that no machine has are refused, whoever says them", arguments: StoreKind.allCases)
    func nowhere(kind: StoreKind) throws {
        let store = try kind.make()
        let key = try Sample.key(1)
        let texts = [
            "/ip4/0.0.0.0/tcp/4001", "/ip4/0.1.2.3/tcp/1", "/ip4/224.0.0.1/udp/1/quic-v1", "/ip4/255.255.255.255/tcp/1",
            "/ip6/::/tcp/4001", "/ip6/::ffff:0.0.0.0/tcp/1", "/ip6/ff02::1/tcp/1",
        ]
        let bad = try texts.map { try Sample.address($0) }
        for address in bad {
            for source in [.dht, .identify, .user] as [AddressSources] {
                let news = Sample.told(key.peerID, [address], source, on: Sample.home)
                #expect(try store.learn(news).code == .nowhere, "\(address) \(source)")
            }
            let news = PeerNews.connected(key.peerID, address, latency: .zero, on: Sample.home)
            #expect(try store.learn(news).code == .nowhere, "\(address)")
        }
        #expect(try store.counts().peers == 0)
        let good = try Sample.address(1)
        #expect(try store.learn(Sample.record(key, 1, bad + [good])).leftOut == bad.map { _ in .nowhere })
        #expect(try store.texts(key.peerID) == ["\(good)": "certified"])
        #expect(try store.known(key.peerID)?.record?.record.addresses.count == bad.count + 1)
        // What is not understood may be understood tomorrow.
        for text in ["/unix/run/altnet.sock", "/unknown-0x1234/00"] {
            #expect(try store.learn(Sample.told(key.peerID, [try Sample.address(text)])) == .stored, "\(text)")
        }
    }

    @Test("success proves an address and makes it last, failures are counted", arguments: StoreKind.allCases)
    func attempts(kind: StoreKind) throws {
        let store = try kind.make()
        let peer = try Sample.peer(1)
        let (a, b) = (try Sample.address(1), try Sample.address(2))
        #expect(try store.learn(Sample.told(peer, [a])) == .stored)
        for count in 1...3 {
            #expect(try store.learn(.failed(peer, a), Sample.start + .seconds(count)) == .stored)
            #expect(try store.known(peer)?.addresses.first?.failures == count)
        }
        #expect(try store.counts().proven == 0)
        let later = Sample.start + .seconds(60)
        #expect(try store.learn(.connected(peer, a, latency: .milliseconds(30)), later) == .stored)
        #expect(try store.learn(.connected(peer, b, latency: .seconds(9_999)), later) == .stored)
        let known = try #require(try store.known(peer, later)?.addresses)
        #expect(known.map(\.sources) == [[.dht, .connection], .connection])
        #expect(known.map(\.failures) == [0, 0] && known.map(\.lastSuccess) == [later, later])
        #expect(known.map(\.latency) == [.milliseconds(30), PeerRules.maximumLatency])
        #expect(known[0].lastFailure == Sample.start + .seconds(3) && known[1].lastFailure == nil)
        #expect(known[0].expiry == later + PeerRules.provenLifetime)
        #expect(try store.counts().proven == 1)
        #expect(try store.sweep(limit: 10, now: later + PeerRules.provenLifetime) == 1)
        #expect(try store.counts().peers == 0)
    }

    @Test("addresses of private ranges belong to the network they were learned on", arguments: StoreKind.allCases)
    func ambiguous(kind: StoreKind) throws {
        let store = try kind.make()
        let peer = try Sample.peer(1)
        let local = try Sample.address("/ip4/192.168.1.5/tcp/4001")
        let global = try Sample.address(1)
        for text in ["/ip4/192.168.1.5/tcp/1", "/ip4/127.0.0.1/tcp/1", "/ip6/fe80::1/tcp/1", "/ip6/::1/tcp/1"] {
            #expect(try store.learn(Sample.told(peer, [try Sample.address(text)])).code == .unknownNetwork, "\(text)")
        }
        #expect(try store.learn(Sample.told(peer, [local, global], on: Sample.home)) == .stored)
        #expect(try store.learn(Sample.told(peer, [local], .addrv2, on: Sample.work)) == .stored)
        #expect(try store.texts(peer) == ["\(local) home": "dht", "\(local) work": "addrv2", "\(global)": "dht"])
        // They are two machines: what happens to one does not touch the other.
        #expect(try store.learn(.connected(peer, local, latency: .seconds(1), on: Sample.home)) == .stored)
        #expect(try store.learn(.failed(peer, local, on: Sample.work)) == .stored)
        #expect(try store.learn(.connected(peer, local, latency: .seconds(1))).code == .unknownNetwork)
        let known = try #require(try store.known(peer))
        #expect(known.addresses.filter { $0.lastSuccess != nil }.map(\.network) == [Sample.home])
        #expect(known.addresses.filter { $0.lastFailure != nil }.map(\.network) == [Sample.work])
        #expect(known.addresses(on: Sample.home).map(\.network) == [Sample.home, nil])
        #expect(known.addresses(on: nil).map(\.address) == [global])

        #expect(try store.told(peer)?.addresses == [global])
        #expect(try store.told(peer, to: Sample.home)?.addresses == [local, global])
        #expect(try store.told(peer, to: LocalNetwork("café"))?.addresses == [global])
    }

    @Test("a record with such an address goes out whole only where it was heard", arguments: StoreKind.allCases)
    func ambiguousRecord(kind: StoreKind) throws {
        let store = try kind.make()
        let (key, lost, inside) = (try Sample.key(1), try Sample.key(2), try Sample.key(3))
        let local = try Sample.address("/ip4/10.0.0.5/tcp/4001")
        let global = try Sample.address(1)
        #expect(try store.learn(Sample.record(key, 1, [local, global], on: Sample.home)) == .stored)
        #expect(try store.told(key.peerID, to: Sample.home)?.envelope != nil)
        #expect(try store.told(key.peerID, to: Sample.home)?.addresses == [local, global])
        for network in [nil, Sample.work] {
            let told = try #require(try store.told(key.peerID, to: network))
            #expect(told.envelope == nil && told.addresses == [global])
        }
        // Nobody said where it was heard: it goes nowhere, and its good address is stored.
        #expect(try store.learn(Sample.record(lost, 1, [local, global])).leftOut == [.unknownNetwork])
        #expect(try store.told(lost.peerID, to: Sample.home)?.envelope == nil)
        #expect(try store.told(lost.peerID, to: Sample.home)?.addresses == [global])
        // Heard again at home, it counts there.
        #expect(try store.learn(Sample.record(lost, 1, [local, global], on: Sample.home)) == .stored)
        #expect(try store.told(lost.peerID, to: Sample.home)?.envelope != nil)
        // Somebody who repeats it elsewhere does not make it mean anything there.
        let later = Sample.start + Sample.day
        #expect(try store.learn(Sample.record(key, 1, [local, global], on: Sample.work), later) == .stored)
        #expect(try store.told(key.peerID, to: Sample.work, later)?.envelope == nil)
        #expect(try store.told(key.peerID, to: Sample.home, later)?.envelope != nil)
        // Elsewhere nothing is known of a peer with nothing else.
        #expect(try store.learn(Sample.record(inside, 1, [local], on: Sample.home)) == .stored)
        #expect(try store.told(inside.peerID) == nil)
        #expect(
            try store.signedPeerRecords(of: [inside.peerID, key.peerID], to: nil, now: Sample.start).map(\.id) == [
                key.peerID
            ])
    }

    @Test("only what others may know is told to others, signed addresses first", arguments: StoreKind.allCases)
    func tellable(kind: StoreKind) throws {
        let store = try kind.make()
        let key = try Sample.key(1)
        let addresses = try (0..<8).map { try Sample.address($0) }
        let sources: [AddressSources] = [.user, .altAddr, .holePunch, .dht, .link]
        for (address, source) in zip(addresses, sources) {
            #expect(try store.learn(Sample.told(key.peerID, [address], source)) == .stored)
        }
        #expect(try store.learn(.connected(key.peerID, addresses[5], latency: .seconds(1))) == .stored)
        #expect(try store.told(key.peerID)?.addresses == [addresses[3], addresses[4]])
        #expect(try store.told(key.peerID)?.envelope == nil)
        let local = try Sample.address("/ip4/10.0.0.5/tcp/4001")
        #expect(try store.learn(Sample.told(key.peerID, [local], .user)) == .stored)
        #expect(try store.learn(Sample.record(key, 1, [addresses[6], addresses[0]])) == .stored)
        let told = try #require(try store.told(key.peerID, to: Sample.home))
        #expect(told.addresses == [addresses[0], addresses[6], addresses[3], addresses[4]])
        #expect(told.envelope == (try Sample.envelope(key, 1, [addresses[6], addresses[0]])))
    }

    @Test("the best address comes first, however many others came before", arguments: StoreKind.allCases)
    func order(kind: StoreKind) throws {
        let store = try kind.make()
        let key = try Sample.key(1)
        let dead = try (0..<40).map { try Sample.address($0) }
        let (heard, said, typed) = (try Sample.address(100), try Sample.address(101), try Sample.address(102))
        let (older, newer) = (try Sample.address(103), try Sample.address(104))
        #expect(try store.learn(Sample.told(key.peerID, [heard], .dht)) == .stored)
        #expect(try store.learn(Sample.told(key.peerID, [said], .identify)) == .stored)
        #expect(try store.learn(Sample.record(key, 1, dead)) == .stored)
        #expect(try store.learn(.connected(key.peerID, older, latency: .zero)) == .stored)
        let later = Sample.start + .seconds(60)
        #expect(try store.learn(.connected(key.peerID, newer, latency: .zero), later) == .stored)
        #expect(try store.learn(Sample.told(key.peerID, [typed], .user), later) == .stored)
        for address in dead.dropLast() { #expect(try store.learn(.failed(key.peerID, address), later) == .stored) }
        #expect(try store.learn(.failed(key.peerID, dead[0]), later) == .stored)

        let known = try #require(try store.known(key.peerID, later)).addresses.map(\.address)
        let certified = [dead[39]] + dead[1..<39] + [dead[0]]
        #expect(known == [typed, newer, older] + certified + [said, heard])
        // Others learn nothing of whom we know: signed ones first, and those that did not fail.
        #expect(try store.told(key.peerID, later)?.addresses == certified + [said, heard])
    }

    @Test("as many addresses as the operator may type come before all others", arguments: StoreKind.allCases)
    func typedFirst(kind: StoreKind) throws {
        let store = try kind.make()
        let key = try Sample.key(1)
        #expect(try store.learn(Sample.record(key, 1, (0..<100).map { try Sample.address($0) })) == .stored)
        let typed = try (200..<200 + PeerRules.maximumUserAddresses).map { try Sample.address($0) }
        #expect(try store.learn(Sample.told(key.peerID, typed, .user)) == .stored)
        let known = try #require(try store.known(key.peerID)).addresses.map(\.address)
        #expect(Array(known.prefix(typed.count)) == typed)
    }

    @Test("hearsay about a peer cannot push out better addresses of it", arguments: StoreKind.allCases)
    func hearsay(kind: StoreKind) throws {
        let store = try kind.make()
        let key = try Sample.key(1)
        let good = try (0..<4).map { try Sample.address($0) }
        #expect(try store.learn(Sample.record(key, 1, [good[0]])) == .stored)
        #expect(try store.learn(Sample.told(key.peerID, [good[1]], .user)) == .stored)
        #expect(try store.learn(.connected(key.peerID, good[2], latency: .seconds(1))) == .stored)
        #expect(try store.learn(Sample.told(key.peerID, [good[3]], .identify)) == .stored)
        for liar in 0..<200 {
            let lies = try (0..<100).map { try Sample.address(1_000 + 100 * liar + $0) }
            _ = try store.learn(Sample.told(key.peerID, lies, for: Sample.day, by: "liar \(liar)"))
        }
        let known = try #require(try store.known(key.peerID))
        #expect(good.allSatisfy { address in known.addresses.contains { $0.address == address } })
        #expect(known.addresses.count == 4 + PeerRules.maximumHearsay)
        // One liar alone leaves room for others.
        let other = try Sample.peer(2)
        let lies = try (0..<100).map { try Sample.address(1_000 + $0) }
        let outcome = try store.learn(Sample.told(other, lies, by: "liar"))
        #expect(outcome.leftOut.count == 100 - PeerRules.maximumHearsayPerTeller)
        #expect(try store.learn(Sample.told(other, [good[0]], by: "honest")) == .stored)
    }

    @Test("many peers are asked for at once, in any order", arguments: StoreKind.allCases)
    func many(kind: StoreKind) throws {
        let store = try kind.make()
        let peers = try (0..<PeerBookLimits.maximumPeers).map { try Sample.peer($0) }
        for start in stride(from: 0, to: peers.count, by: 250) {
            let news = try (start..<start + 250).map { Sample.told(peers[$0], [try Sample.address($0)]) }
            #expect(try store.learn(news, now: Sample.start).allSatisfy { $0 == .stored })
        }
        var random = SeededRandom(seed: 1)
        let stranger = try Sample.peer(5_000)
        for count in [0, 1, 2, 3, 17, 500, 999] {
            let asked = Array(peers.shuffled(using: &random).prefix(count))
            #expect(try store.known(asked + [stranger], now: Sample.start).map(\.id) == asked)
            #expect(try store.signedPeerRecords(of: [stranger] + asked, to: nil, now: Sample.start).map(\.id) == asked)
        }
        #expect(
            try store.known([peers[3], peers[1], peers[3]], now: Sample.start).map(\.id) == [
                peers[3], peers[1], peers[3],
            ])
        let error = #expect(throws: PeerStoreError.self) { try store.known(peers + [stranger], now: Sample.start) }
        #expect(error?.code == .tooMuch)
    }

    @Test("lists in pages, forgets, and sweeps bounded pieces", arguments: StoreKind.allCases)
    func housekeeping(kind: StoreKind) throws {
        let store = try kind.make()
        let peers = try (0..<25).map { try Sample.peer($0) }.sorted()
        for (number, peer) in peers.enumerated() {
            let lifetime = number % 2 == 0 ? Sample.hour : Sample.day
            #expect(try store.learn(Sample.told(peer, [try Sample.address(number)], for: lifetime)) == .stored)
        }
        var (listed, after, pages): ([PeerID], PeerID?, Int) = ([], nil, 0)
        repeat {
            let page = try store.list(after: after, limit: 10, now: Sample.start)
            listed += page.peers.map(\.id)
            (after, pages) = (page.next, pages + 1)
        } while after != nil
        #expect(listed == peers && pages == 3)

        let later = Sample.start + .seconds(2 * 3_600)
        #expect(try store.list(after: nil, limit: 100, now: later).peers.count == 12)
        #expect(try store.counts().peers == 25)
        #expect(try [10, 10, 10, 10].map { try store.sweep(limit: $0, now: later) } == [5, 5, 3, 0])
        #expect(try store.counts().peers == 12)

        #expect(try store.forget(peers[1]) && !store.forget(peers[1]) && store.known(peers[1], later) == nil)
        let two = try Sample.address(500)
        #expect(try store.learn(Sample.told(peers[3], [two], .user), later) == .stored)
        #expect(try store.counts().user == 1)
        #expect(try store.forget(two, of: peers[3], now: later))
        #expect(try !store.forget(two, of: peers[3], now: later) && !store.forget(two, of: peers[1], now: later))
        #expect(try store.texts(peers[3], later) == ["\(try Sample.address(3))": "dht"])
        #expect(try store.forget(try Sample.address(3), of: peers[3], now: later))
        let counts = try store.counts()
        #expect(counts.user == 0 && counts.peers == 10 && counts.used == 10)
    }

    @Test("a clock that was ahead keeps nothing for ever", arguments: StoreKind.allCases)
    func clock(kind: StoreKind) throws {
        let store = try kind.make()
        let peer = try Sample.peer(1)
        let (a, b) = (try Sample.address(1), try Sample.address(2))
        #expect(try store.learn(Sample.told(peer, [a]), Sample.start + .seconds(80 * 365 * 86_400)) == .stored)
        #expect(try store.learn(Sample.told(peer, [b])) == .stored)
        let later = Sample.start + PeerRules.provenLifetime
        #expect(try store.known(peer, later) == nil)
    }

    @Test("nor does it protect what we reached, or remember a number, for years", arguments: StoreKind.allCases)
    func clockOfSuccess(kind: StoreKind) throws {
        let store = try kind.make(capacity: 4)
        let key = try Sample.key(1)
        let (reached, signed) = (try Sample.address(1), try Sample.address(2))
        let ahead = Sample.start + .seconds(20 * 365 * 86_400)
        #expect(try store.learn(Sample.record(key, 5, [signed]), ahead) == .stored)
        #expect(try store.learn(.connected(key.peerID, reached, latency: .zero), ahead) == .stored)
        #expect(try store.learn(.failed(key.peerID, signed), ahead) == .stored)
        // Nothing that is read lies ahead.
        let known = try #require(try store.known(key.peerID)).addresses
        #expect(known.map(\.address) == [reached, signed])
        #expect(known.allSatisfy { $0.firstSeen == Sample.start && $0.lastSeen == Sample.start })
        #expect(known[0].lastSuccess == Sample.start && known[1].lastFailure == Sample.start)
        #expect(known[0].expiry == Sample.start + PeerRules.provenLifetime)
        #expect(known[1].expiry == Sample.start + PeerRules.recordLifetime)
        // A clock that was never set corrects nothing.
        #expect(try store.sweep(limit: 10, now: WallClockTime(seconds: 60)) == 0)
        // Swept once, it is protected as long as anything that we reached now.
        #expect(try store.counts().proven == 1 && store.sweep(limit: 10, now: Sample.start) == 1)
        #expect(try store.counts().proven == 1 && store.sweep(limit: 10, now: Sample.start) == 0)
        let month = Sample.start + PeerRules.provenLifetime
        #expect(try store.sweep(limit: 10, now: month) == 1)
        #expect(try store.counts().proven == 0 && store.known(key.peerID, month) == nil)
        #expect(try store.learn(Sample.record(key, 4, [signed]), month).code == .pastRecord)
        let later = Sample.start + PeerRules.longestDue
        #expect(try store.sweep(limit: 10, now: later) == 1)
        #expect(try store.counts().peers == 0)
    }
}
