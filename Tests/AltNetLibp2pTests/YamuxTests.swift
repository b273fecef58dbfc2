// SPDX-License-Identifier: MIT

import AltNetBase
import Testing

@testable import AltNetLibp2p

@Suite("Yamux")
struct YamuxTests {
    static let window = YamuxLimits.initialWindow

    static func frame(
        _ kind: YamuxHeader.Kind, _ flags: YamuxHeader.Flags = [], stream: UInt32 = 0, length: Int = 0,
        body: [UInt8] = []
    ) -> [UInt8] {
        var bytes: [UInt8] = []
        YamuxHeader(kind, flags, stream: stream, length: UInt32(length)).append(to: &bytes)
        return bytes + body
    }

    /// A server that has been told these frames.
    static func server(limits: YamuxLimits = YamuxLimits()) -> Yamux {
        Yamux(isClient: false, limits: limits, now: .zero)
    }

    static let opened = frame(.windowUpdate, .syn, stream: 1)

    @Test("Frames are the bytes of the specification")
    func bytes() {
        var client = Yamux(isClient: true, limits: YamuxLimits(), now: .zero)
        let id = client.open()
        #expect(Hex.encode(client.output) == "000100010000000100000000")
        client.output = []
        if let id { _ = client.send([0xaa, 0xbb][...], on: id) }
        #expect(Hex.encode(client.output) == "000000000000000100000002aabb")
        client.output = []
        if let id { client.end(id) }
        #expect(Hex.encode(client.output) == "000100040000000100000000")
        client.output = []
        client.ping()
        #expect(Hex.encode(client.output) == "000200010000000000000001")
        client.output = []
        client.goAway(code: 1)
        #expect(Hex.encode(client.output) == "000300000000000000000001")
        if let id { client.reset(id) }
        #expect(Hex.encode(client.output.suffix(12)) == "000100080000000100000000")
    }

    @Test("A stream that is opened is acknowledged, and a ping is answered with its value")
    func answers() throws {
        var server = Self.server()
        _ = try server.onBytes(Self.opened[...], now: .zero)
        #expect(server.output == Self.frame(.windowUpdate, .ack, stream: 1))
        server.output = []
        _ = try server.onBytes(Self.frame(.ping, .syn, length: 77)[...], now: .zero)
        #expect(server.output == Self.frame(.ping, .ack, length: 77))
    }

    struct Breach: Sendable, CustomTestStringConvertible {
        let name: String
        let frames: [[UInt8]]
        let error: YamuxError

        var testDescription: String { self.name }
    }

    static let breaches = [
        Breach(name: "version", frames: [[1] + [UInt8](repeating: 0, count: 11)], error: .unknownVersion(1)),
        Breach(name: "type", frames: [[0, 4] + [UInt8](repeating: 0, count: 10)], error: .unknownType(4)),
        Breach(
            name: "flags", frames: [[0, 2, 0x10, 0] + [UInt8](repeating: 0, count: 8)], error: .unknownFlags(0x1000)),
        Breach(name: "ping for a stream", frames: [frame(.ping, .syn, stream: 3)], error: .wrongStream(3)),
        Breach(name: "data for the connection", frames: [frame(.data, length: 1)], error: .wrongStream(0)),
        Breach(name: "our number", frames: [frame(.windowUpdate, .syn, stream: 2)], error: .wrongParity(2)),
        Breach(name: "opened twice", frames: [opened, opened], error: .streamInUse(1)),
        Breach(name: "never opened", frames: [frame(.data, stream: 5, length: 1)], error: .streamNeverOpened(5)),
        Breach(name: "never opened by us", frames: [frame(.windowUpdate, stream: 2)], error: .streamNeverOpened(2)),
        Breach(
            name: "window", frames: [opened, frame(.data, stream: 1, length: window + 1)], error: .windowExceeded(1)),
        Breach(
            name: "window, little by little",
            frames: [
                opened, frame(.data, stream: 1, length: window, body: [UInt8](repeating: 0, count: window)),
                frame(.data, stream: 1, length: 1),
            ], error: .windowExceeded(1)),
        Breach(
            name: "window of a stream that is gone",
            frames: [opened, frame(.windowUpdate, .rst, stream: 1), frame(.data, stream: 1, length: window + 1)],
            error: .windowExceeded(1)),
        Breach(
            name: "our window overflows",
            frames: [opened, frame(.windowUpdate, stream: 1, length: Int(UInt32.max))], error: .windowOverflow(1)),
        Breach(
            name: "data after the end",
            frames: [opened, frame(.data, .fin, stream: 1), frame(.data, stream: 1, length: 1)],
            error: .dataAfterEnd(1)),
    ]

