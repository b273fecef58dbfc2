// SPDX-License-Identifier: MIT

public import AltNetBase
internal import Dispatch
internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// Makes one TCP connection from a port that others share, by connecting, by being connected to, or by both at once
/// (RFC 9293, section 3.5: two SYNs that cross make one connection).
public enum SimultaneousOpen {
    /// The most SYNs to one remote address and port that any plan may allow: what a third party gets at the most when
    /// a peer lies about its address.
    public static let maximumSynBudget = 8
    /// How many may be under way at once in this process: twelve calls in both roles with two connections each, a check
    /// of the NAT in both families, and answers to the checks of others. Each has a thread, which mostly sleeps.
    public static let maximumAtOnce = 64

    /// How to go on after a refusal (RST), which says that one SYN came too early or too late for the NAT in between.
    public enum Rhythm: Hashable, Sendable {
        /// Again at once for most of the budget, so that the NAT on this side stays open without a gap.
        case dense
        /// Spread, each try several round trips after the last. When one side is dense and the other spread, then one
        /// of the tries of the second meets the open time of the first, although the clocks are further apart than
        /// one round trip. The protocol MUST give the two sides different rhythms.
        case spread
    }

    /// What is to be tried.
    public struct Plan: Hashable, Sendable {
        /// Numeric address and port of the other side.
        public var remote: HostAndPort
        /// When to send the first SYN. A listener stands before.
        public var at: MonotonicInstant
        /// When to give up.
        public var deadline: MonotonicInstant
        /// Whether to connect.
        public var dials: Bool
        /// Whether to accept a connection beside: from exactly ``remote`` where ``dials``, else from any port of its
        /// host. Others are reset.
        public var listens: Bool
        /// Whether to accept from any port of the host although we connect, too: where connecting is there to open a NAT.
        public var acceptsAnyPort: Bool
        public var rhythm: Rhythm
        /// How many SYNs may go out, retransmissions included; at most ``SimultaneousOpen/maximumSynBudget``.
        public var synBudget: Int

        public init(
            remote: HostAndPort, at: MonotonicInstant, deadline: MonotonicInstant, dials: Bool = true,
            listens: Bool = true, acceptsAnyPort: Bool = false, rhythm: Rhythm = .dense,
            synBudget: Int = SimultaneousOpen.maximumSynBudget
        ) {
            self.remote = remote
            self.at = at
            self.deadline = deadline
            self.dials = dials
            self.listens = listens
            self.acceptsAnyPort = acceptsAnyPort
            self.rhythm = rhythm
            self.synBudget = synBudget
        }
    }

    /// A connection that stands.
    public struct Opened: Sendable {
        public let connection: StreamConnection
        /// Whether it came in at the listener. A simultaneous open is not told from an ordinary connect.
        public let wasAccepted: Bool
        /// Our end of it, with the address that the system chose.
        public let local: HostAndPort
        /// SYNs that were sent in all, those of earlier tries included.
        public let syns: Int
        /// When it stood.
        public let at: MonotonicInstant
    }

    /// Why there is no connection, and how many SYNs were sent.
    public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        public enum Reason: Hashable, Sendable {
            /// The plan cannot be carried out: no numeric address, another family than the port, nothing to do.
            case invalidPlan(String)
            /// ``SimultaneousOpen/maximumAtOnce``.
            case tooManyAtOnce
            /// The system refuses: no route, no permission, no socket.
            case system(SocketFailure)
            /// All tries were answered with a reset or an ICMP message.
            case refused
            /// The last try was not answered, or nobody came.
            case noAnswer
            /// The same two ends have a connection already, or had one moments ago.
            case inUse
            case cancelled
        }

        public let reason: Reason
        public let syns: Int

        public var description: String {
            switch self.reason {
            case .invalidPlan(let what): what
            case .tooManyAtOnce: "\(SimultaneousOpen.maximumAtOnce) connections are being opened already"
            case .system(let failure): failure.description
            case .refused: "refused (\(self.syns) SYNs)"
            case .noAnswer: "no answer in time (\(self.syns) SYNs)"
            case .inUse: "the same two ends have, or just had, a connection"
            case .cancelled: "cancelled"
            }
        }
    }

    /// Carries out a plan. Whatever stands first is the connection, and everything else is closed before this returns.
    /// Cancelling the task closes all sockets.
    ///
    /// - Parameter onEvent: see ``StreamConnection``; called from the first ``StreamConnection/readMore()`` on.
    public static func run(
        _ plan: Plan, from port: ReusedPort, onEvent: @escaping @Sendable (StreamConnection.Event) -> Void
    ) async throws(Failure) -> Opened {
        let race = try OpeningRace(plan, from: port)
        guard let place = Place() else { throw Failure(reason: .tooManyAtOnce, syns: 0) }
        defer { place.leave() }
        let stop: StopSignal
        do throws(SocketFailure) {
            stop = try StopSignal()
        } catch {
            throw Failure(reason: .system(error), syns: 0)
        }
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                // A queue of its own has a thread at once, also when all of the pool's threads are busy.
                DispatchQueue(label: "altnet.simultaneous-open").async {
                    continuation.resume(returning: race.run(until: stop))
                }
            }
        } onCancel: {
            stop.raise()
        }
        let won = try result.get()
        do {
            let connection = try await StreamNetwork.adopt(won.descriptor, remote: won.remote.text, onEvent: onEvent)
            guard !Task.isCancelled else {
                connection.abort()
                throw Failure(reason: .cancelled, syns: won.syns)
            }
            return Opened(
                connection: connection, wasAccepted: won.wasAccepted, local: won.local.text, syns: won.syns, at: won.at)
        } catch let error as Failure {
            throw error
        } catch {
            // It stood, and was gone before anybody could have it.
            throw Failure(reason: .refused, syns: won.syns)
        }
    }

    /// How many are under way.
    static var underWay: Int { Place.taken.withLock { $0 } }

    /// One of the ``maximumAtOnce``.
    private struct Place {
        static let taken = Mutex(0)

        init?() {
            let isFree = Self.taken.withLock { taken in
                guard taken < SimultaneousOpen.maximumAtOnce else { return false }
                taken += 1
                return true
            }
            guard isFree else { return nil }
        }

        func leave() {
            Self.taken.withLock { $0 -= 1 }
        }
    }
}

/// Wakes a thread that waits in `poll`.
final class StopSignal: Sendable {
    /// Becomes readable when the signal is raised.
    let reading: Int32
    private let writing: Int32

    init() throws(SocketFailure) {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw SocketFailure("open a pipe") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        self.reading = ends[0]
        self.writing = ends[1]
    }

    func raise() {
        var byte: UInt8 = 0
        _ = write(self.writing, &byte, 1)
    }

    deinit {
        _ = close(self.reading)
        _ = close(self.writing)
    }
}

extension StreamNetwork {
    /// Makes a connection of a socket that stands already, and owns it from here on.
    fileprivate static func adopt(
        _ descriptor: Int32, remote: HostAndPort, onEvent: @escaping @Sendable (StreamConnection.Event) -> Void
    ) async throws -> StreamConnection {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.autoRead, value: false)
            .withConnectedSocket(descriptor).get()
        do {
            return try await Self.connection(on: channel, remote: remote.description, onEvent: onEvent)
        } catch {
            channel.close(promise: nil)
            throw error
        }
    }
}
