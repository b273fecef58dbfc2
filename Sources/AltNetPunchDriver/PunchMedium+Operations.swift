// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetDriverProtocol
internal import AltNetHolePunch
internal import AltNetObjects
internal import AltNetPunchReports
internal import AltNetStreamDriver
internal import AltNetTransport
internal import FoundationEssentials
internal import Glibc

extension PunchMedium {
    func perform(_ operation: String, _ body: [UInt8]) async throws(OperationFailure) -> [UInt8] {
        switch operation {
        case PunchOperation.nat: return try Self.encode(await self.place.report)
        case PunchOperation.natCheck: return try Self.encode(await self.place.check())
        case PunchOperation.witnesses:
            let told = try Self.decode(PunchWitnesses.self, body)
            await self.place.setWitnesses(try Self.witnesses(told))
            if told.inboundSeen == true { await self.place.sawInboundElsewhere() }
            return try Self.encode(Nothing())
        case PunchOperation.offers: return try Self.encode(PunchOffers(await self.offers()))
        case PunchOperation.punch: return try Self.encode(try await self.punch(Self.decode(PunchRequest.self, body)))
        case PunchOperation.punches: return try Self.encode(PunchReports(await self.coordinator.records.reports))
        case PunchOperation.stats: return try Self.encode(await self.stats())
        case PunchOperation.rotateKeys:
            return try Self.encode(PunchEndpoints(await self.rotateKeys().map(\.description)))
        default: throw OperationFailure("this driver knows no operation \(UntrustedText(operation))")
        }
    }

    // MARK: - What is done

    private func punch(_ request: PunchRequest) async throws(OperationFailure) -> PunchReport {
        let endpoint: CoordinationEndpoint
        do throws(CoordinationEndpointError) {
            endpoint = try CoordinationEndpoint(request.endpoint)
        } catch {
            throw OperationFailure(error.description)
        }
        let offered: OfferedAddresses
        do throws(OfferedAddressesError) {
            offered = try OfferedAddresses(hosts: request.clearnet ?? [])
        } catch {
            throw OperationFailure(error.description)
        }
        do throws(PunchCoordinator.Refusal) {
            let (report, connection) = try await self.coordinator.call(endpoint, offered: offered)
            if let connection { self.adopt(connection) }
            return report
        } catch {
            throw OperationFailure(error.description)
        }
    }

    /// What may be announced: nothing while no more peers are wanted, and nothing while nobody could get through.
    private func offers() async -> [PunchOffers.Address] {
        let view = await self.place.view
        guard await self.coordinator.hasSlot, view.canBeReached else { return [] }
        let time = UInt32(clamping: time(nil))
        return await self.endpoints.current
            .flatMap { PunchOffer.encodings(of: $0, at: view.offered, time: time) }
            .prefix(PunchOperation.maximumOffers)
            .map {
                PunchOffers.Address(
                    networkID: $0.networkID, address: Hex.encode($0.address), port: $0.port,
                    services: "\($0.services)")
            }
    }

    private func stats() async -> PunchStatsReport {
        let records = await self.coordinator.records
        let answering = self.answering.statistics
        var counters = records.counters
        if self.settings.answersChecks != nil {
            counters["checks-answered"] = answering.answered
            counters["checks-refused"] = answering.refused
            counters["checks-connected-back"] = answering.back
        }
        return PunchStatsReport(
            counts: Array(records.counts.prefix(PunchOperation.maximumCounts)), slots: self.settings.offer,
            slotsTaken: await self.coordinator.slotsTaken, coordinating: await self.coordinator.coordinating,
            endpoints: await self.endpoints.current.map(\.description), counters: counters)
    }

    private static func witnesses(_ told: PunchWitnesses) throws(OperationFailure) -> [HostAndPort] {
        guard told.witnesses.count <= PunchOperation.maximumWitnesses else {
            throw OperationFailure("more than \(PunchOperation.maximumWitnesses) witnesses")
        }
        var witnesses: [HostAndPort] = []
        for text in told.witnesses {
            guard let witness = HostAndPort(text), witness.port != 0 else {
                throw OperationFailure("\(UntrustedText(text)) is not of the form host:port")
            }
            witnesses.append(witness)
        }
        return witnesses
    }

    // MARK: - JSON

    private static func decode<Value: Decodable>(
        _ type: Value.Type, _ body: [UInt8]
    ) throws(OperationFailure) -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(body))
        } catch {
            throw OperationFailure("the body is not what the operation takes")
        }
    }

    private static func encode(_ value: some Encodable) throws(OperationFailure) -> [UInt8] {
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = .sortedKeys
            return [UInt8](try encoder.encode(value))
        } catch {
            throw OperationFailure("the answer cannot be written: \(error)")
        }
    }
}
