// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetDriverProtocol
import AltNetHolePunch
import AltNetPunchReports
import AltNetTransport
import Synchronization
import Testing

@testable import AltNetPunchDriver

@Suite("When the NAT is checked again")
struct CheckScheduleTests {
    private static func at(_ seconds: Int64) -> MonotonicInstant { .zero + .seconds(seconds) }

    @Test("at first at once, after nothing was found with longer and longer pauses, and else when it is old")
    func pauses() {
        var schedule = CheckSchedule()
        #expect(schedule.isDue(now: Self.at(0)))
        var now: Int64 = 0
        for pause in [5, 10, 20, 40, 80, 160, 320, 600, 600] as [Int64] {
            schedule.began(now: Self.at(now))
            schedule.ended(isKnown: false, now: Self.at(now))
            #expect(!schedule.isDue(now: Self.at(now + pause - 1)) && schedule.isDue(now: Self.at(now + pause)))
            now += pause
        }
        schedule.ended(isKnown: true, now: Self.at(now))
        #expect(!schedule.isDue(now: Self.at(now + 6 * 3600 - 1)) && schedule.isDue(now: Self.at(now + 6 * 3600)))
    }

    @Test("a doubt brings the next check forward, never nearer to the last than the floor")
    func doubts() {
        var schedule = CheckSchedule()
        schedule.doubt()
        #expect(schedule.isDue(now: Self.at(0)))
        schedule.began(now: Self.at(100))
        schedule.ended(isKnown: true, now: Self.at(105))
        schedule.doubt(floor: CheckSchedule.strangersFloor)
        #expect(!schedule.isDue(now: Self.at(699)) && schedule.isDue(now: Self.at(700)))
        schedule.doubt()
        #expect(!schedule.isDue(now: Self.at(159)) && schedule.isDue(now: Self.at(160)))
        // A weaker one does not put it off again.
        schedule.doubt(floor: CheckSchedule.strangersFloor)
        #expect(schedule.isDue(now: Self.at(160)))
        // An address that flaps: a check a minute at most.
        var checks = 0
        for second in 200..<800 as Range<Int64> {
            schedule.doubt()
            guard schedule.isDue(now: Self.at(second)) else { continue }
            checks += 1
            schedule.began(now: Self.at(second))
            schedule.ended(isKnown: true, now: Self.at(second))
        }
        #expect(checks == 10)
    }
}

@Suite("What one witness says during an attempt")
struct NATVoicesTests {
    private static func seen(_ text: String) throws -> ExternalEndpoint { try #require(ExternalEndpoint(text)) }

    @Test("only the address that the check found is told to the other side, with a port that may be one")
    func address() throws {
        var voices = NATVoices(external: [[81, 2, 3, 4]], preservedPort: nil, allowPrivate: false)
        #expect(voices.heard(try Self.seen("81.2.3.4:40000")))
        #expect(!voices.heard(try Self.seen("81.2.3.5:40000")))
        #expect(!voices.heard(try Self.seen("81.2.3.4:22")))
        #expect(!voices.heard(try Self.seen("[2a00:1450::1]:40000")))
        // Where the check found none, any public one will do.
        var unknown = NATVoices(external: [], preservedPort: nil, allowPrivate: false)
        #expect(unknown.heard(try Self.seen("81.2.3.5:40000")))
        #expect(!unknown.heard(try Self.seen("10.2.3.5:40000")))
    }

    @Test("behind a NAT that keeps ports, another one takes two witnesses")
    func port() throws {
        var voices = NATVoices(external: [[81, 2, 3, 4]], preservedPort: 40000, allowPrivate: false)
        #expect(voices.heard(try Self.seen("81.2.3.4:40000")))
        #expect(!voices.heard(try Self.seen("81.2.3.4:40001")))
        #expect(!voices.heard(try Self.seen("81.2.3.4:40002")))
        #expect(voices.heard(try Self.seen("81.2.3.4:40001")))
        #expect(!voices.heard(try Self.seen("81.2.9.9:40003")))
        #expect(!voices.heard(try Self.seen("81.2.9.9:40003")))
    }
}

@Suite("What our offers name")
struct OwnOfferTests {
    @Test("an address of each family that we have, whatever the NAT is like")
    func families() throws {
        let (ipv4, ipv6) = (ExternalEndpoint(host: "81.2.3.4"), ExternalEndpoint(host: "2a00:1450::1"))
        for mapping in [NATMapping.open, .endpointIndependent(preservesPort: true), .endpointDependent, .unknown] {
            var view = NetworkPlace.View()
            view.mapping = mapping
            #expect(view.offered.isEmpty)
            view.addresses.ipv6 = ipv6?.address
            #expect(view.offered.all == [ipv6].compactMap { $0 })
            view.addresses.ipv4 = ipv4?.address
            #expect(view.offered.all == [ipv4, ipv6].compactMap { $0 })
        }
    }
}

@Suite("Our place in the network", .timeLimit(.minutes(5)))
struct NetworkPlaceTests {
    /// Witnesses that tell what they see, until they are told to lie.
    private final class Witnesses: Sendable {
        private let listeners = Mutex<[StreamListener]>([])
        let lie = Mutex<P2PAddressField?>(nil)

