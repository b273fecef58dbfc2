// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetTransport
public import Logging

/// Lets the router map TCP ports to this machine, keeps the mappings up, and deletes them at the end.
///
/// Asks by PCP, then NAT-PMP, then UPnP, and remembers what the router speaks. Only the default gateway is asked, and
/// nothing that it says leads anywhere else.
public actor PortMapper {
    /// What is asked for. Half an hour after we are gone, the router forgets.
    static let lifetime: Duration = .seconds(3_600)
    /// The bounds of what a router grants: shorter would be asked for all the time, longer outlives the network.
    static let lifetimes: ClosedRange<Duration> = .seconds(120) ... .seconds(86_400)
    /// After a failed renewal it is tried again.
    static let retryPause: Duration = .seconds(60)
    /// After no protocol was answered, nobody is asked for this long.
    static let silencePause: Duration = .seconds(600)
    /// Mappings at once: routers at home have few places.
    public static let maximumMappings = 8
    /// Deleting is a courtesy, which the end of the program does not wait for longer.
    static let deletionDeadline: Duration = .seconds(3)

    /// Where the mapper asks.
    public struct Configuration: Sendable {
        /// The methods that may be used, tried in the order of their declaration.
        public var methods: Set<PortMappingMethod>
        /// The router; `nil` for the one that the default route leads to.
        public var gateway: DefaultGateway?
        /// Takes external addresses that nobody on the internet reaches: labs and tests only.
        public var allowsPrivateAddresses: Bool

        public init(
            methods: Set<PortMappingMethod> = Set(PortMappingMethod.allCases), gateway: DefaultGateway? = nil,
            allowsPrivateAddresses: Bool = false
        ) {
            self.methods = methods
            self.gateway = gateway
            self.allowsPrivateAddresses = allowsPrivateAddresses
        }
    }

    private struct Held {
        var mapping: PortMapping
        let nonce: [UInt8]
        var gateway: [UInt8]
        var service: UPnPService?
        /// When the router forgets it; `nil` for never.
        var end: MonotonicInstant?
        var renewal: Task<Void, Never>?

        init(_ mapping: PortMapping, nonce: [UInt8], gateway: [UInt8], service: UPnPService?) {
            self.mapping = mapping
            self.nonce = nonce
            self.gateway = gateway
            self.service = service
            self.end = mapping.lifetime.map { .now + $0 }
        }
    }

    private let configuration: Configuration
    private let logger: Logger
    private var held: [UInt16: Held] = [:]
    private var pending: [UInt16: Task<Result<PortMapping, PortMappingError>, Never>] = [:]
    private var epoch: (gateway: [UInt8], epoch: ServerEpoch)?
    /// What this router spoke last.
    private var spoken: (gateway: [UInt8], method: PortMappingMethod, service: UPnPService?)?
    private var silent: (gateway: [UInt8], until: MonotonicInstant)?
    private var isClosed = false

    public init(_ configuration: Configuration = Configuration(), logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    /// Maps a port, or returns the mapping that stands. It is renewed until ``unmap(port:)`` or ``close()``.
    ///
    /// Takes up to 20 s with a router that answers nothing.
    ///
    /// - Parameter port: of a TCP listener on this machine.
    /// - Throws: ``PortMappingError``.
    public func map(port: UInt16) async throws(PortMappingError) -> PortMapping {
        guard !self.isClosed else { throw .closed }
        if let mapping = self.mapping(of: port) { return mapping }
        if let task = self.pending[port] { return try await task.value.get() }
        guard Set(self.held.keys).union(self.pending.keys).union([port]).count <= Self.maximumMappings else {
            throw .tooMany(limit: Self.maximumMappings)
        }
        let task = Task { await self.establish(port) }
        self.pending[port] = task
        let result = await task.value
        self.pending[port] = nil
        return try result.get()
    }

    private func establish(_ port: UInt16) async -> Result<PortMapping, PortMappingError> {
        do throws(PortMappingError) {
            let gateway = try self.gateway()
            // An expired one keeps its nonce: the router may know it still.
            let nonce = self.held[port]?.nonce ?? (0..<PCPRequest.nonceSize).map { _ in UInt8.random(in: 0...255) }
            let (mapping, service) = try await self.ask(
                port: port, nonce: nonce, gateway: gateway.address, suggested: nil)
            let held = Held(mapping, nonce: nonce, gateway: gateway.address, service: service)
            guard !self.isClosed else {
                await self.delete(held)
                throw .closed
            }
            self.held[port]?.renewal?.cancel()
            self.held[port] = held
            self.scheduleRenewal(of: port)
            self.logger.info("port mapped", metadata: ["mapping": "\(mapping)"])
            return .success(mapping)
        } catch {
            return .failure(error)
        }
    }

    /// The mapping of a port as it stands after its last renewal; `nil` when there is none, or none any more.
    public func mapping(of port: UInt16) -> PortMapping? {
        guard let held = self.held[port] else { return nil }
        if let end = held.end, end < .now { return nil }
        return held.mapping
    }

    /// Deletes a mapping.
    public func unmap(port: UInt16) async {
        guard let held = self.held.removeValue(forKey: port) else { return }
        held.renewal?.cancel()
        await self.delete(held)
    }

    /// Deletes all mappings. Nothing can be mapped afterwards.
    public func close() async {
        self.isClosed = true
        for port in self.held.keys.sorted() { await self.unmap(port: port) }
    }

    // MARK: - Asking

    private func gateway() throws(PortMappingError) -> DefaultGateway {
        if let gateway = self.configuration.gateway { return gateway }
        guard let gateway = DefaultGateway.current() else { throw .noGateway("there is no default route") }
        return gateway
    }

    /// Asks by what the router is known to speak, or by everything.
    private func ask(
        port: UInt16, nonce: [UInt8], gateway: [UInt8], suggested: PortMapping?
    ) async throws(PortMappingError) -> (PortMapping, UPnPService?) {
        // A renewal is worth a question: a router that restarts is silent for a minute.
        if suggested == nil, let silent = self.silent, silent.gateway == gateway, MonotonicInstant.now < silent.until {
            throw .noAnswer
        }
        let client: [UInt8]
        do { client = try await RouterSocket.clientAddress(towards: gateway) } catch {
            throw RouterRequests.failure(error)
        }
        var methods = PortMappingMethod.allCases.filter { self.configuration.methods.contains($0) }
        let known = self.spoken?.gateway == gateway ? self.spoken : nil
        if let known, let index = methods.firstIndex(of: known.method) {
            methods.insert(methods.remove(at: index), at: 0)
        }
        var failure = PortMappingError.noAnswer
        var tried: Set<PortMappingMethod> = []
        for method in methods where !tried.contains(method) {
            tried.insert(method)
            do throws(PortMappingError) {
                let found: (PortMapping, UPnPService?)
                if method == .upnp {
                    found = try await self.askUPnP(
                        port: port, gateway: gateway, client: client, service: known?.service, suggested: suggested)
                } else {
                    // PCP finds out by itself whether the router knows NAT-PMP only.
                    if method == .pcp, self.configuration.methods.contains(.natPMP) { tried.insert(.natPMP) }
                    let request = PCPRequest(
                        lifetime: UInt32(Self.lifetime.inSeconds), clientAddress: client, nonce: nonce,
                        internalPort: port, suggestedPort: suggested?.externalPort ?? port,
                        suggestedAddress: suggested?.externalAddress ?? [0, 0, 0, 0])
                    found = (try await self.askPortControl(request, method: method, gateway: gateway), nil)
                }
                self.spoken = (gateway, found.0.method, found.1)
                return found
            } catch {
                self.logger.debug("port not mapped", metadata: ["method": "\(method)", "reason": "\(error)"])
                // A reason says more than silence.
                if error != .noAnswer || failure == .noAnswer { failure = error }
                if error == .closed || Task.isCancelled { throw error }
            }
        }
        if failure == .noAnswer { self.silent = (gateway, .now + Self.silencePause) }
        throw failure
    }

    private func askPortControl(
        _ request: PCPRequest, method: PortMappingMethod, gateway: [UInt8]
    ) async throws(PortMappingError) -> PortMapping {
        let grant = try await RouterRequests.portControl(request, method: method, gateway: gateway).get()
        try self.check(grant.externalAddress)
        var epoch = self.epoch?.gateway == gateway ? self.epoch?.epoch ?? ServerEpoch() : ServerEpoch()
        let isLost = epoch.observe(grant.epoch, by: grant.method, now: .now)
        self.epoch = (gateway, epoch)
        if isLost { self.renewAll(but: request.internalPort) }
        return PortMapping(
            method: grant.method, internalPort: request.internalPort, externalAddress: grant.externalAddress,
            externalPort: grant.externalPort, lifetime: .seconds(Int64(grant.lifetime)))
    }

    private func askUPnP(
        port: UInt16, gateway: [UInt8], client: [UInt8], service: UPnPService?, suggested: PortMapping?
    ) async throws(PortMappingError) -> (PortMapping, UPnPService?) {
        var request = UPnPExchange.Request(
            gateway: gateway, client: client, internalPort: port, externalPort: suggested?.externalPort ?? port,
            lease: UInt32(Self.lifetime.inSeconds))
        request.otherPorts = (1..<UPnPExchange.maximumPorts).map { _ in UInt16.random(in: 1_024...65_535) }
        var result = await RouterRequests.upnp(request, service: service)
        // The service may have moved since: routers choose a new port when they restart.
        if service != nil, case .failure = result { result = await RouterRequests.upnp(request, service: nil) }
        let grant = try result.get()
        do throws(PortMappingError) {
            try self.check(grant.externalAddress)
        } catch {
            _ = await RouterRequests.upnp(.delete(externalPort: grant.externalPort), service: grant.service)
            throw error
        }
        let mapping = PortMapping(
            method: .upnp, internalPort: port, externalAddress: grant.externalAddress, externalPort: grant.externalPort,
            lifetime: grant.lease == 0 ? nil : .seconds(Int64(grant.lease)))
        return (mapping, grant.service)
    }

    private func check(_ address: [UInt8]) throws(PortMappingError) {
        guard self.configuration.allowsPrivateAddresses || ExternalAddressRule.isPublic(address) else {
            throw .notPublic(address: address)
        }
    }

    // MARK: - Keeping and deleting

    /// Renews at half the lifetime (RFC 6887, section 11.2.1; RFC 6886, section 3.3).
    private func scheduleRenewal(of port: UInt16, after pause: Duration? = nil) {
        guard var held = self.held[port] else { return }
        held.renewal?.cancel()
        let lifetime = held.mapping.lifetime.map { min(max($0, Self.lifetimes.lowerBound), Self.lifetimes.upperBound) }
        // One for ever may still be lost with the router's memory.
        let wait = pause ?? (lifetime ?? Self.lifetime) / 2
        held.renewal = Task { [weak self] in
            guard (try? await Task.sleep(for: wait)) != nil else { return }
            await self?.renew(port)
        }
        self.held[port] = held
    }

    private func renew(_ port: UInt16) async {
        guard let held = self.held[port] else { return }
        do throws(PortMappingError) {
            // The network may be another one by now.
            let gateway = (try? self.gateway().address) ?? held.gateway
            let (mapping, service) = try await self.ask(
                port: port, nonce: held.nonce, gateway: gateway, suggested: held.mapping)
            let renewed = Held(mapping, nonce: held.nonce, gateway: gateway, service: service)
            guard self.held[port]?.nonce == held.nonce else { return await self.delete(renewed) }
            if mapping.externalPort != held.mapping.externalPort
                || mapping.externalAddress != held.mapping.externalAddress
            {
                self.logger.notice("port mapping moved", metadata: ["mapping": "\(mapping)"])
            }
            self.held[port] = renewed
            self.scheduleRenewal(of: port)
        } catch {
            guard self.held[port]?.nonce == held.nonce, !Task.isCancelled else { return }
            self.logger.warning("port mapping not renewed", metadata: ["port": "\(port)", "reason": "\(error)"])
            self.scheduleRenewal(of: port, after: Self.retryPause)
        }
    }

    /// After the router lost its memory.
    private func renewAll(but port: UInt16) {
        self.logger.notice("the router has lost its port mappings")
        for other in self.held.keys where other != port { self.scheduleRenewal(of: other, after: .zero) }
    }

    private func delete(_ held: Held) async {
        let mapping = held.mapping
        let deletion = Task { () -> PortMappingError? in
            guard mapping.method != .upnp else {
                guard let service = held.service else { return nil }
                return await RouterRequests.upnp(.delete(externalPort: mapping.externalPort), service: service)
            }
            do {
                let client = try await RouterSocket.clientAddress(towards: held.gateway)
                // NAT-PMP wants port 0 suggested with a lifetime of 0 (RFC 6886, section 3.4); PCP ignores it.
                let request = PCPRequest(
                    lifetime: 0, clientAddress: client, nonce: held.nonce, internalPort: mapping.internalPort,
                    suggestedPort: 0)
                _ = try await RouterRequests.portControl(request, method: mapping.method, gateway: held.gateway).get()
                return nil
            } catch {
                return RouterRequests.failure(error)
            }
        }
        let timer = Task {
            try await Task.sleep(for: Self.deletionDeadline)
            deletion.cancel()
        }
        let failure = await deletion.value
        timer.cancel()
        if let failure {
            self.logger.notice(
                "port mapping not deleted; it ends by itself",
                metadata: ["port": "\(mapping.internalPort)", "reason": "\(failure)"])
        }
    }
}
