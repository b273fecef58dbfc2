// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetHolePunch
public import AltNetPunchReports

extension NATReport {
    /// A verdict as it is told.
    ///
    /// - Parameters:
    ///   - network: the local network that was checked, in words for people.
    public init(_ verdict: NATVerdict, network: String?, at time: WallClockTime) {
        self.init(mapping: verdict.mapping.name, confidence: verdict.confidence, reason: verdict.reason)
        self.network = network
        self.checkedAt = PunchRecords.text(time)
        self.external = verdict.external.map(\.host)
        self.evidence = verdict.evidence.map {
            Observation(
                witness: $0.witness.name, group: $0.group, address: $0.seen.description, localPort: $0.local.port,
                latencyMilliseconds: $0.latency.inSeconds * 1000, at: PunchRecords.text($0.at))
        }
        if !verdict.silent.isEmpty {
            self.silent = verdict.silent.map { Silence(witness: $0.witness, reason: $0.reason) }
        }
        if verdict.ipv4 != nil { self.ipv6 = verdict.ipv6?.mapping.name }
        guard let finding = verdict.main else { return }
        if case .endpointIndependent(let preserves) = finding.mapping { self.preservesPort = preserves }
        self.filtering = finding.filtering
        self.toleratedLiars = finding.toleratedLiars
        if !finding.dissenters.isEmpty { self.dissenters = finding.dissenters.map(\.name) }
        self.isReachable = finding.isReachable
        self.isBehindCarrierNAT = finding.isBehindCarrierNAT
    }
}
