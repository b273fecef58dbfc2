// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetKeys
import AltNetLightning
import AltNetLightningAttachment
import AltNetTestKit
import Crypto
import Foundation
import Synchronization
import Testing

@testable import AltNetLND

@Suite("Attached to LND", .serialized, .timeLimit(.minutes(5)), .enabled(if: FakeLND.isInstalled, FakeLND.isMissing))
struct LNDNodeTests {
    private func peer(_ node: FakeLND.Node, features: [UInt16] = [445], channels: [[UInt8]] = []) throws -> AttachedPeer
    {
        AttachedPeer(id: try #require(node.nodeID), features: LightningFeatures(features), channels: channels)
    }

    /// The attachment error that a call ends with.
    private func error(_ body: () async throws -> Void) async -> AttachmentError? {
        do {
            try await body()
            return nil
        } catch {
            return error as? AttachmentError
        }
    }

    @Test("the node says who it is, on which chain, and what it can do")
    func introduction() async throws {
        let fake = try await FakeLND.start(["alice"], network: "testnet4")
        let alice = try fake.node("alice")
        let attached = try await Attached(alice.settings())
        #expect(attached.node.nodeID == alice.nodeID)
        #expect(attached.node.network == .testnet4)
        #expect(attached.node.abilities == [.evenTypes, .connecting, .sharedSecret])
        #expect(attached.node.version.description.hasPrefix("0.19.3-beta"))
        #expect(attached.node.advice(features: [445]).isEmpty)
        #expect(attached.node.advice(features: [385]).first?.contains("protocol.custom-init=385") == true)
        try await fake.tell(#""do":"version","node":"alice","version":"0.17.5-beta commit=v0.17.5-beta""#)
        let old = try await Attached(alice.settings())
        #expect(old.node.advice(features: [445]).first?.hasPrefix("LND 0.17.5-beta") == true)
    }

    @Test("messages pass from one node to the other, in both directions and in order, the largest included")
    func messages() async throws {
        let fake = try await FakeLND.start(["alice", "bob"])
        let (alice, bob) = (try fake.node("alice"), try fake.node("bob"))
        let (first, second) = (try await Attached(alice.settings()), try await Attached(bob.settings()))
        try await fake.tell(#""do":"link","node":"alice","other":"bob""#)
        first.run()
        second.run()
        try await first.tells(.peerConnected(try self.peer(bob)))
        try await second.tells(.peerConnected(try self.peer(alice)))
        try await fake.isSubscribed(to: "alice")
        try await fake.isSubscribed(to: "bob")
        let (aliceID, bobID) = (first.node.nodeID, second.node.nodeID)
        let largest = [0xad, 0x71] + (2..<65_535).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        try await first.node.send(largest, to: bobID)
        try await second.tells(.message(from: aliceID, largest))
        try await second.node.send([0xad, 0x72], to: aliceID)
        try await first.tells(.message(from: bobID, [0xad, 0x72]))
        for number in 0..<200 { try await first.node.send([0xad, 0x71, UInt8(number)], to: bobID) }
        try await second.tells("200 more messages", count: 201) { if case .message = $0 { true } else { false } }
        #expect(second.messages.dropFirst().map(\.[2]) == (0..<200).map { UInt8($0) })
        #expect(second.node.counters.received == 201)
        #expect(first.node.counters.sent == 201)
    }

    @Test("peers are told as they come, change and go, also when LND's news of them are missed")
    func peers() async throws {
        let fake = try await FakeLND.start(["alice", "bob"])
        var timing = Attached.timing
        timing.listing = .milliseconds(100)
        let bob = try fake.node("bob")
        let bobID = try #require(bob.nodeID)
        let attached = try await Attached(fake.node("alice").settings(), timing: timing)
        attached.run()
        try await fake.isSubscribed(to: "alice")
        try await fake.tell(#""do":"link","node":"alice","other":"bob""#)
        try await attached.tells(.peerConnected(try self.peer(bob)))
        let txid = String(repeating: "00", count: 31) + "07"
        try await fake.tell(#""do":"channels","node":"alice","channels":[["\#(bob.id)","\#(txid):513"]]"#)
        let channel: [UInt8] = [7] + [UInt8](repeating: 0, count: 29) + [2, 1]
        try await attached.tells(.channels(bobID, [channel]))
        try await fake.tell(#""do":"join","node":"alice","id":"\#(bob.id)","features":[445,5],"tell":false"#)
        try await attached.tells(.peerConnected(try self.peer(bob, features: [5, 445], channels: [channel])))
        try await fake.tell(#""do":"part","node":"alice","id":"\#(bob.id)","tell":false"#)
        try await attached.tells(.peerDisconnected(bobID))
        #expect(attached.events.count == 4)
        #expect(attached.sentences.isEmpty)
    }

    @Test("a message of a peer that was not told yet comes after the peer")
    func orderOfNews() async throws {
        let fake = try await FakeLND.start(["alice"])
        let attached = try await Attached(fake.node("alice").settings())
        attached.run()
        try await fake.isSubscribed(to: "alice")
        let id = try #require(
            try await fake.tell(#""do":"join","node":"alice","features":[445],"tell":false"#).id)
        try await fake.tell(#""do":"message","node":"alice","from":"\#(id)","type":44401,"data":"aabb""#)
        let peer = try #require(NodeID(hex: id))
        try await attached.tells(.message(from: peer, [0xad, 0x71, 0xaa, 0xbb]))
        #expect(attached.events.first == .peerConnected(AttachedPeer(id: peer, features: LightningFeatures([445]))))
        // And one of a peer that is gone is dropped and counted.
        let stranger = try await fake.tell(#""do":"join","node":"alice","tell":false"#).id ?? ""
        try await fake.tell(#""do":"part","node":"alice","id":"\#(stranger)","tell":false"#)
        try await fake.tell(#""do":"message","node":"alice","from":"\#(stranger)","type":44401,"data":"aa","count":3"#)
        try await Condition.wait("the messages are counted") { attached.node.counters.fromAbsent == 3 }
        #expect(attached.messages.count == 1)
    }

    @Test("after a restart of LND everything is told anew, with a new certificate and a new macaroon")
    func restart() async throws {
        let fake = try await FakeLND.start(["alice", "bob"])
        let bob = try fake.node("bob")
        let bobID = try #require(bob.nodeID)
        let attached = try await Attached(fake.node("alice").settings())
        try await fake.tell(#""do":"link","node":"alice","other":"bob""#)
        attached.run()
        try await attached.tells(.peerConnected(try self.peer(bob)))
        try await fake.isSubscribed(to: "alice")
        try await fake.tell(#""do":"stop","node":"alice""#)
        try await attached.tells(.peerDisconnected(bobID))
        let error = await self.error { try await attached.node.send([0xad, 0x71], to: bobID) }
        guard case .unreachable = error else {
            Issue.record("sending to nobody ended with \(String(describing: error))")
            return
        }
        try await fake.tell(#""do":"certify","node":"alice""#)
        try await fake.tell(#""do":"bake","node":"alice""#)
        try await fake.tell(#""do":"start","node":"alice""#)
        try await attached.tells(.peerConnected(try self.peer(bob)), count: 2)
        try await fake.isSubscribed(to: "alice", times: 2)
        try await attached.node.send([0xad, 0x71], to: bobID)
        try await fake.tell(#""do":"message","node":"alice","from":"\#(bob.id)","type":44403,"data":"01""#)
        try await attached.tells(.message(from: bobID, [0xad, 0x73, 1]))
        #expect(attached.sentences.last == "the attachment to LND works again")
        #expect(attached.node.counters.breaks == 1)
    }

    @Test("when one subscription ends, all of it begins anew", arguments: ["messages", "events"])
    func streamEnds(kind: String) async throws {
        let fake = try await FakeLND.start(["alice", "bob"])
        let bob = try fake.node("bob")
        let attached = try await Attached(fake.node("alice").settings())
        try await fake.tell(#""do":"link","node":"alice","other":"bob""#)
        attached.run()
        try await fake.isSubscribed(to: "alice")
        try await attached.tells(.peerConnected(try self.peer(bob)))
        try await fake.tell(#""do":"endStreams","node":"alice","kind":"\#(kind)""#)
        try await attached.tells(.peerDisconnected(try #require(bob.nodeID)))
        try await attached.tells(.peerConnected(try self.peer(bob)), count: 2)
        try await fake.isSubscribed(to: "alice", times: 2)
        #expect(attached.sentences.first?.contains("it ended the subscription") == true)
    }

    @Test("a wallet that is locked is waited for, and said once")
    func lockedWallet() async throws {
        let fake = try await FakeLND.start(["alice", "bob"])
        let bob = try fake.node("bob")
        let attached = try await Attached(fake.node("alice").settings())
        try await fake.tell(#""do":"link","node":"alice","other":"bob""#)
        attached.run()
        try await attached.tells(.peerConnected(try self.peer(bob)))
        try await fake.isSubscribed(to: "alice")
        try await fake.tell(#""do":"lock","node":"alice","text":"wallet locked, unlock it to enable full RPC access""#)
        try await fake.tell(#""do":"endStreams","node":"alice""#)
        let before = try await fake.tell(#""do":"calls","node":"alice""#).calls?["GetInfo"] ?? 0
        try await Condition.wait("it is tried again and again") {
            (try await fake.tell(#""do":"calls","node":"alice""#).calls?["GetInfo"] ?? 0) >= before + 3
        }
        try await fake.tell(#""do":"lock","node":"alice""#)
        try await attached.tells(.peerConnected(try self.peer(bob)), count: 2)
        let locked = "the Lightning node cannot be reached: its wallet is locked; unlock it with: lncli unlock"
        #expect(attached.sentences.filter { $0 == locked }.count == 1)
        #expect(attached.sentences.last == "the attachment to LND works again")
        #expect(attached.node.counters.breaks == 1)
    }

    @Test("a macaroon that is not valid or not enough is refused with the name of its file")
    func macaroons() async throws {
        let fake = try await FakeLND.start(["alice", "bob"])
        let alice = try fake.node("alice")
        let bobID = try #require(try fake.node("bob").nodeID)
        try await fake.tell(#""do":"bake","node":"alice","write":false"#)
        let wrong = await self.error { _ = try await Attached(alice.settings()) }
        #expect(
            wrong?.description.contains("the macaroon in \(alice.macaroon) is not enough: verification failed") == true)
        try await fake.tell(#""do":"bake","node":"alice""#)
        try await fake.tell(#""do":"deny","node":"alice","methods":["SendCustomMessage"]"#)
        let weak = await self.error { _ = try await Attached(alice.settings()) }
        #expect(weak?.description.contains("permission denied") == true)
        try await fake.tell(#""do":"deny","node":"alice","methods":["DeriveSharedKey"]"#)
        let attached = try await Attached(alice.settings())
        #expect(attached.node.abilities == [.evenTypes, .connecting])
        // A new one is read when the old one is refused, without a break.
        try await fake.tell(#""do":"link","node":"alice","other":"bob""#)
        attached.run()
        try await fake.isSubscribed(to: "alice")
        try await fake.tell(#""do":"bake","node":"alice""#)
        try await attached.node.send([0xad, 0x71], to: bobID)
        #expect(attached.node.counters.breaks == 0)
    }

    @Test("only the certificate of the file is trusted, while it is valid and names the host")
    func certificates() async throws {
        let fake = try await FakeLND.start(["alice", "bob"])
        let (alice, bob) = (try fake.node("alice"), try fake.node("bob"))
        _ = try await Attached(alice.settings(address: "localhost:\(alice.port)"))
        let other = try LNDSettings(address: alice.address, certificate: bob.certificate, macaroon: alice.macaroon)
        #expect(
            await self.error { _ = try await Attached(other) }?.description
                .contains("its certificate is not the one in \(bob.certificate), or has expired") == true)
        // A node that is not LND at all gets no macaroon.
        #expect(try await fake.tell(#""do":"calls","node":"bob""#).calls == [:])
        for (names, days, sentence) in [
            (#"["localhost","127.0.0.1"]"#, -1, "or has expired"),
            (#"["lnd.example","10.1.2.3"]"#, 100, "does not name 127.0.0.1; give LND tlsextraip"),
        ] {
            try await fake.tell(#""do":"stop","node":"alice""#)
            try await fake.tell(#""do":"certify","node":"alice","names":\#(names),"days":\#(days)"#)
            try await fake.tell(#""do":"start","node":"alice""#)
            let error = await self.error { _ = try await Attached(alice.settings()) }
            #expect(error?.description.contains(sentence) == true, "\(String(describing: error))")
        }
        #expect(
            await self.error { _ = try await Attached(alice.settings(address: "localhost:\(alice.port)")) }?.description
                .contains("does not name localhost") == true)
        try await fake.tell(#""do":"stop","node":"alice""#)
        #expect(
            await self.error { _ = try await Attached(alice.settings()) }
                == .unreachable("nothing listens at \(alice.address)"))
    }

    @Test("what LND refuses becomes an error that says what to do")
    func refusals() async throws {
        let fake = try await FakeLND.start(["alice", "bob"])
        let bobID = try #require(try fake.node("bob").nodeID)
        var timing = Attached.timing
        timing.call = .seconds(2)
        let attached = try await Attached(fake.node("alice").settings(), timing: timing)
        let node = attached.node
        #expect(await self.error { try await node.send([0xad, 0x71], to: bobID) } == .notConnected(bobID))
        #expect(await self.error { try await node.send([0xad], to: bobID) } == .unsendable("it has no type"))
        let huge = [UInt8](repeating: 1, count: 65_536)
        #expect(
            await self.error { try await node.send(huge, to: bobID) }
                == .unsendable("it has 65536 bytes, more than 65535"))
        try await fake.tell(#""do":"link","node":"alice","other":"bob""#)
        let type = await self.error { try await node.send([0, 209, 1], to: bobID) }
        #expect(type?.description.contains("add protocol.custom-message=209 to lnd.conf") == true)
        try await fake.tell(#""do":"pass","node":"alice","types":[209,386]"#)
        try await node.send([0, 209, 1], to: bobID)
        try await node.send([1, 130], to: bobID)
        #expect(
            try await fake.tell(#""do":"sent","node":"alice""#).sent?.map { "\($0.type) \($0.data)" }
                == ["209 01", "386 "])
        try await fake.tell(
            #""do":"fail","node":"alice","method":"SendCustomMessage","code":"INVALID_ARGUMENT","text":"no""#)
        #expect(
            await self.error { try await node.send([0xad, 0x71], to: bobID) }
                == .refused(code: 3, UntrustedText("no")))
        try await fake.tell(#""do":"lock","node":"alice","text":"wallet locked, unlock it to enable full RPC access""#)
        #expect(
            await self.error { try await node.send([0xad, 0x71], to: bobID) }
                == .unreachable("its wallet is locked; unlock it with: lncli unlock"))
        #expect(
            await self.error { _ = try await Attached(fake.node("alice").settings()) }
                == .unreachable("its wallet is locked; unlock it with: lncli unlock"))
        try await fake.tell(#""do":"lock","node":"alice""#)
        try await fake.tell(#""do":"slow","node":"alice","method":"SendCustomMessage","seconds":10"#)
        #expect(
            await self.error { try await node.send([0xad, 0x71], to: bobID) } == .timedOut(.seconds(2)))
    }

    @Test("peers are connected to on request, and being connected already is success")
    func connecting() async throws {
        let fake = try await FakeLND.start(["alice", "bob"])
        let bob = try fake.node("bob")
        let bobID = try #require(bob.nodeID)
        let attached = try await Attached(fake.node("alice").settings())
        attached.run()
        try await attached.node.connect(to: bobID, host: "::1", port: 9735)
        try await attached.tells(.peerConnected(try self.peer(bob)))
        try await attached.node.connect(to: bobID, host: "bob.example", port: 9735)
        let nobody = try #require(NodePrivateKey(bytes: [UInt8](repeating: 7, count: 32))).publicKey
        #expect(
            await self.error { try await attached.node.connect(to: nobody, host: "nobody.example", port: 9735) }
                == .peerUnreachable(nobody))
        #expect(
            await self.error { try await attached.node.connect(to: nobody, host: "no body", port: 9735) }
                == .unsendable("the address to connect to is none"))
    }

    @Test("what LND has heard of a node by gossip is taken over, and a macaroon that does not allow it is no trouble")
    func announced() async throws {
        let fake = try await FakeLND.start(["alice"])
        let attached = try await Attached(fake.node("alice").settings())
        let node = try #require(NodePrivateKey(bytes: [UInt8](repeating: 7, count: 32))).publicKey
        #expect(try await attached.node.announcedAddresses(of: node).isEmpty)
        try await fake.tell(
            #""do":"gossip","node":"alice","id":"\#(node)","addresses":["203.0.113.7:9735","[2001:db8::7]:1","no"]"#)
        #expect(
            try await attached.node.announcedAddresses(of: node).map(\.text) == ["203.0.113.7:9735", "[2001:db8::7]:1"])
        try await fake.tell(#""do":"deny","node":"alice","methods":["GetNodeInfo"]"#)
        #expect(try await attached.node.announcedAddresses(of: node).isEmpty)
    }

    @Test("calls that LND does not answer are bounded")
    func busy() async throws {
        let fake = try await FakeLND.start(["alice"])
        let attached = try await Attached(fake.node("alice").settings())
        let node = attached.node
        try await fake.tell(#""do":"slow","node":"alice","method":"SendCustomMessage","seconds":8"#)
        let calls = (0..<LNDNode.maximumCalls).map { _ in
            Task { try await node.send([0xad, 0x71], to: node.nodeID) }
        }
        try await Condition.wait("the calls are under way") {
            node.state.withLock { $0.calls } == LNDNode.maximumCalls
        }
        #expect(await self.error { try await node.send([0xad, 0x71], to: node.nodeID) } == .busy(limit: 256))
        for call in calls { call.cancel() }
        try await Condition.wait("the calls are gone") { node.state.withLock { $0.calls } == 0 }
    }

    @Test("a message that is too large breaks the attachment by name, and it begins anew")
    func hugeMessages() async throws {
        let fake = try await FakeLND.start(["alice", "bob"])
        let bob = try fake.node("bob")
        let attached = try await Attached(fake.node("alice").settings())
        try await fake.tell(#""do":"link","node":"alice","other":"bob""#)
        attached.run()
        // What breaks before the peers are known tells nobody of them.
        try await attached.tells(.peerConnected(try self.peer(bob)))
        for (times, breaks) in [(65_534, 1), (1_000_000, 2)] {
            try await fake.isSubscribed(to: "alice", times: breaks)
            try await fake.tell(
                #""do":"message","node":"alice","from":"\#(bob.id)","type":44401,"data":"aa","times":\#(times)"#)
            try await attached.tells(.peerConnected(try self.peer(bob)), count: breaks + 1)
            #expect(attached.sentences.contains { $0.contains("makes no sense") }, "\(attached.sentences)")
        }
        #expect(attached.messages.isEmpty)
    }

    @Test("a flooding peer loses its own messages, and another peer's still arrive")
    func flood() async throws {
        let fake = try await FakeLND.start(["alice", "bob"])
        let bob = try fake.node("bob")
        let attached = try await Attached(fake.node("alice").settings())
        try await fake.tell(#""do":"link","node":"alice","other":"bob""#)
        let flooder = try #require(try await fake.tell(#""do":"join","node":"alice""#).id)
        attached.run()
        try await fake.isSubscribed(to: "alice")
        try await attached.tells("both peers", count: 2) { if case .peerConnected = $0 { true } else { false } }
        attached.gate.set(closed: true)
        try await fake.tell(
            #""do":"message","node":"alice","from":"\#(flooder)","type":44401,"data":"aa","count":2000"#)
        try await fake.tell(#""do":"message","node":"alice","from":"\#(bob.id)","type":44401,"data":"bb""#)
        let kept = LNDInbox.maximumMessagesPerPeer
        // One message more than wait is in the hands of the receiver already.
        try await Condition.wait("the rest is dropped") { attached.node.counters.dropped >= 2000 - UInt64(kept) - 1 }
        attached.gate.set(closed: false)
        try await attached.tells(.message(from: try #require(bob.nodeID), [0xad, 0x71, 0xbb]))
        #expect(attached.messages.count - 1 + Int(attached.node.counters.dropped) == 2000)
        #expect(attached.messages.count <= kept + 2)
        #expect(attached.node.counters.breaks == 0)
    }

    @Test("onion messages pass in both directions, with the proof of the path that they came over")
    func onionMessages() async throws {
        let fake = try await FakeLND.start(["alice", "bob"])
        let bob = try fake.node("bob")
        let bobID = try #require(bob.nodeID)
        let privateKey = try #require(NodePrivateKey(bytes: [UInt8](repeating: 3, count: 32)))
        let key = privateKey.publicKey
        let message = AttachedOnionMessage(firstNode: bobID, pathKey: key, onion: [0, 1, 2])
        let without = try await Attached(fake.node("alice").settings())
        #expect(
            await self.error { try await without.node.send(message) }?.description.contains("LND 0.21") == true)
        try await fake.tell(#""do":"announce","node":"alice","features":[39,445]"#)
        try await fake.tell(#""do":"deny","node":"alice","methods":["SendOnionMessage"]"#)
        #expect(try await !Attached(fake.node("alice").settings()).node.abilities.contains(.onionMessages))
        try await fake.tell(#""do":"deny","node":"alice","methods":[]"#)
        let attached = try await Attached(fake.node("alice").settings())
        #expect(attached.node.abilities.contains(.onionMessages))
        #expect(await self.error { try await attached.node.send(message) } == .notConnected(bobID))
        try await fake.tell(#""do":"link","node":"alice","other":"bob""#)
        try await attached.node.send(message)
        #expect(
            try await fake.tell(#""do":"sent","node":"alice""#).sent
                == [FakeLND.Sent(to: bob.id, type: 513, data: "000102", pathKey: key.description)])
        attached.run()
        try await fake.isSubscribed(to: "alice", kinds: ["messages", "events", "onions"])
        // BOLT 4: encrypted with a key of the secret that the node shares with the path key; path_id has the type 6.
        let secret = try #require(privateKey.sharedSecret(with: attached.node.nodeID))
        let rho = HMAC<SHA256>.authenticationCode(
            for: secret.withUnsafeBytes { Data($0) }, using: SymmetricKey(data: Data("rho".utf8)))
        let nonce = try ChaChaPoly.Nonce(data: [UInt8](repeating: 0, count: 12))
        let box = try ChaChaPoly.seal([1, 1, 0, 6, 2, 0xab, 0xcd], using: SymmetricKey(data: rho), nonce: nonce)
        let encrypted = Hex.encode(Array(box.ciphertext) + Array(box.tag))
        for (data, path) in [(encrypted, [0xab, 0xcd] as [UInt8]?), ("00" + encrypted, nil)] {
            try await fake.tell(
                """
                "do":"onion","node":"alice","peer":"\(bob.id)","pathKey":"\(key)","fields":{"44501":"010203"},\
                "encrypted":"\(data)"
                """)
            try await attached.tells(
                .onionMessage(OnionDelivery(fields: [44_501: [1, 2, 3]], pathSecret: path)))
        }
        try await fake.tell(
            """
            "do":"onion","node":"alice","peer":"\(bob.id)","pathKey":"\(key)","fields":{"44501":""},\
            "replyPath":{"node":"\(key)","pathKey":"\(key)","hops":[]}
            """)
        try await Condition.wait("the refusal is counted") { attached.node.counters.refused == 1 }
        #expect(attached.node.counters.breaks == 0)
    }

    @Test("another node at the same address is refused")
    func anotherNode() async throws {
        let fake = try await FakeLND.start(["alice"])
        let attached = try await Attached(fake.node("alice").settings())
        attached.run()
        try await fake.isSubscribed(to: "alice")
        try await fake.tell(#""do":"key","node":"alice""#)
        try await fake.tell(#""do":"endStreams","node":"alice""#)
        let result = try await Condition.value("the run ends") { attached.ended }
        #expect(throws: AttachmentError.self) { try result.get() }
    }

    @Test("an attachment that is cancelled ends, tells its peers as gone, and sends no more")
    func cancelled() async throws {
        let fake = try await FakeLND.start(["alice", "bob"])
        let bob = try fake.node("bob")
        let bobID = try #require(bob.nodeID)
        let attached = try await Attached(fake.node("alice").settings())
        try await fake.tell(#""do":"link","node":"alice","other":"bob""#)
        attached.run()
        try await attached.tells(.peerConnected(try self.peer(bob)))
        attached.stop()
        let result = try await Condition.value("the run ends") { attached.ended }
        #expect(throws: Never.self) { try result.get() }
        #expect(attached.events.last == .peerDisconnected(bobID))
        #expect(
            await self.error { try await attached.node.send([0xad, 0x71], to: bobID) }
                == .unreachable("the attachment has ended"))
        try await Condition.wait("nobody is subscribed") {
            try await fake.tell(#""do":"subscribers","node":"alice""#).stand?["messages"] == 0
        }
    }
}
