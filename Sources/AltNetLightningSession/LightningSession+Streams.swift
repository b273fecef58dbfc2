// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetLightning
internal import AltNetObjects

/// What a call of `onBytes` brought for streams, run together: a peer that sends its bytes one by one costs the rest of
/// the driver no more than one that sends them at once.
struct StreamInput: Sendable {
    private var queue = StreamQueue()

    /// What comes before anything else may be said of the stream.
    mutating func add(_ message: StreamMessage, of id: StreamID) {
        self.queue.add(message, of: id)
    }

    /// Takes everything.
    mutating func takeAll() -> [LinkDirective] {
        var directives: [LinkDirective] = []
        while let (id, message) = self.queue.next() { directives.append(.stream(id, message)) }
        return directives
    }
}

// Streams. The side that called counts its streams in even numbers, the other one in odd ones.
extension LightningSession {
    private var evenSide: StreamSide { self.expectedRemote == nil ? .remote : .us }

    mutating func sendStream(
        _ id: StreamID,
        _ message: StreamMessage,
        now: MonotonicInstant,
        _ directives: inout [LinkDirective]
    ) {
        if case .open = message, let refusal = self.refusalToOpen(now: now) {
            return directives.append(.stream(id, .refused(refusal)))
        }
        guard self.phase == .open else { return }
        do throws(StreamViolation) {
            switch try self.streams.onMessage(message, of: id, from: .us) {
            case .pass: self.sendStream(id, message, &directives)
            case .ignore: break
            case .refuse(let refusal): directives.append(.stream(id, .refused(refusal)))
            }
        } catch {
            guard self.streams.contains(id) else { return }
            _ = try? self.streams.onMessage(.reset(.violation), of: id, from: .us)
            self.sendStream(id, .reset(.violation), &directives)
            directives.append(.stream(id, .reset(.violation)))
        }
    }

    private mutating func refusalToOpen(now: MonotonicInstant) -> StreamRefusal? {
        if self.phase != .open { return .unavailable }
        if !self.peerTakesStreams { return .unsupported }
        return self.limits.sentStreams.take(now: now) ? nil : .busy
    }

    private mutating func sendStream(_ id: StreamID, _ message: StreamMessage, _ directives: inout [LinkDirective]) {
        self.send([.stream(number: id.number(even: self.evenSide), message)], &directives)
    }

    mutating func handleStream(
        _ number: UInt32,
        _ message: StreamMessage,
        now: MonotonicInstant,
        _ directives: inout [LinkDirective]
    ) {
        let id = StreamID(number: number, even: self.evenSide)
        if case .open = message, !self.limits.receivedStreams.take(now: now) {
            return self.close(.limitExceeded, "more streams than are allowed", &directives)
        }
        do throws(StreamViolation) {
            switch try self.streams.onMessage(message, of: id, from: .remote, hasRoom: true) {
            case .pass: break
            case .ignore: return
            case .refuse(let refusal): return self.sendStream(id, .refused(refusal), &directives)
            }
        } catch {
            return self.close(.protocolViolation, "\(error)", &directives)
        }
        if case .open = message, !self.configuration.takesStreams {
            _ = try? self.streams.onMessage(.refused(.notAccepted), of: id, from: .us)
            return self.sendStream(id, .refused(.notAccepted), &directives)
        }
        self.streamInput.add(message, of: id)
    }

    /// Hands on what came for streams.
    mutating func deliverStreams(_ directives: inout [LinkDirective]) {
        let delivered = self.streamInput.takeAll()
        // After the end of the link nothing follows.
        if self.phase == .open { directives += delivered }
    }
}