        static func listen(_ numbers: ClosedRange<Int>) async throws -> (Witnesses, [HostAndPort]) {
            let witnesses = Witnesses()
            var addresses: [HostAndPort] = []
            for number in numbers {
                let listener = try await witnesses.listen(on: HostAndPort(host: "127.0.0.\(number)", port: 0))
                addresses.append(try #require(listener.address))
                witnesses.listeners.withLock { $0.append(listener) }
            }
            return (witnesses, addresses)
        }

        private func listen(on address: HostAndPort) async throws -> StreamListener {
            try await StreamNetwork().listen(on: address) {
                let held = Mutex<StreamConnection?>(nil)
                return (
                    onEvent: { event in
                        guard case .bytes = event, let connection = held.withLock({ $0 }),
                            let remote = connection.socket.flatMap({ ExternalEndpoint($0.description) }),
                            let seen = self.lie.withLock({ $0 })
                                ?? P2PAddressField(address: remote.address, port: remote.port)
                        else { return }
                        let version = P2PVersion(
                            protocolVersion: 70016, services: 0, time: 0, nonce: 5, userAgent: [], startHeight: 0,
                            relay: false, receiver: seen)
                        connection.enqueue(P2PMessage.version(version).encoded(for: .regtest)) {}
                    },
                    onConnection: { connection in
                        held.withLock { $0 = connection }
                        connection.readMore()
                    }
                )
            }
        }

        func close() async {
            for listener in self.listeners.withLock({ $0 }) { await listener.close() }
        }
    }

    private static func place(_ witnesses: [HostAndPort]) throws -> NetworkPlace {
        var settings = DriverSettings([
            "witnesses": .texts(witnesses.map(\.description)), "allow_private_addresses": .flag(true),
            "map_ports": .flag(false), "ipv6": .flag(false),
        ])
        return NetworkPlace(try PunchSettings(&settings), network: .regtest, userAgent: "/AltNet:test/")
    }

    private static func port() throws -> ReusedPort { try ReusedPort(HostAndPort(host: "0.0.0.0", port: 0)) }

    @Test("a witness that was honest in the check cannot aim an attempt at somebody else")
    func liar() async throws {
        let (witnesses, addresses) = try await Witnesses.listen(1...3)
        let place = try Self.place(addresses)
        #expect(await place.check().mapping == "endpoint-independent")
        let port = try Self.port()
        let (honest, _) = try await place.learn(from: port)
        #expect(honest.port == port.port)
        witnesses.lie.withLock { $0 = P2PAddressField(address: [127, 0, 66, 6], port: 44444) }
        await #expect(throws: PunchReason.noMapping) { try await place.learn(from: try Self.port()) }
        // Nor at a service of our own address.
        let own = try #require(await place.view.addresses.ipv4)
        witnesses.lie.withLock { $0 = P2PAddressField(address: own, port: 22) }
        await #expect(throws: PunchReason.noMapping) { try await place.learn(from: try Self.port()) }
        await witnesses.close()
    }

    @Test("witnesses that were told since the check take the place of those that are gone")
    func gone() async throws {
        let (old, addresses) = try await Witnesses.listen(1...3)
        let place = try Self.place(addresses)
        #expect(await place.check().mapping == "endpoint-independent")
        await old.close()
        let (fresh, others) = try await Witnesses.listen(4...6)
        await place.setWitnesses(others)
        // Each attempt asks two.
        await #expect(throws: PunchReason.noMapping) { try await place.learn(from: try Self.port()) }
        let port = try Self.port()
        let (seen, _) = try await place.learn(from: port)
        #expect(seen.port == port.port)
        await fresh.close()
    }
}
