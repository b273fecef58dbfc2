// SPDX-License-Identifier: MIT

internal import HTTPTypes
internal import Hummingbird
internal import HummingbirdCore
internal import NIOCore

/// `GET /v1/events`: server-sent events (WHATWG HTML, section 9.2).
enum EventStream {
    static let contentType = "text/event-stream"
    /// A comment is sent when nothing else was for so long: so both sides notice that the other is gone.
    static let beat = Duration.seconds(15)
    /// Events in one write, so that a reader who catches up does not get 2 MB in one piece.
    private static let eventsPerWrite = 64
    /// After so many milliseconds a browser connects again.
    private static let retry = 2_000

    /// Tells of everything after an event, or from now on.
    static func response(
        _ hub: EventHub, after given: UInt64?, channel: any Channel, pass: Turnstile.Pass
    ) throws(ControlRefusal) -> Response {
        let start = given ?? hub.lastID
        guard let (wakes, id) = hub.subscribe() else { throw ControlRefusal(.unavailable, "altnetd is stopping") }
        channel.closeFuture.whenComplete { _ in hub.unsubscribe(id) }
        let body = ResponseBody { writer in
            defer {
                hub.unsubscribe(id)
                withExtendedLifetime(pass) {}
            }
            var last = start
            try await writer.write(ByteBuffer(string: "retry: \(Self.retry)\n\n"))
            for await _ in wakes {
                var isQuiet = true
                while let (text, read) = Self.next(hub, after: last) {
                    last = read
                    isQuiet = false
                    try await writer.write(ByteBuffer(string: text))
                }
                if isQuiet { try await writer.write(ByteBuffer(string: ":\n\n")) }
            }
            try await writer.finish(nil)
        }
        return Response(
            status: .ok, headers: [.contentType: Self.contentType, .connection: "close"], body: body)
    }

    /// What comes after an event, and the number of the last event in it.
    private static func next(_ hub: EventHub, after last: UInt64) -> (String, UInt64)? {
        switch hub.read(after: last, limit: Self.eventsPerWrite) {
        case .lost(let resumeAfter):
            return ("id: \(resumeAfter)\nevent: lost\ndata: {}\n\n", resumeAfter)
        case .events(let events):
            guard let end = events.last?.id else { return nil }
            return (events.map { "id: \($0.id)\nevent: \($0.name)\ndata: \($0.data)\n\n" }.joined(), end)
        }
    }
}
