// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetControl
internal import ArgumentParser
internal import FoundationEssentials
internal import Glibc
internal import UnixSignals

struct TopCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top", abstract: "The dashboard on a terminal: verdict, chain, node, links, incidents, live.",
        discussion: """
            q, Ctrl-C or Ctrl-D ends it. Without a terminal, and on one that cannot move the cursor (TERM=dumb), it \
            prints one picture as with --once. NO_COLOR turns colours off. docs/dashboard.md explains the picture.
            """)

    /// How long one round of questions may take: longer, and the picture would show the past as the present.
    static let patience = Duration.seconds(5)
    /// The most incidents that are asked for: more than any screen has room for.
    static let maximumIncidents = 100

    @OptionGroup var daemon: DaemonOptions

    @Option(help: "Seconds between two pictures, from 0.5 to 60.")
    var interval = 1.0

    @Flag(help: "Print one picture and end; with a status other than 0 when altnetd does not answer.")
    var once = false

    func validate() throws {
        guard (0.5...60).contains(self.interval) else {
            throw ValidationError("--interval must be from 0.5 to 60 seconds")
        }
    }

    func run() async throws {
        if self.daemon.json {
            try await self.daemon.show({ try await Self.ask($0) }) { _ in "" }
            return
        }
        let client = try self.daemon.client()
        if self.once || !Terminal.isInteractive {
            try await Self.printOnce(client)
            return
        }
        // Before the terminal is changed, so that no signal leaves it changed.
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint, .sighup, .sigquit)
        guard let terminal = Terminal() else {
            throw Failure.exit("the terminal cannot be set up: \(String(cString: strerror(errno))); try --once")
        }
        defer { terminal.restore() }
        let interval = Duration.milliseconds(Int64(self.interval * 1000))
        // Whichever ends first ends the others: a key, a signal, or the terminal going away.
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await terminal.waitForEnd() }
            group.addTask {
                for await _ in signals { break }
            }
            group.addTask { await Self.draw(client, on: terminal, every: interval) }
            await group.next()
            group.cancelAll()
        }
    }

    private static var now: WallClockTime {
        WallClockTime(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
    }

    private static func printOnce(_ client: ControlClient) async throws {
        let answer = await Self.answer(client)
        // Nothing is cut off at the bottom: whoever reads this can scroll.
        let picture = TopPicture(
            width: Terminal.size?.width ?? Terminal.widthWithoutTerminal, height: .max,
            colour: Terminal.hasColour, now: Self.now, takesKeys: false)
        switch answer {
        case .success(let answer):
            print(picture.lines(answer).joined(separator: "\n"))
        case .failure(let error):
            print(picture.lines(noAnswer: error.description).joined(separator: "\n"))
            throw ExitCode.failure
        }
    }

    /// Asks and draws until it is cancelled or the terminal takes no more.
    private static func draw(_ client: ControlClient, on terminal: Terminal, every interval: Duration) async {
        var lastAnswer: WallClockTime?
        while !Task.isCancelled {
            let next = ContinuousClock.now + interval
            let answer = await Self.answer(client)
            guard !Task.isCancelled else { return }
            let now = Self.now
            if case .success = answer { lastAnswer = now }
            var drawn: Terminal.Size?
            repeat {
                let size = Terminal.size ?? Terminal.usualSize
                if size != drawn {
                    let picture = TopPicture(
                        width: size.width, height: size.height, colour: Terminal.hasColour, now: now)
                    let lines =
                        switch answer {
                        case .success(let answer): picture.lines(answer)
                        case .failure(let error):
                            picture.lines(noAnswer: error.description, lastAnswer: lastAnswer)
                        }
                    guard terminal.show(lines, height: size.height) else { return }
                    drawn = size
                }
                // A changed size is noticed within half a second, however long the interval is.
                let pause = min(.milliseconds(500), max(.zero, next - ContinuousClock.now))
                do { try await Task.sleep(for: pause) } catch { return }
            } while ContinuousClock.now < next
        }
    }

    /// One round of questions, or why there is no answer; within ``patience``.
    private static func answer(_ client: ControlClient) async -> Result<TopAnswer, ControlError> {
        await withTaskGroup(of: Result<TopAnswer, ControlError>.self) { group in
            group.addTask {
                do throws(ControlError) {
                    return .success(try await Self.ask(client))
                } catch {
                    return .failure(error)
                }
            }
            group.addTask {
                try? await Task.sleep(for: Self.patience)
                return .failure(ControlError("nothing came within \(Self.patience.components.seconds) seconds"))
            }
            let first = await group.next()
            group.cancelAll()
            return first ?? .failure(ControlError("it was not asked"))
        }
    }

    private static func ask(_ client: ControlClient) async throws(ControlError) -> TopAnswer {
        TopAnswer(
            status: try await client.status(), safe: try await client.safe(), node: try await client.node(),
            links: try await client.links(), tips: try await client.tips(),
            incidents: try await client.incidents(limit: Self.maximumIncidents, onlyOpen: true))
    }
}

