// SPDX-License-Identifier: MIT

/// What happened to messages since the start. Nothing is dropped without being counted here.
public struct RelayCounters: Hashable, Sendable {
    /// One thing that can happen to a message; the raw value is its name in metrics.
    public enum Event: String, CaseIterable, Hashable, Sendable {
        /// A message of ours was sent.
        case originated
        /// A message of ours was answered.
        case answered
        /// A message of ours failed, time-outs included.
        case failed
        /// A message was passed on for a neighbour.
        case forwarded
        /// A reply was passed back to a neighbour.
        case repliesForwarded = "replies_forwarded"
        /// A message arrived for us.
        case delivered
        /// We answered a message.
        case replied
        /// A neighbour was over its rate: the message was dropped before anything was computed.
        case rateLimited = "rate_limited"
        /// An onion had a version, key or HMAC that is wrong.
        case malformedOnions = "malformed_onions"
        /// An onion was right, but what it says is not: no node, or a length that does not fit.
        case invalidPayloads = "invalid_payloads"
        /// An onion came a second time.
        case replays
        /// The next node was not connected or does not speak such messages.
        case unknownNextNodes = "unknown_next_nodes"
        /// The next node took nothing more.
        case busyNextNodes = "busy_next_nodes"
        /// A message for us was forgotten to make room for another: as many as allowed waited for our answers.
        case deliveriesReplaced = "deliveries_replaced"
        /// A message for us was forgotten, because we do not answer it: it makes no sense here, or is no question.
        case unanswered
        /// A forward was forgotten to make room for another.
        case forwardsReplaced = "forwards_replaced"
        /// A forward was forgotten because no reply came in time.
        case forwardsExpired = "forwards_expired"
        /// A message for us was not answered in time.
        case deliveriesExpired = "deliveries_expired"
        /// A forward, or a message for us, was forgotten because the neighbour that it came from left.
        case forgotten
        /// A reply belongs to no message that is remembered, or came from the wrong neighbour.
        case unknownReplies = "unknown_replies"
        /// A reply has a form that no reply has.
        case malformedReplies = "malformed_replies"
        /// An answer of ours was too long for a reply, or its way back cannot be used.
        case answersDropped = "answers_dropped"
        /// A message for us is none of ours: an offer, an invoice, or another application's.
        case foreignMessages = "foreign_messages"
        /// A message came while there is no key to read it with.
        case noKey = "no_key"
    }

    private var counts: [Event: UInt64] = [:]

    /// All zero.
    public init() {}

    /// How often something happened.
    public internal(set) subscript(event: Event) -> UInt64 {
        get { self.counts[event, default: 0] }
        set { self.counts[event] = newValue }
    }

    mutating func count(_ event: Event) { self[event] &+= 1 }
}
