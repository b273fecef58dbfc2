// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin
public import AltNetHolePunch
public import AltNetTransport
internal import Dispatch
internal import Glibc

/// Carries out a ``NATCheck``: binds its ports, connects to its witnesses.
public struct NATChecker: Sendable {
    private let probe: NATProbe
    private let configuration: NATCheck.Configuration

    public init(network: Network, userAgent: String, _ configuration: NATCheck.Configuration) {
        self.probe = NATProbe(network: network, userAgent: userAgent)
        self.configuration = configuration
    }

    /// Asks the witnesses, at most ``NATCheck/maximumWitnesses``; takes up to ``NATCheck/maximumDuration`` and the
    /// resolver's time. Cancelling the task ends it early, with what is there.
    public func run(_ witnesses: [HostAndPort]) async -> NATVerdict {
        let resolved = await Self.resolve(Array(witnesses.prefix(NATCheck.maximumWitnesses)))
        var verdict = await self.check(resolved.witnesses)
        verdict.silent += resolved.failed.map { NATSilence(witness: $0, reason: "the name cannot be resolved") }
        return verdict
    }

    private enum Outcome: Sendable {
        case told(id: Int, NATProbe.Told, reachedBack: Bool?)
        case silent(id: Int, String)
        case timer
    }

    private func check(_ witnesses: [NATWitness]) async -> NATVerdict {
        var check = NATCheck(self.configuration, witnesses: witnesses)
        var ports: [NATCheck.LocalPort: Result<CheckPort, NATProbe.Failure>] = [:]
        let verdict = await withTaskGroup(of: Outcome.self) { group in
            var directives = check.start(now: .now)
            while true {
                for directive in directives {
                    switch directive {
                    case .setTimer(let moment):
                        group.addTask {
                            try? await Task.sleep(for: moment - .now)
                            return .timer
                        }
                    case .probe(let probe):
                        if ports[probe.port] == nil { ports[probe.port] = await CheckPort.open(probe.port) }
                        switch ports[probe.port] {
                        case .success(let port)?: group.addTask { await self.ask(probe, from: port) }
                        case .failure(let failure)?:
                            group.addTask { .silent(id: probe.id, failure.description) }
                        case nil: break
                        }
                    case .finished(let verdict):
                        group.cancelAll()
                        return verdict
                    }
                }
                switch await group.next() {
                case .told(let id, let told, let reachedBack)?:
                    directives = check.onAnswer(
                        id: id, seen: told.seen, local: told.local, latency: told.latency, reachedBack: reachedBack,
                        at: WallClockTime(seconds: Int64(time(nil))))
                case .silent(let id, let reason)?: directives = check.onSilence(id: id, reason: reason)
                case .timer?: directives = check.onTimer(now: .now + .milliseconds(1))
                case nil: return NATVerdict()
                }
            }
        }
        for case .success(let port) in ports.values { await port.close() }
        return verdict
    }

    private func ask(_ probe: NATCheck.Probe, from port: CheckPort) async -> Outcome {
        var question = self.probe.question(asksBack: probe.asksBack && port.back != nil)
        port.back?.expect(question, id: probe.id)
        do throws(NATProbe.Failure) {
            let told = try await self.probe.ask(
                probe.witness.endpoint, from: port.port, within: NATCheck.probeDuration, &question)
            let hasCome = told.reachesBack ? await port.back?.hasCome(probe.id) : nil
            told.connection.close()
            return .told(id: probe.id, told, reachedBack: hasCome)
        } catch {
            return .silent(id: probe.id, error.description)
        }
    }

    /// A local port of a check, with whoever listens there.
    private struct CheckPort: Sendable {
        let port: ReusedPort
        /// `nil` where listening failed.
        let back: BackListener?
        let listener: StreamListener?

        static func open(_ wanted: NATCheck.LocalPort) async -> Result<CheckPort, NATProbe.Failure> {
            do throws(SocketFailure) {
                let port = try ReusedPort(HostAndPort(host: wanted.isIPv4 ? "0.0.0.0" : "::", port: 0))
                let back = BackListener()
                let listener = try? await back.listen(at: port)
                return .success(CheckPort(port: port, back: listener == nil ? nil : back, listener: listener))
            } catch {
                return .failure(NATProbe.Failure(description: error.description))
            }
        }

        func close() async {
            await self.listener?.close()
        }
    }

    // MARK: - Names

    /// The witnesses' addresses: of a name, the first of each family.
    private static func resolve(
        _ witnesses: [HostAndPort]
    ) async -> (witnesses: [NATWitness], failed: [String]) {
        await withTaskGroup(of: (HostAndPort, [ExternalEndpoint]).self) { group in
            for witness in Set(witnesses) {
                group.addTask { (witness, await Self.addresses(of: witness)) }
            }
            var found: [NATWitness] = []
            var failed: [String] = []
            for await (witness, addresses) in group {
                if addresses.isEmpty { failed.append(witness.description) }
                found += addresses.map { NATWitness(name: witness.description, endpoint: $0) }
            }
            return (found.sorted { $0.name < $1.name }, failed.sorted())
        }
    }

    private static func addresses(of witness: HostAndPort) async -> [ExternalEndpoint] {
        let hosts: [String]
        if ExternalEndpoint(witness.description) != nil {
            hosts = [witness.host]
        } else {
            hosts = await withCheckedContinuation { continuation in
                // The system's resolver blocks.
                DispatchQueue.global().async {
                    continuation.resume(returning: HostNameLookup.addresses(of: witness.host))
                }
            }
        }
        let all = hosts.compactMap {
            ExternalEndpoint(HostAndPort(host: $0, port: witness.port).description)
        }
        return [all.first(where: \.isIPv4), all.first { !$0.isIPv4 }].compactMap { $0 }
    }
}
