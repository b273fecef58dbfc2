// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import Testing

@testable import AltNetHolePunch

/// Addresses without ports that offers named.
func addresses(_ hosts: [String]) -> OfferedAddresses {
    do {
        return try OfferedAddresses(hosts: hosts)
    } catch {
        Issue.record("\(hosts): \(error)")
        return OfferedAddresses()
    }
}

/// One coordination whose other side is the test.
struct Probe {
    var coordination: Coordination
    var now = MonotonicInstant.zero
    /// Messages that it wrote, by name or as values.
    var written: [CoordinationDecoder.Message] = []
    var directives: [Coordination.Directive] = []
    var timer: MonotonicInstant?
    private var pongs = 0
    private var decoder = CoordinationDecoder(network: .main)

    init(
        _ role: PunchRole, mapping: NATMapping = .endpointIndependent(preservesPort: true),
        abilities: PunchAbilities = [.ipv4], offered: [String] = [], own: [[UInt8]] = [], secret: UInt8 = 1,
        allowPrivate: Bool = false
    ) {
        self.coordination = Coordination(
            Coordination.Configuration(
                role: role, network: .main, mapping: mapping, abilities: abilities,
                secret: [UInt8](repeating: secret, count: 32), offered: addresses(offered),
                ownAddresses: own, allowPrivate: allowPrivate))
        self.take(self.coordination.onConnected(now: self.now))
    }

    mutating func take(_ directives: [Coordination.Directive]) {
        for directive in directives {
            switch directive {
            case .write(let bytes):
                self.decoder.append(bytes)
                do {
                    while let message = try self.decoder.next() { self.written.append(message) }
                } catch {
                    Issue.record("it writes nonsense: \(error)")
                }
            case .setTimer(let instant): self.timer = instant
            default: self.directives.append(directive)
            }
        }
    }

    mutating func bytes(_ bytes: [UInt8]) { self.take(self.coordination.onBytes(bytes, now: self.now)) }

    mutating func say(_ message: PunchMessage) {
        self.bytes(P2PMessage.frame(command: PunchMessage.command, payload: message.encoded(), network: .main))
    }

    mutating func version(services: UInt64) {
        let version = P2PVersion(
            protocolVersion: 70016, services: services, time: 0, nonce: 9, userAgent: [], startHeight: 0, relay: false)
        self.bytes(P2PMessage.version(version).encoded(for: .main))
    }

    mutating func verack() { self.bytes(P2PMessage.verack.encoded(for: .main)) }

    mutating func pass(_ duration: Duration) {
        let until = self.now + duration
        while let timer = self.timer, timer <= until {
            self.now = max(self.now, timer)
            self.timer = nil
            self.take(self.coordination.onTimer(now: self.now))
        }
        self.now = until
    }

    /// Both version messages and both hellos; then the responder has its place, and both learn their addresses.
    mutating func greet(
        mapping: NATMapping = .endpointIndependent(preservesPort: false), abilities: PunchAbilities = [.ipv4]
    ) {
        self.version(services: PunchOffer.serviceFlag)
        self.verack()
        self.say(.hello(PunchHello(mapping: mapping, abilities: abilities)))
        if self.directives.contains(.request) { self.take(self.coordination.onRequestDecision(nil, now: self.now)) }
    }

    /// What a responder says to each question about the clock: its time is the test's, in microseconds.
    mutating func answerPings(after: Duration = .milliseconds(100)) {
        while let sent = self.nextPing() {
            self.now = self.now + after
            let reading = UInt64((self.now - .zero).wholeNanoseconds / 1000)
            self.say(.pong(sent: sent, received: reading, replied: reading))
        }
    }

    /// The next question about the clock that has no answer yet.
    mutating func nextPing() -> UInt64? {
        let pings: [UInt64] = self.written.compactMap {
            if case .punch(.ping(let sent)) = $0 { sent } else { nil }
        }
        guard self.pongs < pings.count else { return nil }
        self.pongs += 1
        return pings[self.pongs - 1]
    }

    mutating func learn(_ text: String = "9.9.9.9:40000", attempt: UInt8 = 1) {
        self.take(self.coordination.onMapping(attempt: attempt, .success([endpoint(text)]), now: self.now))
    }

    mutating func tell(_ text: String = "8.8.8.8:50000", path: PunchPath = .punch, attempt: UInt8 = 1) {
        self.say(
            .endpoints(
                attempt: attempt, [PathEndpoint(path: path, endpoint: endpoint(text))],
                nonce: [UInt8](repeating: 3, count: 32)))
    }

    /// A responder's clock, as its answer tells it.
    mutating func readClock() -> UInt64 {
        self.say(.ping(sent: 1))
        guard case .punch(.pong(_, let received, _))? = self.written.last else { return 0 }
        return received
    }

    /// Takes a responder up to where it has the moment of the first attempt, `lead` microseconds from now.
    mutating func agree(lead: Int64 = 1000) {
        self.greet()
        self.learn()
        self.tell()
        let clock = self.readClock()
        self.say(.go(attempt: 1, path: .punch, moment: clock &+ UInt64(bitPattern: lead)))
    }

    var outcome: PunchOutcome? {
        self.directives.compactMap { if case .finished(let outcome) = $0 { outcome } else { nil } }.first
    }

    var failure: PunchFailure? {
        if case .failed(let failure)? = self.outcome?.ending { failure } else { nil }
    }

    var plan: PunchPlan? {
        self.directives.compactMap { if case .open(let plan) = $0 { plan } else { nil } }.last
    }

    var isClosed: Bool {
        if case .disconnect? = self.directives.last { true } else { false }
    }

    var results: [PunchReason?] {
        self.written.compactMap { if case .punch(.result(_, let reason)) = $0 { .some(reason) } else { nil } }
    }

    func count(_ directive: Coordination.Directive) -> Int { self.directives.count { $0 == directive } }
}
