// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetHolePunch
internal import AltNetPunchReports
internal import AltNetTransport

/// What we know of our own place in the network: our NAT, our addresses, our router.
actor NetworkPlace: MappingSource {
    /// What coordinations begin with.
    struct View: Sendable {
        var mapping = NATMapping.unknown
        var abilities: PunchAbilities = []
        var addresses = PathOpener.Place()

        /// Whether there is a way on which others can get through to us.
        var canBeReached: Bool {
            switch self.mapping {
            case .open, .endpointIndependent: true
            case .endpointDependent, .unknown: !self.abilities.isDisjoint(with: [.ipv6, .mapped])
            }
        }
    }

    private let settings: PunchSettings
    private let network: Network
    private var witnesses: [HostAndPort] = []

    init(_ settings: PunchSettings, network: Network) {
        self.settings = settings
        self.network = network
    }

    var view: View {
        var view = View()
        view.abilities = [.ipv4]
        if self.settings.relays { view.abilities.insert(.relay) }
        return view
    }

    var report: NATReport { NATReport(mapping: NATMapping.unknown.name, confidence: 0, reason: "not checked") }

    func check() async -> NATReport { self.report }

    func setWitnesses(_ witnesses: [HostAndPort]) {
        self.witnesses = witnesses
    }

    func run() async {
        while !Task.isCancelled { try? await Task.sleep(for: .seconds(86_400)) }
    }

    func learn(from port: ReusedPort) async throws(PunchReason) -> (ExternalEndpoint, (any Sendable)?) {
        throw .noMapping
    }

    func mapPort(_ port: ReusedPort) async throws(PunchReason) -> (ExternalEndpoint, (any Sendable)?) {
        throw .noMapping
    }
}
