// SPDX-License-Identifier: MIT

internal import AltNetBase

/// One request to a router by PCP, or by NAT-PMP where it knows no PCP: sending, sending again, reading what comes back.
///
/// No I/O: datagrams, timers and the clock come in, directives go out. The caller takes datagrams of the router only.
struct PortControlExchange: Sendable {
    /// PCP's first pause; it doubles (RFC 6887, section 8.1.1).
    static let firstPause: Duration = .seconds(3)
    /// Requests of PCP without an answer before the router has none: whoever waits for a port has other ways.
    static let maximumSends = 2
    /// NAT-PMP's first pause; it doubles (RFC 6886, section 3.1).
    static let firstPauseNATPMP: Duration = .milliseconds(250)
    /// The RFC goes on for 64 s; five requests take eight.
    static let maximumSendsNATPMP = 5

    enum Directive: Hashable, Sendable {
        case send([UInt8])
        /// Replaces the timer before.
        case setTimer(MonotonicInstant)
        case finished(Result<Grant, PortMappingError>)
    }

    /// What the router has said yes to.
    struct Grant: Hashable, Sendable {
        let method: PortMappingMethod
        let externalAddress: [UInt8]
        let externalPort: UInt16
        /// In seconds; 0 after a deletion.
        let lifetime: UInt32
        let epoch: UInt32
    }

    private enum State: Hashable {
        case asking
        /// By NAT-PMP, which needs two questions.
        case askingAddress
        case askingPort(address: [UInt8])
        case over
    }

    private let request: PCPRequest
    private var state: State
    private var sends = 0

    /// - Parameter method: what the router is known to speak; PCP when nothing is known, which finds out.
    init(_ request: PCPRequest, method: PortMappingMethod = .pcp) {
        self.request = request
        self.state = method == .natPMP ? .askingAddress : .asking
    }

    mutating func start(now: MonotonicInstant) -> [Directive] { self.send(now: now) }

    mutating func onTimer(now: MonotonicInstant) -> [Directive] {
        guard self.state != .over else { return [] }
        let limit = self.state == .asking ? Self.maximumSends : Self.maximumSendsNATPMP
        guard self.sends < limit else { return self.finish(.failure(.noAnswer)) }
        return self.send(now: now)
    }

    /// Takes a datagram of the router. One that does not belong to the request is dropped: it may be late, or forged.
    mutating func onDatagram(_ bytes: [UInt8], now: MonotonicInstant) -> [Directive] {
        switch self.state {
        case .over: return []
        case .asking:
            // A router that knows NAT-PMP only answers in its version 0.
            if bytes.first == 0, let response = try? NATPMPResponse(bytes), case .refusal(1) = response.content {
                return self.turnToNATPMP(now: now)
            }
            guard let response = try? PCPResponse(bytes) else { return [] }
            return self.take(response, now: now)
        case .askingAddress, .askingPort:
            guard let response = try? NATPMPResponse(bytes) else { return [] }
            return self.take(response, now: now)
        }
    }

    private mutating func take(_ response: PCPResponse, now: MonotonicInstant) -> [Directive] {
        if let mapping = response.mapping {
            // The nonce is what a forger cannot know.
            guard mapping.nonce == self.request.nonce, mapping.transport == PCPRequest.tcp,
                mapping.internalPort == self.request.internalPort
            else { return [] }
        } else if response.result != 1 {
            return []
        }
        guard response.result != 1 else { return self.turnToNATPMP(now: now) }
        guard response.result == 0, let mapping = response.mapping else {
            return self.finish(.failure(.refused(.pcp, PCPResponse.name(of: response.result))))
        }
        return self.grant(
            Grant(
                method: .pcp, externalAddress: mapping.externalAddress, externalPort: mapping.externalPort,
                lifetime: response.lifetime, epoch: response.epoch))
    }

    private mutating func take(_ response: NATPMPResponse, now: MonotonicInstant) -> [Directive] {
        switch (self.state, response.content) {
        case (.askingAddress, .externalAddress(let address)):
            self.state = .askingPort(address: address)
            self.sends = 0
            return self.send(now: now)
        case (.askingPort(let address), .mapping(let internalPort, let externalPort, let lifetime)):
            guard internalPort == self.request.internalPort else { return [] }
            return self.grant(
                Grant(
                    method: .natPMP, externalAddress: address, externalPort: externalPort, lifetime: lifetime,
                    epoch: response.epoch))
        case (_, .refusal(let result)) where response.operation == 128 + self.natPMPRequest.operation:
            return self.finish(.failure(.refused(.natPMP, NATPMPResponse.name(of: result))))
        default: return []
        }
    }

    /// Looks at what was granted before anybody relies on it.
    private mutating func grant(_ grant: Grant) -> [Directive] {
        guard self.request.lifetime > 0 else { return self.finish(.success(grant)) }
        guard grant.lifetime > 0, grant.externalPort > 0 else {
            return self.finish(.failure(.malformed(grant.method, "it grants no port, or no time")))
        }
        guard ExternalAddressRule.isUnicast(grant.externalAddress) else {
            return self.finish(.failure(.malformed(grant.method, "the external address is none")))
        }
        return self.finish(.success(grant))
    }

    private mutating func turnToNATPMP(now: MonotonicInstant) -> [Directive] {
        self.state = .askingAddress
        self.sends = 0
        return self.send(now: now)
    }

    private var natPMPRequest: NATPMPRequest {
        guard case .askingPort = self.state else { return .externalAddress }
        return .mapTCP(
            internalPort: self.request.internalPort, suggestedPort: self.request.suggestedPort,
            lifetime: self.request.lifetime)
    }

    private mutating func send(now: MonotonicInstant) -> [Directive] {
        let isPCP = self.state == .asking
        let pause = (isPCP ? Self.firstPause : Self.firstPauseNATPMP) * (1 << self.sends)
        self.sends += 1
        return [.send(isPCP ? self.request.encoded() : self.natPMPRequest.encoded()), .setTimer(now + pause)]
    }

    private mutating func finish(_ result: Result<Grant, PortMappingError>) -> [Directive] {
        self.state = .over
        return [.finished(result)]
    }
}
