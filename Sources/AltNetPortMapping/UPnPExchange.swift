// SPDX-License-Identifier: MIT

internal import AltNetBase

/// One request to a router by UPnP: the search, the description, the actions.
///
/// No I/O: datagrams, answers and timers come in, directives go out. The caller takes datagrams of the router only.
struct UPnPExchange: Sendable {
    /// Between the first search and the second: datagrams get lost.
    static let searchPause: Duration = .seconds(1)
    /// Answers are spread over one second, and some routers are slow.
    static let maximumSearches = 3
    /// How long one exchange by HTTP may take.
    static let replyDeadline: Duration = .seconds(5)
    /// External ports that are tried when one is taken.
    static let maximumPorts = 4

    enum Directive: Hashable, Sendable {
        /// To the multicast group.
        case search([[UInt8]])
        /// Replaces the timer before.
        case setTimer(MonotonicInstant)
        /// Connect, send, and give the answer back.
        case exchange(GatewayURL, [UInt8])
        case finished(Result<Grant, PortMappingError>)
    }

    struct Grant: Hashable, Sendable {
        let service: UPnPService
        let externalAddress: [UInt8]
        let externalPort: UInt16
        /// In seconds; 0 for ever.
        let lease: UInt32
    }

    struct Request: Hashable, Sendable {
        /// The router, and our own address towards it: four bytes each.
        var gateway: [UInt8]
        var client: [UInt8]
        var internalPort: UInt16
        var externalPort: UInt16
        /// In seconds.
        var lease: UInt32
        /// Ports to try when that one is taken.
        var otherPorts: [UInt16] = []
    }

    private enum State: Hashable {
        case searching
        case describing(GatewayURL)
        case askingAddress(UPnPService)
        case adding(UPnPService, address: [UInt8], UPnPAction)
        case over
    }

    private var request: Request
    private var state = State.searching
    private let known: UPnPService?
    private var searches = 0
    /// Why the last answer to a search was refused: told when no better one comes.
    private var refusal: PortMappingError?

    /// - Parameter service: where the router was asked before; `nil` to search for it.
    init(_ request: Request, service: UPnPService? = nil) {
        self.request = request
        self.request.otherPorts = Array(request.otherPorts.prefix(Self.maximumPorts - 1))
        self.known = service
    }

    mutating func start(now: MonotonicInstant) -> [Directive] {
        guard let known else { return self.search(now: now) }
        return self.askAddress(known, now: now)
    }

    mutating func onTimer(now: MonotonicInstant) -> [Directive] {
        switch self.state {
        case .over: return []
        case .searching:
            guard self.searches < Self.maximumSearches else { return self.fail(self.refusal ?? .noAnswer) }
            return self.search(now: now)
        case .describing, .askingAddress, .adding: return self.fail(.noAnswer)
        }
    }

    /// Takes an answer to the search.
    mutating func onDatagram(_ bytes: [UInt8], now: MonotonicInstant) -> [Directive] {
        guard self.state == .searching else { return [] }
        do throws(PortMappingError) {
            guard let location = try SSDP.location(bytes, gateway: self.request.gateway) else { return [] }
            self.state = .describing(location)
            return [.exchange(location, location.get), .setTimer(now + Self.replyDeadline)]
        } catch {
            // Somebody else may have put the router's address on a datagram; the router's own answer may still come.
            self.refusal = error
            return []
        }
    }

    /// Takes the answer to an exchange.
    mutating func onReply(_ reply: Result<HTTPReply, PortMappingError>, now: MonotonicInstant) -> [Directive] {
        do throws(PortMappingError) {
            let reply = try reply.get()
            switch self.state {
            case .searching, .over: return []
            case .describing(let location):
                guard reply.status == 200 else { throw .refused(.upnp, "HTTP status \(reply.status)") }
                return self.askAddress(try UPnPService(description: reply.body, location: location), now: now)
            case .askingAddress(let service): return try self.take(reply, address: service, now: now)
            case .adding(let service, let address, let action):
                return try self.take(reply, service: service, address: address, action: action, now: now)
            }
        } catch {
            return self.fail(error)
        }
    }

    private mutating func take(
        _ reply: HTTPReply, address service: UPnPService, now: MonotonicInstant
    ) throws(PortMappingError) -> [Directive] {
        do throws(UPnPActionError) {
            let answer = try UPnPAction.externalAddress.answer(reply)
            guard let text = answer.value("NewExternalIPAddress"), let address = IPAddressText.ipv4(text),
                ExternalAddressRule.isUnicast(address)
            else { throw .broken(.malformed(.upnp, "the external address is none")) }
            return self.add(
                service, address: address, port: self.request.externalPort, lease: self.request.lease, now: now)
        } catch {
            throw error.error
        }
    }

    private mutating func take(
        _ reply: HTTPReply, service: UPnPService, address: [UInt8], action: UPnPAction, now: MonotonicInstant
    ) throws(PortMappingError) -> [Directive] {
        guard case .add(let port, _, _, let lease, let isAny) = action else { return [] }
        do throws(UPnPActionError) {
            let answer = try action.answer(reply)
            var granted = port
            if isAny {
                guard let text = answer.value("NewReservedPort"), let number = UInt16(text), number > 0 else {
                    throw .broken(.malformed(.upnp, "it grants no port"))
                }
                granted = number
            }
            self.state = .over
            return [
                .finished(
                    .success(
                        Grant(service: service, externalAddress: address, externalPort: granted, lease: lease)))
            ]
        } catch .refused(UPnPActionError.onlyPermanent, _) where lease > 0 {
            return self.add(service, address: address, port: port, lease: 0, now: now)
        } catch .refused(UPnPActionError.invalidAction, _) where isAny {
            // Version 2 in name only.
            return self.add(
                UPnPService(type: UPnPService.types[1], control: service.control), address: address, port: port,
                lease: lease, now: now)
        } catch .refused(UPnPActionError.conflict, _) where !self.request.otherPorts.isEmpty {
            let next = self.request.otherPorts.removeFirst()
            return self.add(service, address: address, port: next, lease: lease, now: now)
        } catch {
            throw error.error
        }
    }

    private mutating func search(now: MonotonicInstant) -> [Directive] {
        self.searches += 1
        return [.search(SSDP.searches), .setTimer(now + Self.searchPause * self.searches)]
    }

    private mutating func askAddress(_ service: UPnPService, now: MonotonicInstant) -> [Directive] {
        self.state = .askingAddress(service)
        return [
            .exchange(service.control, UPnPAction.externalAddress.request(to: service)),
            .setTimer(now + Self.replyDeadline),
        ]
    }

    private mutating func add(
        _ service: UPnPService, address: [UInt8], port: UInt16, lease: UInt32, now: MonotonicInstant
    ) -> [Directive] {
        let action = UPnPAction.add(
            externalPort: port, client: self.request.client, internalPort: self.request.internalPort, lease: lease,
            isAny: service.choosesPorts)
        self.state = .adding(service, address: address, action)
        return [.exchange(service.control, action.request(to: service)), .setTimer(now + Self.replyDeadline)]
    }

    private mutating func fail(_ error: PortMappingError) -> [Directive] {
        self.state = .over
        return [.finished(.failure(error))]
    }
}
