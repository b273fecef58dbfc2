// SPDX-License-Identifier: MIT

internal import AsyncHTTPClient
internal import FoundationEssentials
internal import NIOCore
internal import NIOHTTP1

/// What comes over the stream of events.
public enum StreamedEvent: Hashable, Sendable {
    /// The stream has begun: what happens from now on is told. Ask for the present state after this.
    case connected
    case event(id: UInt64, ControlEvent)
    /// Events are missing: ask for everything again.
    case lost(resumeAfter: UInt64)
}

extension ControlClient {
    /// Hands on what happens, until the daemon ends the stream, `body` throws or the task is cancelled.
    ///
    /// - Parameter last: the number of the last event of an earlier stream, to go on after it; `nil` for what comes now.
    /// - Throws: ``ControlError`` when the daemon does not answer, and what `body` throws.
    public func events(after last: UInt64? = nil, _ body: (StreamedEvent) async throws -> Void) async throws {
        let answer = try await self.open("/v1/events", headers: last.map { [("Last-Event-ID", "\($0)")] } ?? [])
        try await body(.connected)
        var parser = EventStreamParser()
        do {
            for try await bytes in answer.body {
                for event in try parser.receive(bytes.readableBytesView) {
                    if let streamed = try Self.decode(event) { try await body(streamed) }
                }
            }
        } catch is EventStreamParser.TooLong {
            throw ControlError("altnetd sent an event of more than \(EventStreamParser.maximumLineBytes) bytes")
        } catch let error as HTTPClientError {
            throw ControlError("altnetd ended the stream of events: \(error)")
        }
    }

    /// `nil` for an event of a later version that we do not know.
    private static func decode(_ event: EventStreamParser.Event) throws(ControlError) -> StreamedEvent? {
        guard let id = event.id else { return nil }
        if event.name == "lost" { return .lost(resumeAfter: id) }
        guard let name = ControlEvent.Name(rawValue: event.name) else { return nil }
        let data = ByteBuffer(string: event.data)
        let known: ControlEvent =
            switch name {
            case .incident: .incident(try self.decode(data))
            case .tip: .tip(try self.decode(data))
            case .link: .link(try self.decode(data))
            case .node: .node(try self.decode(data))
            case .driver: .driver(try self.decode(data))
            case .alert: .alert(try self.decode(data))
            }
        return .event(id: id, known)
    }
}
