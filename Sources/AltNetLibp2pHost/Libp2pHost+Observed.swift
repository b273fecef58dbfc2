// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDialing
public import AltNetPeerRecords
internal import AltNetTransport
internal import Synchronization

/// What peers have said about our own address, with the names that the machine knows connections by.
struct ObservedState {
    var machine = ObservedAddresses()
    var names: [ObjectIdentifier: ObservedAddresses.ConnectionID] = [:]
    var last: UInt64 = 0

    mutating func name(of link: Libp2pLink) -> ObservedAddresses.ConnectionID {
        if let name = self.names[ObjectIdentifier(link)] { return name }
        self.last += 1
        let name = ObservedAddresses.ConnectionID(self.last)
        self.names[ObjectIdentifier(link)] = name
        return name
    }
}

extension Libp2pHost {
    /// Our hosts' addresses, without a port, on which peers in enough networks agree. Not all of them can be reached.
    public var observedHosts: [Multiaddress] { self.observed.withLock { $0.machine.hosts(now: .now) } }

    /// A peer says where it sees us. What enough of them agree on becomes part of our record.
    func take(observed: Multiaddress, by link: Libp2pLink) async {
        // Through a proxy, peers see the proxy's address, which is not ours to announce.
        guard self.configuration.proxy == nil, let place = link.place.address else { return }
        let outcome = self.observed.withLock { state in
            let outcome = state.machine.onObserved(
                observed, by: link.peer, at: place, over: state.name(of: link),
                link.isInbound ? .inbound : .outbound, now: .now)
            // It may have ended before this was known of it.
            if !link.isOpen { state.close(link) }
            return outcome
        }
        guard outcome == .counted else { return }
        await self.confirmObserved()
    }

    /// A connection has ended. What its peer said counts for a while yet.
    func forgetObserver(_ link: Libp2pLink) {
        self.observed.withLock { $0.close(link) }
    }

    /// Withdraws what does not count any more: nobody says so when its time is over, or when this machine moves.
    func watchObserved(interval: Duration) -> Task<Void, Never> {
        let ways = self.localNetworks.surroundings.ways
        return Task { [weak self] in
            var ways = ways
            while (try? await Task.sleep(for: interval)) != nil, let self {
                let now = self.localNetworks.surroundings.ways
                if now != ways {
                    ways = now
                    await self.onMoved()
                }
                await self.confirmObserved()
            }
        }
    }

    /// This machine has other addresses than before.
    func onMoved() async {
        self.observed.withLock { $0.machine.onNetworkChanged() }
        let before = self.record
        await self.confirmObserved()
        await self.refreshRecord()
        if self.record != before { await self.pushIdentify() }
    }

    func confirmObserved() async {
        await self.confirm(self.observed.withLock { $0.machine.addresses(now: .now) })
    }
}

extension ObservedState {
    mutating func close(_ link: Libp2pLink) {
        guard let name = self.names.removeValue(forKey: ObjectIdentifier(link)) else { return }
        self.machine.onClosed(name, now: .now)
    }
}
