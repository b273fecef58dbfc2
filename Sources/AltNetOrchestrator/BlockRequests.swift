// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetDriverHost
internal import AltNetDriverProtocol
internal import AltNetHeaderChain
internal import AltNetHeaderSync
internal import AltNetObjects
internal import AltNetWatchdog

/// The blocks that are being asked for over links, and who waits for each.
struct BlockRequests {
    /// Numbers of requests from here on are ours; below, they are ``HeaderSync``'s, which counts from 1.
    private static let firstID: UInt64 = 1 << 62
    /// How long a link has for one block. A driver gives up by itself after 60 seconds; this is for drivers that do not.
    static let timeout: Duration = .seconds(90)

    /// When a link last failed to bring a block that the node took; as many as there are links.
    private(set) var failures: [LinkID: MonotonicInstant] = [:]

    private var nextID = BlockRequests.firstID
    private var waiting: [UInt64: (link: LinkID, resume: CheckedContinuation<ObjectAnswer, Never>)] = [:]

    static func isOurs(_ id: UInt64) -> Bool { id >= self.firstID }

    mutating func newID() -> UInt64 {
        defer { self.nextID += 1 }
        return self.nextID
    }

    mutating func wait(_ id: UInt64, on link: LinkID, _ resume: CheckedContinuation<ObjectAnswer, Never>) {
        self.waiting[id] = (link, resume)
    }

    /// An answer came. One that nobody waits for any more is ignored.
    mutating func resolve(_ id: UInt64, with answer: ObjectAnswer) {
        self.waiting.removeValue(forKey: id)?.resume.resume(returning: answer)
    }

    mutating func noteFailure(of link: LinkID) { self.failures[link] = .system }

    /// The link is gone, and will answer nothing.
    mutating func close(_ link: LinkID) {
        self.failures[link] = nil
        for (id, entry) in self.waiting where entry.link == link { self.resolve(id, with: .refused(.unavailable)) }
    }
}

extension Orchestrator {
    /// The most links that are asked for one block: after three that do not bring it, later attempts have their turn.
    private static let maximumAttempts = 3

    /// Brings a block of the best chain over some link, compared with its header; `nil` when no link does.
    ///
    /// The watchdog is told who brought it and who did not.
    func fetchBlock(_ hash: BlockHash, height: UInt32) async -> (block: [UInt8], link: LinkID)? {
        for id in self.linksWithBlock(height).prefix(Self.maximumAttempts) {
            guard let link = self.links[id] else { continue }
            let began = MonotonicInstant.system
            switch await self.request(.block(hash), over: link) {
            case .objects(.blocks, let blocks) where blocks.count == 1:
                do throws(BlockDefect) {
                    try BlockCheck.check(blocks[0], is: hash)
                } catch {
                    self.observe(.blockWithheld(hash, by: link.subject, why: "brought other bytes: \(error)"))
                    let reason = DisconnectReason(.protocolViolation, "a block that does not fit its header: \(error)")
                    await self.host?.send(.closeLink(link.number, reason), to: link.driver)
                    continue
                }
                self.observe(.blockBrought(hash, by: link.subject, took: MonotonicInstant.system - began))
                return (blocks[0], id)
            case .refused(let why):
                // A link that has closed meanwhile withholds nothing.
                guard self.links[id] != nil else { continue }
                self.observe(.blockWithheld(hash, by: link.subject, why: "refused: \(why)"), of: link)
            case .headers, .objects, .addresses:
                self.observe(.blockWithheld(hash, by: link.subject, why: "answered with something else"), of: link)
            }
            self.noteFailure(of: id)
        }
        return nil
    }

    /// Lets a link that did not bring a block wait for its turn.
    func noteFailure(of id: LinkID) {
        if self.links[id] != nil { self.blocks.noteFailure(of: id) }
    }

    /// The links that serve blocks and have shown this height of the best chain: those that failed last come last, so
    /// that all have their turn, and else those first that the operator asked for.
    private func linksWithBlock(_ height: UInt32) -> [LinkID] {
        let chain = self.sync.chain
        let able = self.links.values.filter { link in
            guard link.description.peer.serves.contains(.blocks), let tip = self.sync.view(of: link.id)?.tip else {
                return false
            }
            return chain.height(of: chain.fork(of: tip)) >= height
        }
        return able.sorted { left, right in
            let (before, after) = (self.blocks.failures[left.id] ?? .zero, self.blocks.failures[right.id] ?? .zero)
            guard before == after else { return before < after }
            let (isLeft, isRight) = (!left.description.target.isEmpty, !right.description.target.isEmpty)
            return isLeft == isRight ? left.id < right.id : isLeft
        }.map(\.id)
    }

    private func request(_ request: ObjectRequest, over link: Link) async -> ObjectAnswer {
        guard let host = self.host else { return .refused(.unavailable) }
        let id = self.blocks.newID()
        let timeout = Task {
            do { try await Task.sleep(for: BlockRequests.timeout) } catch { return }
            self.blocks.resolve(id, with: .refused(.unavailable))
        }
        defer { timeout.cancel() }
        return await withCheckedContinuation { resume in
            self.blocks.wait(id, on: link.id, resume)
            Task {
                guard let refused = await host.send(.request(link.number, id: id, request), to: link.driver) else {
                    return
                }
                self.blocks.resolve(id, with: .refused(refused.refusal))
            }
        }
    }
}
