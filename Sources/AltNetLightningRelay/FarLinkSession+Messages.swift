// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetLightning
internal import AltNetObjects

// What is sent, what comes back, and what does not.
extension FarLinkSession {
    /// Begins what can begin, and sends what the pace allows.
    mutating func advance(now: MonotonicInstant, _ directives: inout [LinkDirective]) {
        guard self.isRunning else { return }
        if let nextPing = self.nextPing, nextPing <= now {
            self.nextPing = nil
            self.enqueue(.ping, .ping)
        }
        if case .open = self.phase {
            while self.fetches.count < Self.maximumOpenRequests, !self.waitingRequests.isEmpty {
                let (id, request) = self.waitingRequests.removeFirst()
                self.fetches[id] = FarFetch(request, room: self.room)
            }
            for id in self.fetches.keys.sorted() { self.continueFetch(id) }
            self.continueTransaction()
        }
        while let number = self.outbox.first, let message = self.messages[number], self.bucket.take(now: now) {
            self.outbox.removeFirst()
            self.messages[number]?.attempts += 1
            self.messages[number]?.underway += 1
            self.messages[number]?.deadline = now + self.configuration.answerTimeout
            if message.attempts > 0 { self.resent += 1 }
            directives.append(.write(message.frame))
        }
    }

    /// Messages that came back too late or not at all.
    mutating func expire(now: MonotonicInstant, _ directives: inout [LinkDirective]) {
        let late = self.messages.filter { $0.value.deadline.map { $0 <= now } ?? false }.keys.sorted()
        for number in late {
            // Ends of fetches take other messages away.
            guard let message = self.messages[number] else { continue }
            if message.purpose == .ping {
                self.messages[number] = nil
                self.onPingLost(isReported: false, now: now, &directives)
            } else if message.isPausing || message.attempts < Self.attempts {
                self.messages[number]?.isPausing = false
                self.messages[number]?.deadline = nil
                self.outbox.append(number)
            } else {
                self.giveUp(number, message.purpose, &directives)
            }
            guard self.isRunning else { return }
        }
    }

    /// An attempt is reported lost. While another one is on its way, its answer is waited for; a message that waits to
    /// be sent again, or is answered, is not concerned.
    mutating func onLost(_ number: UInt64, now: MonotonicInstant, _ directives: inout [LinkDirective]) {
        guard let message = self.messages[number], message.underway > 0 else { return }
        self.messages[number]?.underway -= 1
        guard message.underway == 1, message.deadline != nil else { return }
        if message.purpose == .ping {
            self.messages[number] = nil
            self.onPingLost(isReported: true, now: now, &directives)
        } else if message.attempts < Self.attempts {
            self.messages[number]?.isPausing = true
            self.messages[number]?.deadline =
                now + Self.lossPauses[min(message.attempts, Self.lossPauses.count) - 1]
        } else {
            self.giveUp(number, message.purpose, &directives)
        }
    }

    private mutating func giveUp(_ number: UInt64, _ purpose: Purpose, _ directives: inout [LinkDirective]) {
        self.messages[number] = nil
        self.lost += 1
        switch purpose {
        case .ping: break
        case .fetch(let id, _): self.endFetch(id, .refused(.unavailable), &directives)
        case .transaction: self.transactions.removeFirst()
        }
    }

    private mutating func onPingLost(
        isReported: Bool, now: MonotonicInstant, _ directives: inout [LinkDirective]
    ) {
        self.lost += 1
        self.unansweredPings += 1
        guard self.unansweredPings < Self.maximumUnansweredPings else {
            let code: DisconnectReason.Code = self.phase == .connecting ? .unreachable : .timedOut
            return self.close(code, "no answer to \(self.unansweredPings) pings", &directives)
        }
        let pause =
            self.phase == .connecting || isReported
            ? Self.pauses[min(self.unansweredPings, Self.pauses.count) - 1]
            : max(.zero, Self.pingInterval - self.configuration.answerTimeout)
        self.nextPing = now + pause
    }

