// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetLightning
public import AltNetLightningAttachment
internal import Dispatch
internal import Glibc
internal import Logging
internal import Synchronization

/// The main function of a Core Lightning plugin that carries Bitcoin objects and messages over the node's connections.
public enum CoreLightningPlugin {
    /// The types that lightningd hands to us: objects and streams over custom messages, `peer_alt_addr`,
    /// `directed_message` and `directed_reply`.
    public static let messageTypes: Set<UInt16> = Set<UInt16>([209, 385, 386])
        .union(stride(from: BitcoinMessage.TypeNumber.request, through: StreamTypeNumber.reset, by: 2))

    /// Pauses between attempts to attach: the first, and the longest.
    static let firstPause = Duration.seconds(1)
    static let longestPause = Duration.seconds(60)
    /// How long the work may take to end when lightningd stops. lightningd kills us after 30 seconds.
    static let patience = Duration.seconds(5)

    /// Whether lightningd has started this process: it sets `LIGHTNINGD_PLUGIN` for its plugins.
    public static var isRequested: Bool {
        getenv("LIGHTNINGD_PLUGIN").map { String(cString: $0) } == "1"
    }

    /// Speaks with lightningd on standard input and output until it stops us, and exits the process with status 0; with
    /// 1 when lightningd said something that cannot be understood.
    ///
    /// Log messages go to lightningd's log; nothing else may be written to standard output. Hooks are answered
    /// whatever `attach` does.
    ///
    /// - Parameters:
    ///   - messageTypes: the custom messages that are for us.
    ///   - judge: looks at what lightningd said before the plugin is ready; a sentence disables the plugin, and
    ///     lightningd goes on without it. It has less than a minute. By default it compares the networks.
    ///   - attach: uses the node until that is over. It is called again, after 1 to 60 seconds, when it has returned or
    ///     thrown, as it does when altnetd is not there. It is cancelled when lightningd stops, and has 5 seconds then.
    public static func run(
        messageTypes: Set<UInt16> = Self.messageTypes,
        judge: @escaping @Sendable (PluginConfiguration) async -> String? = { $0.networkObjection },
        attach: @escaping @Sendable (any LightningAttachment, PluginConfiguration) async throws -> Void
    ) async -> Never {
        signal(SIGPIPE, SIG_IGN)
        // An interrupt at the terminal reaches lightningd too, which decides when we stop.
        signal(SIGINT, SIG_IGN)
        let shell = PluginShell(messageTypes: messageTypes)
        LoggingSystem.bootstrap { _ in PluginLogHandler(output: shell.output) }
        shell.start()
        var work: Task<Void, Never>?
        for await signal in shell.signals {
            switch signal {
            case .initialise(let configuration):
                let reason = await judge(configuration)
                shell.answerInitialisation(disabling: reason)
                guard reason == nil else { continue }
                work = Task { await Self.attachAgainAndAgain(configuration, queue: shell.queue, attach) }
            case .end(let failure):
                await Self.end(work)
                if let failure { Logger(label: "plugin").error("\(failure)") }
                shell.output.flush()
                exit(failure == nil ? 0 : 1)
            }
        }
        // The signals have no other end.
        exit(1)
    }

    private static func attachAgainAndAgain(
        _ configuration: PluginConfiguration, queue: EventQueue,
        _ attach: @Sendable (any LightningAttachment, PluginConfiguration) async throws -> Void
    ) async {
        let logger = Logger(label: "plugin")
        var pause = Self.firstPause
        while !Task.isCancelled {
            let start = ContinuousClock.now
            let reason: String
            do {
                let attachment = try await CoreLightningAttachment(configuration, queue: queue)
                try await attach(attachment, configuration)
                reason = "altnetd let the driver go"
            } catch {
                reason = "\(error)"
            }
            guard !Task.isCancelled else { return }
            // What ran for a while was no failed start.
            if ContinuousClock.now - start >= Self.longestPause { pause = Self.firstPause }
            logger.warning("\(reason); the next attempt follows in \(Int(pause.inSeconds)) s")
            try? await Task.sleep(for: pause)
            pause = min(pause * 2, Self.longestPause)
        }
    }

    /// Cancels the work and waits until it has ended, but not for long.
    private static func end(_ work: Task<Void, Never>?) async {
        guard let work else { return }
        work.cancel()
        let (ends, continuation) = AsyncStream.makeStream(of: Void.self)
        Task {
            await work.value
            continuation.finish()
        }
        Task {
            try? await Task.sleep(for: Self.patience)
            continuation.finish()
        }
        for await _ in ends {}
    }
}

/// Standard input and output around a ``PluginSession``.
final class PluginShell: Sendable {
    enum Signal: Sendable {
        case initialise(PluginConfiguration)
        /// lightningd is done with us, or said something that cannot be understood.
        case end(PluginProtocolError?)
    }

    let output = PluginOutputPipe(descriptor: STDOUT_FILENO)
    let queue = EventQueue()
    let signals: AsyncStream<Signal>
    private let continuation: AsyncStream<Signal>.Continuation
    private let session: Mutex<PluginSession>
    /// Made when it is used: only then is it known where logs go.
    private var logger: Logger { Logger(label: "plugin") }

    init(messageTypes: Set<UInt16>) {
        self.session = Mutex(PluginSession(manifest: PluginManifest(messageTypes: messageTypes)))
        (self.signals, self.continuation) = AsyncStream.makeStream()
    }

    /// Begins to read.
    func start() {
        PluginInputPipe.read(descriptor: STDIN_FILENO) {
            self.onBytes($0)
        } onEnd: {
            self.end(nil)
        }
    }

    /// Tells lightningd that the plugin is ready, or why it is not.
    func answerInitialisation(disabling reason: String?) {
        for directive in self.session.withLock({ $0.answerInitialisation(disabling: reason) }) {
            self.carryOut(directive)
        }
    }

    private func onBytes(_ bytes: [UInt8]) -> Bool {
        do throws(PluginProtocolError) {
            let directives = try self.session.withLock { session throws(PluginProtocolError) in
                try session.onBytes(bytes)
            }
            for directive in directives { self.carryOut(directive) }
            return true
        } catch {
            self.end(error)
            return false
        }
    }

    private func carryOut(_ directive: PluginDirective) {
        switch directive {
        case .write(let bytes): self.output.write(bytes)
        case .initialise(let configuration): self.continuation.yield(.initialise(configuration))
        case .event(let event):
            let now = MonotonicInstant(
                nanoseconds: Int64(clamping: DispatchTime.now().uptimeNanoseconds))
            if let dropped = self.queue.offer(event, now: now) {
                self.logger.warning("\(dropped) events of the Lightning node were dropped: the driver is too slow")
            }
        case .ignored(let reason): self.logger.warning("\(reason)")
        case .end: self.end(nil)
        }
    }

    private func end(_ failure: PluginProtocolError?) {
        self.queue.finish()
        self.continuation.yield(.end(failure))
    }
}
