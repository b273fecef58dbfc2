// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import Glibc

/// One ``SimultaneousOpen``, from the first socket to the one that remains. Blocks a thread. All sockets belong to one
/// function, so that each way out of it closes them.
struct OpeningRace: Sendable {
    /// What was won, with the duty to close it.
    struct Won: Sendable {
        let descriptor: Int32
        let wasAccepted: Bool
        let remote: SocketEndpoint
        let local: SocketEndpoint
        let syns: Int
        let at: MonotonicInstant
    }

    /// How many connections of strangers are reset before the listener is closed.
    private static let maximumStrangers = 16

    private typealias Failure = SimultaneousOpen.Failure

    private let plan: SimultaneousOpen.Plan
    private let local: SocketEndpoint
    private let remote: SocketEndpoint

    init(_ plan: SimultaneousOpen.Plan, from port: ReusedPort) throws(SimultaneousOpen.Failure) {
        func invalid(_ what: String) -> Failure { Failure(reason: .invalidPlan(what), syns: 0) }
        guard let remote = SocketEndpoint(plan.remote), remote.port > 0 || !plan.dials else {
            throw invalid("\(plan.remote) is not an IP address with a port")
        }
        guard remote.family == port.endpoint.family else {
            throw invalid("\(plan.remote) cannot be reached from \(port.address), which is of another family")
        }
        guard plan.dials || plan.listens else { throw invalid("the plan neither connects nor listens") }
        guard (1...SimultaneousOpen.maximumSynBudget).contains(plan.synBudget) else {
            throw invalid(
                "a budget of \(plan.synBudget) SYNs is not between 1 and \(SimultaneousOpen.maximumSynBudget)")
        }
        self.plan = plan
        self.local = port.endpoint
        self.remote = remote
    }

    func run(until stop: StopSignal) -> Result<Won, SimultaneousOpen.Failure> {
        do throws(SimultaneousOpen.Failure) {
            return .success(try self.race(stop))
        } catch {
            return .failure(error)
        }
    }

    private func race(_ stop: StopSignal) throws(SimultaneousOpen.Failure) -> Won {
        var tries = OpeningTries(self.plan)
        var listener: OwnedSocket? = self.plan.listens ? try self.listen() : nil
        var strangers = 0
        var dial: OwnedSocket?
        while true {
            let now = MonotonicInstant.now
            if let moment = tries.ends, now >= min(moment, self.plan.deadline) {
                tries.finish(.noAnswer, retransmissions: dial?.retransmissions ?? 0, now: now)
                dial = nil
            }
            guard now < self.plan.deadline else { throw tries.failure }
            if let moment = tries.next, now >= moment { dial = try self.beginTry(&tries, now: now) }
            guard dial != nil || listener != nil || tries.next != nil else { throw tries.failure }

            let wake = [self.plan.deadline, tries.ends, tries.next].compactMap { $0 }.min() ?? now
            let ready = Self.wait([stop.reading, dial?.descriptor ?? -1, listener?.descriptor ?? -1], until: wake)
            guard !ready[0] else { throw Failure(reason: .cancelled, syns: tries.syns) }
            if ready[1], let socket = dial.take() {
                let code = socket.pendingError
                let retransmissions = socket.retransmissions
                guard code != 0 else {
                    return Won(socket, from: self.remote, wasAccepted: false, syns: tries.syns + 1 + retransmissions)
                }
                tries.finish(OpeningTries.Ending(code), retransmissions: retransmissions, now: .now)
            }
            guard ready[2] else { continue }
            switch Self.accept(on: listener?.descriptor ?? -1) {
            case .nobody: break
            case .failed(let code):
                // It stays readable as long as this lasts: to wait for it would be to spin.
                listener = nil
                guard self.plan.dials else {
                    throw Failure(
                        reason: .system(SocketFailure("accept on \(self.local.text)", code: code)), syns: tries.syns)
                }
            case .connection(let socket):
                if let from = socket.remote, self.isWanted(from) {
                    let underWay = dial == nil ? 0 : 1 + (dial?.retransmissions ?? 0)
                    return Won(socket, from: from, wasAccepted: true, syns: tries.syns + underWay)
                }
                socket.resetOnClose()
                strangers += 1
                // Whoever floods the port takes nothing but the listener from us.
                if strangers >= Self.maximumStrangers { listener = nil }
            }
        }
    }

