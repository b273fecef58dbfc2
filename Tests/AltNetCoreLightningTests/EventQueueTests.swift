// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import AltNetLightningAttachment
import Testing

@testable import AltNetCoreLightning

@Suite("The queue between lightningd and the driver")
struct EventQueueTests {
    private static func message(_ number: Int, size: Int = 4) -> PluginEvent {
        .message(from: Nodes.one, [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: size))
    }

    @Test("asks for a list first, then gives what came in its order")
    func order() async {
        let queue = EventQueue()
        #expect(queue.offer(Self.message(0), now: .zero) == nil)
        queue.open()
        #expect(await queue.next() == .list)
        for number in 1...3 { #expect(queue.offer(Self.message(number), now: .zero) == nil) }
        for number in 1...3 { #expect(await queue.next() == .event(Self.message(number))) }
    }

    @Test("hands an event to a reader that waits for it")
    func waiting() async {
        let queue = EventQueue()
        queue.open()
        #expect(await queue.next() == .list)
        async let next = queue.next()
        _ = queue.offer(.connected(Nodes.two), now: .zero)
        #expect(await next == .event(.connected(Nodes.two)))
    }

    @Test("drops what is too much, and says so at once and then once a minute")
    func count() async {
        let queue = EventQueue()
        queue.open()
        for number in 0..<EventQueue.maximumEventsPerPeer {
            #expect(queue.offer(Self.message(number), now: .zero) == nil)
        }
        #expect(queue.offer(Self.message(0), now: .zero) == 1)
        let soon = MonotonicInstant.zero + .seconds(59)
        for _ in 0..<10 { #expect(queue.offer(Self.message(0), now: soon) == nil) }
        #expect(queue.offer(Self.message(0), now: .zero + .seconds(60)) == 11)
        #expect(await queue.next() == .list)
        for number in 0..<EventQueue.maximumEventsPerPeer {
            #expect(await queue.next() == .event(Self.message(number)))
        }
        #expect(queue.offer(Self.message(7), now: .zero) == nil)
        #expect(await queue.next() == .event(Self.message(7)))
    }

    @Test("gives each peer a share of its bytes, and takes more when there is room again")
    func bytes() async {
        let queue = EventQueue()
        queue.open()
        #expect(await queue.next() == .list)
        let size = EventQueue.maximumBytesPerPeer / 128
        for number in 0..<128 { #expect(queue.offer(Self.message(number, size: size), now: .zero) == nil) }
        #expect(queue.offer(Self.message(0, size: size), now: .zero) == 1)
        // Another peer's messages, onion messages and what has no bytes still fit.
        #expect(queue.offer(.message(from: Nodes.two, [1, 2]), now: .zero) == nil)
        #expect(queue.offer(.onionMessage(OnionDelivery(fields: [65: [1]])), now: .zero) == nil)
        #expect(queue.offer(.disconnected(Nodes.one), now: .zero) == nil)
        #expect(await queue.next() == .event(Self.message(0, size: size)))
        #expect(queue.offer(Self.message(0, size: size), now: .zero) == nil)
    }

    @Test("asks for a list again when a connection's event was lost: behind what came before, before what came after")
    func lostConnection() async {
        let queue = EventQueue()
        queue.open()
        #expect(await queue.next() == .list)
        for _ in 0..<EventQueue.maximumEvents { _ = queue.offer(.channelsChanged(Nodes.two), now: .zero) }
        #expect(queue.offer(.disconnected(Nodes.one), now: .zero) == 1)
        #expect(await queue.next() == .event(.channelsChanged(Nodes.two)))
        #expect(queue.offer(Self.message(1), now: .zero) == nil)
        for _ in 1..<EventQueue.maximumEvents { #expect(await queue.next() == .event(.channelsChanged(Nodes.two))) }
        #expect(await queue.next() == .list)
        #expect(await queue.next() == .event(Self.message(1)))
    }

    @Test("closed, it forgets what waits and ends its reader; it can be opened again")
    func closing() async {
        let queue = EventQueue()
        queue.open()
        _ = queue.offer(Self.message(1), now: .zero)
        queue.close()
        #expect(await queue.next() == nil)
        queue.open()
        #expect(await queue.next() == .list)
        _ = queue.offer(Self.message(2), now: .zero)
        #expect(await queue.next() == .event(Self.message(2)))
        async let next = queue.next()
        queue.close()
        #expect(await next == nil)
    }

    @Test("finished, it gives what waits and then ends")
    func finishing() async {
        let queue = EventQueue()
        queue.open()
        _ = queue.offer(Self.message(1), now: .zero)
        queue.finish()
        #expect(queue.offer(Self.message(2), now: .zero) == nil)
        #expect(await queue.next() == .list)
        #expect(await queue.next() == .event(Self.message(1)))
        #expect(await queue.next() == nil)
    }

    @Test("ends its reader when the reader's task is cancelled")
    func cancellation() async {
        let queue = EventQueue()
        queue.open()
        #expect(await queue.next() == .list)
        let reader = Task { await queue.next() }
        reader.cancel()
        #expect(await reader.value == nil)
    }
}