    /// An answer came.
    mutating func handle(_ frame: RelayFrame, now: MonotonicInstant, _ directives: inout [LinkDirective]) {
        // An answer that comes a second time, because its question was sent a second time.
        guard let message = self.messages.removeValue(forKey: frame.requestID) else { return }
        self.outbox.removeAll { $0 == frame.requestID }
        switch (message.purpose, frame.content) {
        case (.ping, .pong(let chain, let serves)):
            guard chain == self.configuration.network.chainHash else {
                let detail = "the far node is not on \(self.configuration.network.rawValue)"
                return self.close(.wrongNetwork, detail, &directives)
            }
            self.serves = serves
            if case .connecting = self.phase {
                self.phase = .open
                let peer = LinkPeer(
                    identity: self.configuration.identity, agent: UntrustedText(""), claimedHeight: nil,
                    serves: serves)
                directives.append(.established(peer))
            }
        case (.fetch(let id, let range), .objectAnswer(let total, let offset, let part)):
            self.onPart(part, at: Int(offset), of: Int(total), range, fetch: id, &directives)
        case (.transaction(let offset), .transactionHeld(let held)):
            if !self.transactions.onHeld(Int(held), after: offset, room: self.transactionRoom) {
                self.transactions.removeFirst()
            }
        case (.transaction, .transactionAccepted), (.transaction, .transactionRefused):
            self.transactions.removeFirst()
        default:
            return self.close(.protocolViolation, "the far node answers something else", &directives)
        }
        self.unansweredPings = 0
        // Anything heard says that the far node is there; a ping on its way is still waited for.
        if self.nextPing != nil || message.purpose == .ping { self.nextPing = now + Self.pingInterval }
    }

    // MARK: - Requests

    private mutating func continueFetch(_ id: UInt64) {
        while self.messages.count < Self.maximumMessages, let range = self.fetches[id]?.next() {
            guard let request = self.fetches[id]?.request else { return }
            self.enqueue(
                .fetch(id: id, range),
                .objectRequest(
                    kind: request.kind.lightningNumber, offset: UInt32(range.lowerBound),
                    room: UInt16(clamping: range.count), body: request.lightningBody))
        }
    }

    private mutating func onPart(
        _ part: [UInt8], at offset: Int, of total: Int, _ range: Range<Int>, fetch id: UInt64,
        _ directives: inout [LinkDirective]
    ) {
        guard let request = self.fetches[id]?.request else { return }
        switch self.fetches[id]?.onPart(part, at: offset, of: total, range) {
        case .more, nil: break
        case .changed: self.endFetch(id, .refused(.unavailable), &directives)
        case .violation(let detail): self.close(.protocolViolation, detail, &directives)
        case .complete(let body):
            do throws(BitcoinBodyError) {
                self.endFetch(id, try ObjectAnswer(lightningBody: body, answering: request), &directives)
            } catch {
                self.close(
                    .protocolViolation, "an answer to a request for \(request.kind.rawValue) is wrong: \(error)",
                    &directives)
            }
        }
    }

    private mutating func endFetch(_ id: UInt64, _ answer: ObjectAnswer, _ directives: inout [LinkDirective]) {
        guard self.fetches.removeValue(forKey: id) != nil else { return }
        let numbers = self.messages.filter {
            if case .fetch(id, _) = $0.value.purpose { true } else { false }
        }.keys
        for number in numbers { self.messages[number] = nil }
        self.outbox.removeAll { self.messages[$0] == nil }
        directives.append(.answer(id: id, answer))
    }

    // MARK: - Transactions

    private mutating func continueTransaction() {
        guard self.messages.count < Self.maximumMessages,
            let part = self.transactions.next(room: self.transactionRoom)
        else { return }
        self.enqueue(
            .transaction(offset: part.offset),
            .transactionPart(
                transfer: part.transfer, total: UInt32(part.total), offset: UInt32(part.offset), part: part.bytes))
    }

    private mutating func enqueue(_ purpose: Purpose, _ content: RelayFrame.Content) {
        var number = self.random.next()
        while self.messages[number] != nil { number = self.random.next() }
        self.messages[number] = Message(purpose: purpose, frame: RelayFrame(number, content).encoded)
        self.outbox.append(number)
    }
}