    /// While we connect, only the same two ends make the one connection that the other side means, too; unless it is known
    /// to come from another port.
    private func isWanted(_ from: SocketEndpoint) -> Bool {
        self.plan.dials && !self.plan.acceptsAnyPort ? from == self.remote : from.address == self.remote.address
    }

    // MARK: - Sockets

    private func listen() throws(SimultaneousOpen.Failure) -> OwnedSocket {
        do throws(SocketFailure) {
            let socket = try OwnedSocket.sharing(self.local)
            guard Glibc.listen(socket.descriptor, Int32(Self.maximumStrangers)) == 0 else {
                throw SocketFailure("listen on \(self.local.text)")
            }
            return socket
        } catch {
            throw Failure(reason: .system(error), syns: 0)
        }
    }

    /// Sends a SYN; `nil` when the try was over at once.
    private func beginTry(
        _ tries: inout OpeningTries, now: MonotonicInstant
    ) throws(SimultaneousOpen.Failure) -> OwnedSocket? {
        tries.begin(now: now)
        do throws(SocketFailure) {
            let socket = try OwnedSocket.sharing(self.local)
            try socket.set(Int32(IPPROTO_TCP), TCP_SYNCNT, 1)
            let descriptor = socket.descriptor
            let result = self.remote.withSocketAddress { connect(descriptor, $0, $1) }
            // A connection that stands at once is found writable.
            guard result != 0, errno != EINPROGRESS else { return socket }
            let code = errno
            switch code {
            case EADDRNOTAVAIL, EADDRINUSE, ECONNREFUSED, ECONNRESET, EINTR, EAGAIN:
                tries.finish(OpeningTries.Ending(code), retransmissions: 0, now: .now)
                return nil
            default: throw SocketFailure("connect to \(self.remote.text)", code: code)
            }
        } catch {
            throw Failure(reason: .system(error), syns: tries.syns)
        }
    }

    /// What a listener that is readable gave.
    enum Accepted: ~Copyable {
        case connection(OwnedSocket)
        /// Whoever was there has gone, or the network lost the connection.
        case nobody
        /// The system cannot accept: no descriptors or no memory, most likely.
        case failed(Int32)
    }

    static func accept(on listener: Int32) -> Accepted {
        let descriptor = Glibc.accept(listener, nil, nil)
        guard descriptor >= 0 else {
            let code = errno
            return Self.isOneConnection(code) ? .nobody : .failed(code)
        }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
        return .connection(OwnedSocket(adopting: descriptor))
    }

    /// Whether an error of `accept` is about one connection, so that the next may succeed: accept(2), "Error handling".
    static func isOneConnection(_ code: Int32) -> Bool {
        switch code {
        case EAGAIN, EINTR, ECONNABORTED, ENETDOWN, EPROTO, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP,
            ENETUNREACH:
            true
        default: false
        }
    }

    /// Waits until something happens on one of the descriptors, or the moment has come; which of them are ready.
    /// Negative ones are left out.
    private static func wait(_ descriptors: [Int32], until moment: MonotonicInstant) -> [Bool] {
        var entries = descriptors.enumerated().map { index, descriptor in
            // Only the second one, the socket that connects, is waited for until it can be written to.
            pollfd(fd: descriptor, events: Int16(index == 1 ? POLLOUT : POLLIN), revents: 0)
        }
        let left = max(0, (moment - .now).wholeNanoseconds)
        // Rounded up: to wake before the moment would be to spin.
        let milliseconds = Int32(clamping: left / 1_000_000 + (left % 1_000_000 == 0 ? 0 : 1))
        guard poll(&entries, nfds_t(entries.count), milliseconds) > 0 else {
            return descriptors.map { _ in false }
        }
        return entries.map { $0.revents != 0 }
    }
}

extension OpeningRace.Won {
    fileprivate init(_ socket: consuming OwnedSocket, from remote: SocketEndpoint, wasAccepted: Bool, syns: Int) {
        self.local = socket.local ?? remote
        self.remote = remote
        self.wasAccepted = wasAccepted
        self.syns = syns
        self.at = .now
        self.descriptor = socket.release()
    }
}
