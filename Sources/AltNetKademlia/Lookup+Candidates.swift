// SPDX-License-Identifier: MIT

internal import AltNetPeerRecords

extension Lookup {
    /// The next peer to ask, or `nil` when enough are being asked or none is left that must be.
    ///
    /// Asked must be the `k` closest of all and the closest of each path, those that failed not counted. Of these the
    /// path with the fewest requests under way comes first, so that peers that never answer hold up their own path only.
    func next() -> Int? {
        var underWay = Array(repeating: 0, count: self.paths)
        for candidate in self.candidates {
            if case .asked = candidate.state { underWay[candidate.path] += 1 }
        }
        guard underWay.reduce(0, +) < Self.parallelism else { return nil }
        var overall = 0
        var perPath = Array(repeating: 0, count: self.paths)
        var best: Int?
        for (index, candidate) in self.candidates.enumerated() where candidate.state != .failed {
            let isWanted = overall < RoutingTable.bucketSize || perPath[candidate.path] < Self.closestPerPath
            overall += 1
            perPath[candidate.path] += 1
            guard isWanted, candidate.state == .waiting else { continue }
            if let chosen = best, underWay[self.candidates[chosen].path] <= underWay[candidate.path] { continue }
            best = index
        }
        return best
    }

    /// Adds a peer that was named, at its place by distance; once only, and never ourselves.
    mutating func insert(_ peer: PeerID, path: Int) {
        guard peer != self.ourselves, self.known.insert(peer).inserted else { return }
        let distance = KademliaKey(peer).distance(to: self.place)
        var low = 0
        var high = self.candidates.count
        while low < high {
            let middle = (low + high) / 2
            if self.candidates[middle].distance < distance { low = middle + 1 } else { high = middle }
        }
        self.candidates.insert(Candidate(peer: peer, distance: distance, path: path, state: .waiting), at: low)
    }

    /// Keeps the number of peers bounded: of those that wait on a path, the farthest go. They stay known, so that they
    /// cannot come again and again; how many can be known is bounded by the number of requests.
    mutating func forgetFarthest(path: Int) {
        let waiting = self.candidates.indices.filter {
            self.candidates[$0].path == path && self.candidates[$0].state == .waiting
        }
        for index in waiting.dropFirst(Self.maximumWaiting).reversed() { self.candidates.remove(at: index) }
    }

    /// Whether the closest peers that are known on each path have answered. The peer that is looked for is not waited
    /// for: it may be gone.
    var haveClosestAnswered: Bool {
        var wanted: PeerID?
        if case .peer(let peer) = self.goal { wanted = peer }
        var perPath = Array(repeating: 0, count: self.paths)
        for candidate in self.candidates where candidate.state != .failed && candidate.peer != wanted {
            guard perPath[candidate.path] < Self.closestBeforeEnd else { continue }
            guard candidate.state == .answered else { return false }
            perPath[candidate.path] += 1
        }
        return true
    }

    /// How many providers are enough when so many are asked for.
    static func providers(_ count: Int) -> Int { min(max(1, count), Self.maximumProviders) }

    /// The providers that an answer has, each once, and not ourselves.
    mutating func takeProviders(of answer: KademliaMessage) -> [KademliaMessage.Peer] {
        guard case .providers(let count) = self.goal else { return [] }
        var taken: [KademliaMessage.Peer] = []
        for provider in answer.providers where provider.id != self.ourselves {
            if let index = self.findings.providers.firstIndex(where: { $0.id == provider.id }) {
                // A later answer may have the record that the first one lacked.
                guard self.findings.providers[index].signedRecord == nil, provider.signedRecord != nil else { continue }
                self.findings.providers[index] = provider
            } else {
                guard self.findings.providers.count < Self.providers(count) else { continue }
                self.findings.providers.append(provider)
            }
            taken.append(provider)
        }
        return taken
    }

    /// What an answer says of the very peer that is looked for.
    mutating func takeSightings(of news: [KademliaMessage.Peer]) {
        guard case .peer(let wanted) = self.goal else { return }
        // A peer that names it many times is one witness all the same.
        guard let sighting = news.first(where: { $0.id == wanted }) else { return }
        for address in sighting.addresses where self.findings.hearsay.count < Self.maximumHearsay {
            if !self.findings.hearsay.contains(address) { self.findings.hearsay.append(address) }
        }
        guard let envelope = sighting.signedRecord else { return }
        if envelope == self.findings.record?.envelope {
            self.witnesses += 1
            return
        }
        guard let record = try? CertifiedPeerRecord(verifying: envelope), record.record.peer == wanted else { return }
        let newest = self.findings.record?.record.sequence
        if newest == nil || record.record.sequence > newest ?? 0 {
            self.findings.record = record
            self.witnesses = 1
        }
    }

    /// The value that an answer has, if it is right.
    mutating func takeValue(of answer: KademliaMessage, from peer: PeerID) -> BadAnswer? {
        switch self.goal {
        case .value, .placesOfValue: break
        case .closest, .peer, .providers, .placesOfProviders: return nil
        }
        guard let record = answer.record, !record.value.isEmpty else { return nil }
        guard record.key.isEmpty || record.key == self.key else { return .otherKey }
        if record.value == self.findings.value {
            self.findings.holders.append(peer)
            return nil
        }
        do {
            try KademliaValue.check(record.value, for: self.key)
        } catch {
            return .badValue(error)
        }
        guard let best = self.findings.value else {
            self.findings.value = record.value
            self.findings.holders = [peer]
            return nil
        }
        if KademliaValue.isBetter(record.value, than: best, for: self.key) {
            self.findings.outdated += self.findings.holders
            self.findings.value = record.value
            self.findings.holders = [peer]
        } else {
            self.findings.outdated.append(peer)
        }
        return nil
    }
}
