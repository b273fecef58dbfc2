// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetTransport
internal import NIOCore
internal import Synchronization

/// Runs the exchanges with a router: sockets and timers around the machines.
enum RouterRequests {
    /// Runs a request by PCP or NAT-PMP.
    static func portControl(
        _ request: PCPRequest, method: PortMappingMethod, gateway: [UInt8]
    ) async -> Result<PortControlExchange.Grant, PortMappingError> {
        let (events, continuation) = AsyncStream.makeStream(of: Event.self, bufferingPolicy: .bufferingNewest(64))
        do {
            let socket = try await RouterSocket.open(
                to: gateway, port: PCPRequest.port, isMulticast: false, maximumSize: PCPResponse.maximumSize,
                onDatagram: { continuation.yield(.datagram($0)) }, onRefusal: { continuation.yield(.refusal) })
            defer { socket.close() }
            let alarm = Alarm(socket) { continuation.yield(.timer($0)) }
            defer { alarm.cancel() }
            var exchange = PortControlExchange(request, method: method)
            func carryOut(
                _ directives: [PortControlExchange.Directive]
            ) -> Result<PortControlExchange.Grant, PortMappingError>? {
                for directive in directives {
                    switch directive {
                    case .send(let bytes): socket.send(bytes)
                    case .setTimer(let moment): alarm.set(moment)
                    case .finished(let result): return result
                    }
                }
                return nil
            }
            if let result = carryOut(exchange.start(now: .now)) { return result }
            for await event in events {
                let directives: [PortControlExchange.Directive]
                switch event {
                case .datagram(let bytes): directives = exchange.onDatagram(bytes, now: .now)
                case .timer(let number): directives = alarm.isCurrent(number) ? exchange.onTimer(now: .now) : []
                // Nobody listens at the port; anybody on the way can say so, and the other protocols are still there.
                case .refusal: return .failure(.noAnswer)
                case .reply: directives = []
                }
                if let result = carryOut(directives) { return result }
            }
            return .failure(.closed)
        } catch {
            return .failure(Self.failure(error))
        }
    }

    /// Runs a request by UPnP.
    static func upnp(
        _ request: UPnPExchange.Request, service: UPnPService?
    ) async -> Result<UPnPExchange.Grant, PortMappingError> {
        let (events, continuation) = AsyncStream.makeStream(of: Event.self, bufferingPolicy: .bufferingNewest(64))
        do {
            let socket = try await RouterSocket.open(
                to: request.gateway, port: SSDP.port, isMulticast: true, maximumSize: SSDP.maximumSize,
                onDatagram: { continuation.yield(.datagram($0)) }, onRefusal: {})
            defer { socket.close() }
            let alarm = Alarm(socket) { continuation.yield(.timer($0)) }
            defer { alarm.cancel() }
            return await withTaskGroup(of: Void.self) { group in
                defer { group.cancelAll() }
                var exchange = UPnPExchange(request, service: service)
                var directives = exchange.start(now: .now)
                var iterator = events.makeAsyncIterator()
                while true {
                    for directive in directives {
                        switch directive {
                        case .search(let datagrams):
                            for datagram in datagrams { socket.send(datagram, toGroup: (SSDP.group, SSDP.port)) }
                        case .setTimer(let moment): alarm.set(moment)
                        case .exchange(let url, let bytes):
                            group.addTask { continuation.yield(.reply(await RouterHTTP.exchange(bytes, with: url))) }
                        case .finished(let result): return result
                        }
                    }
                    guard let event = await iterator.next() else { return .failure(.closed) }
                    switch event {
                    case .datagram(let bytes): directives = exchange.onDatagram(bytes, now: .now)
                    case .timer(let number): directives = alarm.isCurrent(number) ? exchange.onTimer(now: .now) : []
                    case .reply(let reply): directives = exchange.onReply(reply, now: .now)
                    case .refusal: directives = []
                    }
                }
            }
        } catch {
            return .failure(Self.failure(error))
        }
    }

    /// Runs one action of a service whose answer has nothing that we need.
    static func upnp(_ action: UPnPAction, service: UPnPService) async -> PortMappingError? {
        do throws(PortMappingError) {
            let reply = try await RouterHTTP.exchange(action.request(to: service), with: service.control).get()
            do throws(UPnPActionError) {
                _ = try action.answer(reply)
                return nil
            } catch {
                return error.error
            }
        } catch {
            return error
        }
    }

    static func failure(_ error: any Error) -> PortMappingError {
        switch error {
        case let error as PortMappingError: error
        case let error as IOError: .unreachable(error.description)
        default: .unreachable("\(error)")
        }
    }

    private enum Event: Sendable {
        case datagram([UInt8])
        case timer(Int)
        case reply(Result<HTTPReply, PortMappingError>)
        case refusal
    }

    /// One timer, of which only the last setting counts.
    private final class Alarm: Sendable {
        private let socket: RouterSocket
        private let onTime: @Sendable (Int) -> Void
        private let state = Mutex<(number: Int, task: Scheduled<Void>?)>((0, nil))

        init(_ socket: RouterSocket, onTime: @escaping @Sendable (Int) -> Void) {
            self.socket = socket
            self.onTime = onTime
        }

        func set(_ moment: MonotonicInstant) {
            self.state.withLock { state in
                state.task?.cancel()
                state.number += 1
                let number = state.number
                state.task = self.socket.schedule(at: moment) { self.onTime(number) }
            }
        }

        func isCurrent(_ number: Int) -> Bool { self.state.withLock { $0.number == number } }

        func cancel() { self.state.withLock { $0.task?.cancel() } }
    }
}
