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
    /// How long a link has for one block: 4 MB in 90 seconds is 360 kbit/s.
    static let timeout: Duration = .seconds(90)
    /// After this long without a block another link is asked too: a block comes in a second or two over an ordinary link.
    static let patience: Duration = .seconds(10)

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
    /// The most links that are asked for one block, one after the other: more than an attacker is likely to hold of those
    /// that an operator chose. Those that failed last come last, so that all have their turn.
    private static let maximumAttempts = 8

    private enum FetchStep: Sendable {
        case brought([UInt8], LinkID)
        case failed
        /// The link takes its time.
        case slow(LinkID)
    }

    /// Brings a block of the best chain over some link, compared with its header; `nil` when no link does.
    ///
    /// The next link is asked when one fails, and beside one that is slow. The watchdog is told who brought the block and
    /// who did not.
    func fetchBlock(_ hash: BlockHash, height: UInt32) async -> (block: [UInt8], link: LinkID)? {
        var candidates = self.linksWithBlock(height).prefix(Self.maximumAttempts)[...]
        return await withTaskGroup(of: FetchStep.self) { group in
            var running = 0
            func askNext() {
                guard let id = candidates.popFirst() else { return }
                running += 1
                group.addTask { await self.fetch(hash, height: height, over: id) }
                group.addTask {
                    try? await Task.sleep(for: BlockRequests.patience)
                    return .slow(id)
                }
            }
            askNext()
            while running > 0, let step = await group.next() {
                switch step {
                case .brought(let block, let id):
                    group.cancelAll()
                    return (block, id)
                case .failed:
                    running -= 1
                    askNext()
                case .slow(let id):
                    // If it still brings the block, good; the next one is asked of others first.
                    self.noteFailure(of: id)
                    askNext()
                }
            }
            group.cancelAll()
            return nil
        }
    }

    private func fetch(_ hash: BlockHash, height: UInt32, over id: LinkID) async -> FetchStep {
        guard let link = self.links[id] else { return .failed }
        let began = MonotonicInstant.system
        let answer = await self.request(.block(hash), over: link)
        // A link that has closed meanwhile, or that was no longer waited for, withholds nothing.
        guard self.links[id] != nil, !Task.isCancelled else { return .failed }
        let fault: String
        switch answer {
        case .objects(.blocks, let blocks) where blocks.count == 1:
            do throws(BlockDefect) {
                let needsWitnesses = height >= self.sync.chain.network.witnessHeight
                try BlockCheck.check(blocks[0], is: hash, needsWitnesses: needsWitnesses)
                self.observe(.blockBrought(hash, by: link.subject, took: MonotonicInstant.system - began))
                return .brought(blocks[0], id)
            } catch {
                fault = "brought \(error)"
            }
        // Whoever has too much to do, or of whom we ask too much, keeps nothing from us.
        case .refused(.busy): return .failed
        case .refused(let refusal): fault = refusal.sentence
        case .headers, .objects, .addresses: fault = "answered with something else"
        }
        self.noteFailure(of: id)
        self.observe(.blockWithheld(hash, by: link.subject, why: fault), of: link)
        return .failed
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
        return await withTaskCancellationHandler {
            await withCheckedContinuation { resume in
                self.blocks.wait(id, on: link.id, resume)
                Task {
                    // After this the answer comes as an event of the driver, unless there is no driver any more.
                    guard let refused = await host.send(.request(link.number, id: id, request), to: link.driver) else {
                        return
                    }
                    self.blocks.resolve(id, with: .refused(refused.refusal))
                }
            }
        } onCancel: {
            Task { await self.giveUp(id) }
        }
    }

    private func giveUp(_ id: UInt64) {
        self.blocks.resolve(id, with: .refused(.unavailable))
    }
}

extension ObjectRefusal {
    /// What the other side did, for people.
    fileprivate var sentence: String {
        switch self {
        case .notFound: "does not have it"
        case .unsupported: "serves no blocks"
        case .busy: "has too much to do"
        case .invalid: "calls the request wrong"
        case .unavailable: "did not answer in time"
        }
    }
}