    @Test("Every breach of the rules has its name", arguments: Self.breaches)
    func breach(_ breach: Breach) throws {
        var server = Self.server()
        for frame in breach.frames.dropLast() { _ = try server.onBytes(frame[...], now: .zero) }
        let last = try #require(breach.frames.last)
        #expect(throws: breach.error) { _ = try server.onBytes(last[...], now: .zero) }
    }

    @Test("Floods of pings, of openings and of empty frames end the connection after their allowance")
    func floods() throws {
        let limits = YamuxLimits()
        func allowed(_ expected: YamuxError, _ frame: (Int) -> [UInt8]) throws -> Int {
            var server = Self.server()
            _ = try server.onBytes(Self.opened[...], now: .zero)
            for count in 0..<100_000 {
                do {
                    _ = try server.onBytes(frame(count)[...], now: .zero)
                } catch {
                    #expect(error == expected)
                    return count
                }
                server.output = []
            }
            return .max
        }
        #expect(try allowed(.tooManyPings) { _ in Self.frame(.ping, .syn) } == limits.pings.burst)
        #expect(try allowed(.tooManyPings) { _ in Self.frame(.ping, .ack) } == limits.pings.burst)
        #expect(try allowed(.tooManyEmptyFrames) { _ in Self.frame(.data, stream: 1) } == limits.emptyFrames.burst)
        // One was opened before. Opening and resetting in one go costs as much.
        let openings = try allowed(.tooManyOpenings) {
            Self.frame(.windowUpdate, [.syn, .rst], stream: UInt32($0 * 2 + 3))
        }
        #expect(openings == limits.openings.burst - 1)
    }

    @Test("More streams than allowed are refused with a reset, and closed ones make room")
    func inboundLimit() throws {
        var limits = YamuxLimits()
        limits.inboundStreams = 2
        var server = Self.server(limits: limits)
        for number in [UInt32(1), 3] {
            _ = try server.onBytes(Self.frame(.windowUpdate, .syn, stream: number)[...], now: .zero)
        }
        server.output = []
        let refused = try server.onBytes(Self.frame(.windowUpdate, .syn, stream: 5)[...], now: .zero)
        #expect(refused.isEmpty)
        #expect(server.output == Self.frame(.windowUpdate, .rst, stream: 5))
        _ = try server.onBytes(Self.frame(.data, stream: 5, length: 3, body: [1, 2, 3])[...], now: .zero)
        _ = try server.onBytes(Self.frame(.windowUpdate, .rst, stream: 1)[...], now: .zero)
        server.output = []
        _ = try server.onBytes(Self.frame(.windowUpdate, .syn, stream: 7)[...], now: .zero)
        #expect(server.output == Self.frame(.windowUpdate, .ack, stream: 7))
        #expect(server.count == 2)
    }

    @Test("We open as many streams as allowed, and one more when one has ended")
    func outboundLimit() throws {
        var limits = YamuxLimits()
        limits.outboundStreams = 2
        var client = Yamux(isClient: true, limits: limits, now: .zero)
        let opened = (0..<3).map { _ in client.open() }
        let first = try #require(opened[0])
        #expect(opened[1] != nil && opened[2] == nil)
        client.reset(first)
        let another = client.open()
        #expect(another != nil)
    }

    @Test("What nobody reads is bounded for the whole connection: the stream that brings more is reset")
    func unreadBound() throws {
        var limits = YamuxLimits()
        limits.unreadBytes = 2 * Self.window
        var server = Self.server(limits: limits)
        let body = [UInt8](repeating: 7, count: Self.window)
        var resets = 0
        for number in stride(from: UInt32(1), to: 21, by: 2) {
            _ = try server.onBytes(Self.frame(.windowUpdate, .syn, stream: number)[...], now: .zero)
            let data = Self.frame(.data, stream: number, length: Self.window, body: body)
            for event in try server.onBytes(data[...], now: .zero) {
                if case .reset(_, .tooMuchUnread) = event { resets += 1 }
            }
            #expect(server.unread <= limits.unreadBytes)
        }
        #expect(resets == 8)
        #expect(server.count == 2)
    }

    @Test("A stale handle of a stream does nothing to a later one with the same number")
    func reuse() throws {
        var server = Self.server()
        guard case .opened(let first)? = try server.onBytes(Self.opened[...], now: .zero).first else {
            Issue.record("no stream")
            return
        }
        _ = try server.onBytes(Self.frame(.windowUpdate, .rst, stream: 1)[...], now: .zero)
        _ = try server.onBytes(Self.opened[...], now: .zero)
        _ = try server.onBytes(Self.frame(.data, stream: 1, length: 5, body: [1, 2, 3, 4, 5])[...], now: .zero)
        server.output = []
        server.reset(first)
        server.consumed(5, on: first)
        server.end(first)
        #expect(server.output.isEmpty && server.unread == 5 && server.count == 1)
    }
}
