// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import AltNetLightningSession
import AltNetNoise
import AltNetObjects
import Testing

/// Two sessions and the network between them: bytes take a while and arrive cut anywhere, time is invented.
struct SimulatedLink {
    struct Event {
        let at: MonotonicInstant
        let side: Int
        let directive: LinkDirective
    }

    /// 0 called, 1 was called.
    var sessions: [LightningSession]
    var now = MonotonicInstant.zero
    /// Everything that the sessions said to their callers.
    var events: [Event] = []
    var random: SeededRandom
    /// While set, nothing arrives.
    var isCut = false
    private var timers: [MonotonicInstant?] = [nil, nil]
    private var inFlight: [[(at: MonotonicInstant, bytes: [UInt8])]] = [[], []]
    private var isClosed = [false, false]

    init(
        _ caller: LightningSession.Configuration,
        _ called: LightningSession.Configuration,
        seed: UInt64,
        dialing remote: NodeID? = nil
    ) throws {
        self.random = SeededRandom(seed: seed)
        self.sessions = [
            LightningSession(
                initiatorTo: remote ?? called.privateKey.publicKey,
                ephemeral: try makeKey(0x51),
                configuration: caller
            ),
            LightningSession(responderWith: try makeKey(0x52), configuration: called),
        ]
        for side in 0...1 { self.absorb(self.sessions[side].onConnected(now: self.now), from: side) }
    }

    mutating func request(_ side: Int, id: UInt64, _ request: ObjectRequest) {
        self.absorb(self.sessions[side].onRequest(id: id, request, now: self.now), from: side)
    }

    mutating func answer(_ side: Int, id: UInt64, _ answer: ObjectAnswer) {
        self.absorb(self.sessions[side].onAnswer(id: id, answer, now: self.now), from: side)
    }

    mutating func announce(_ side: Int, _ announcement: ObjectAnnouncement) {
        self.absorb(self.sessions[side].onAnnouncement(announcement, now: self.now), from: side)
    }

    mutating func say(_ side: Int, _ id: StreamID, _ message: StreamMessage) {
        self.absorb(self.sessions[side].onStream(id, message, now: self.now), from: side)
    }

    /// Runs for a while; `reply` may answer each event.
    mutating func run(
        for duration: Duration,
        _ reply: (inout SimulatedLink, Event) -> Void = { _, _ in }
    ) {
        let end = self.now + duration
        var handled = self.events.count
        while let (moment, act) = self.nextStep(), moment <= end {
            self.now = max(self.now, moment)
            act(&self)
            while handled < self.events.count {
                reply(&self, self.events[handled])
                handled += 1
            }
        }
        self.now = end
    }

    func directives(of side: Int) -> [LinkDirective] {
        self.events.filter { $0.side == side }.map(\.directive)
    }

    private func nextStep() -> (MonotonicInstant, (inout SimulatedLink) -> Void)? {
        var steps: [(MonotonicInstant, (inout SimulatedLink) -> Void)] = []
        for side in 0...1 where !self.isClosed[side] {
            if let timer = self.timers[side] {
                steps.append(
                    (
                        timer,
                        { link in
                            link.timers[side] = nil
                            link.absorb(link.sessions[side].onTimer(now: link.now), from: side)
                        }
                    )
                )
            }
            if let first = self.inFlight[side].first, !self.isCut {
                steps.append(
                    (
                        first.at,
                        { link in
                            let bytes = link.inFlight[side].removeFirst().bytes
                            link.absorb(link.sessions[side].onBytes(bytes, now: link.now), from: side)
                        }
                    )
                )
            }
        }
        return steps.min { $0.0 < $1.0 }
    }

    private mutating func absorb(_ directives: [LinkDirective], from side: Int) {
        for directive in directives {
            switch directive {
            case .write(let bytes): self.transmit(bytes, to: 1 - side)
            case .setTimer(let moment): self.timers[side] = moment
            case .disconnect, .abort:
                self.events.append(Event(at: self.now, side: side, directive: directive))
                self.isClosed[side] = true
            case .established, .request, .answer, .announcement, .stream, .message:
                self.events.append(Event(at: self.now, side: side, directive: directive))
            }
        }
    }

    private mutating func transmit(_ bytes: [UInt8], to side: Int) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let size = Int.random(in: 1...(Bool.random(using: &self.random) ? 40 : 70_000), using: &self.random)
            let latency = Duration.milliseconds(Int.random(in: 1...80, using: &self.random))
            let arrival = max(self.now + latency, self.inFlight[side].last?.at ?? .zero)
            self.inFlight[side].append((arrival, Array(rest.prefix(size))))
            rest = rest.dropFirst(size)
        }
    }
}