/// The terminal that the process was started on, while it shows pictures instead of a scroll of lines.
private struct Terminal: Sendable {
    struct Size: Hashable {
        var width: Int
        var height: Int
    }

    /// For a terminal that does not tell its size.
    static let usualSize = Size(width: 80, height: 24)
    /// Of lines that go to a file or a program: room for every column.
    static let widthWithoutTerminal = 120
    /// How often keys are looked for: quick enough to feel like at once.
    private static let keyInterval = Duration.milliseconds(50)

    /// What it was like before.
    private let original: termios

    /// Whether pictures can be shown and keys be read.
    static var isInteractive: Bool {
        isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1 && !Self.isDumb
    }

    /// <https://no-color.org>: set and not empty.
    static var hasColour: Bool {
        isatty(STDOUT_FILENO) == 1 && !Self.isDumb && (Self.environment("NO_COLOR") ?? "").isEmpty
    }

    /// Absent when the output is no terminal, or one that does not know.
    static var size: Size? {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else { return nil }
        return Size(width: min(Int(size.ws_col), TopPicture.widths.upperBound), height: Int(size.ws_row))
    }

    private static var isDumb: Bool { ["", "dumb"].contains(Self.environment("TERM") ?? "") }

    private static func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    /// Takes keys one by one and unseen, and opens the alternate screen without a cursor; nil when it cannot, with
    /// `errno`.
    init?() {
        var original = termios()
        guard tcgetattr(STDIN_FILENO, &original) == 0 else { return nil }
        self.original = original
        var raw = original
        cfmakeraw(&raw)
        guard tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) == 0 else { return nil }
        _ = Self.write("\u{1b}[?1049h\u{1b}[?25l")
    }

    /// Makes the terminal as it was.
    func restore() {
        _ = Self.write("\u{1b}[0m\u{1b}[?25h\u{1b}[?1049l")
        var original = self.original
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &original)
    }

    /// Replaces the picture; false when the terminal is gone. Lines are cleared before they are written, because
    /// clearing after a line that fills the width would take its last character.
    func show(_ lines: [String], height: Int) -> Bool {
        let picture = "\u{1b}[H" + lines.map { "\u{1b}[2K\($0)" }.joined(separator: "\r\n")
        return Self.write(picture + (lines.count < height ? "\r\n\u{1b}[J" : ""))
    }

    /// Returns when q, Ctrl-C or Ctrl-D was pressed, the terminal went away, or the task is cancelled.
    func waitForEnd() async {
        while !Task.isCancelled {
            var descriptor = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
            if poll(&descriptor, 1, 0) > 0 {
                var keys = [UInt8](repeating: 0, count: 64)
                let count = read(STDIN_FILENO, &keys, keys.count)
                if count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN) { return }
                // Ctrl-C is 3 and Ctrl-D is 4.
                if keys.prefix(max(0, count)).contains(where: { [UInt8(ascii: "q"), 3, 4].contains($0) }) { return }
            }
            do { try await Task.sleep(for: Self.keyInterval) } catch { return }
        }
    }

    private static func write(_ text: String) -> Bool {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            if count < 0 {
                guard errno == EINTR else { return false }
                continue
            }
            bytes = bytes.dropFirst(count)
        }
        return true
    }
}
