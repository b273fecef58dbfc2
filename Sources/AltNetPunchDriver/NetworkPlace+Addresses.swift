// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetHolePunch
internal import AltNetPortMapping
internal import AltNetTransport
internal import Logging

/// Addresses for attempts.
extension NetworkPlace {
    /// Within ``Coordination/mappingTimeout``.
    private static let witnessesPerAttempt = 2
    private static let probeDuration: Duration = .milliseconds(2_800)

    /// Keeps the witness's connection, and with it the NAT's entry, until the attempt is over.
    private final class OpenProbe: Sendable {
        let connection: StreamConnection

        init(_ connection: StreamConnection) {
            self.connection = connection
        }

        deinit {
            self.connection.close()
        }
    }

    /// One witness is asked, and another one when it tells nothing that fits. What it says is no more than the port: the
    /// address has to be the one that the witnesses of the check agreed on, because the other side sends SYNs there.
    func learn(from port: ReusedPort) async throws(PunchReason) -> (ExternalEndpoint, (any Sendable)?) {
        let probe = NATProbe(network: self.network, userAgent: self.userAgent)
        let finding = self.verdict?.ipv4
        var voices = NATVoices(
            external: finding?.external.map(\.address) ?? [],
            preservedPort: finding?.mapping == .endpointIndependent(preservesPort: true) ? port.port : nil,
            allowPrivate: self.settings.allowsPrivate)
        for witness in self.witnessesToAsk.prefix(Self.witnessesPerAttempt) {
            do throws(NATProbe.Failure) {
                let told = try await probe.ask(witness, from: port, within: Self.probeDuration)
                self.silent.remove(witness)
                if voices.heard(told.seen) { return (told.seen, OpenProbe(told.connection)) }
                told.connection.close()
                self.logger.info(
                    "a witness contradicts the check", metadata: ["witness": "\(witness)", "says": "\(told.seen)"])
            } catch {
                self.silent.insert(witness)
                self.logger.info(
                    "a witness did not answer", metadata: ["witness": "\(witness)", "reason": "\(error)"])
            }
        }
        // Either the witnesses or the addresses are others now.
        self.doubt()
        throw .noMapping
    }

    /// Those that agreed with the others in the check come first, then those that were told since, and last those that
    /// did not answer lately.
    private var witnessesToAsk: [ExternalEndpoint] {
        let checked = Set((self.verdict?.evidence ?? []).map(\.witness.endpoint))
        let dissenters = Set((self.verdict?.ipv4?.dissenters ?? []).map(\.endpoint))
        // Names are left to the next check: the resolver may take longer than an attempt.
        let fresh = self.witnesses.compactMap { ExternalEndpoint($0.description) }.filter {
            !checked.contains($0) && $0.refusedHost(allowPrivate: self.settings.allowsPrivate) == nil
        }
        let all = checked.subtracting(dissenters).shuffled() + fresh.shuffled()
        let usable = all.filter(\.isIPv4)
        return usable.filter { !self.silent.contains($0) } + usable.filter { self.silent.contains($0) }
    }

    /// Gives a mapping back when nobody needs it any more.
    private final class HeldMapping: Sendable {
        let mapper: PortMapper
        let port: UInt16

        init(_ mapper: PortMapper, port: UInt16) {
            self.mapper = mapper
            self.port = port
        }

        deinit {
            let (mapper, port) = (self.mapper, self.port)
            Task { await mapper.unmap(port: port) }
        }
    }

    func mapPort(_ port: ReusedPort) async throws(PunchReason) -> (ExternalEndpoint, (any Sendable)?) {
        do throws(PortMappingError) {
            let mapping = try await self.mapper.map(port: port.port)
            let held = HeldMapping(self.mapper, port: port.port)
            guard let endpoint = ExternalEndpoint(address: mapping.externalAddress, port: mapping.externalPort) else {
                throw .malformed(mapping.method, "no IPv4 address")
            }
            if let known = self.verdict?.ipv4?.external, !known.isEmpty,
                !known.contains(where: { $0.address == endpoint.address })
            {
                // Behind a second NAT the two differ for ever; else the router has another address now.
                self.doubt(floor: CheckSchedule.strangersFloor)
            }
            return (endpoint, held)
        } catch {
            self.logger.info("no port is mapped", metadata: ["reason": "\(error)"])
            throw .noMapping
        }
    }
}
