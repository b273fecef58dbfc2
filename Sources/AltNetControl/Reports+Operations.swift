// SPDX-License-Identifier: MIT

internal import AltNetBase

// What `POST /v1/drivers/{name}/operations/{operation}` takes and answers where `altnet` has a command for it. The daemon
// reads none of it: it passes JSON on between whoever asks and the driver.

/// An operation of a driver that has a command, and what it takes and answers.
public struct DriverOperation<Question: Encodable & Sendable, Answer: Codable & Sendable>: Sendable {
    /// As the driver's capabilities name it.
    public let name: String

    init(_ name: String) {
        self.name = name
    }
}

/// An operation that takes nothing.
public struct NoQuestion: Hashable, Sendable, Encodable {
    public init() {}
}

extension DriverOperation where Question == PathPing, Answer == PathPingReport {
    /// How long each node of a path takes to answer.
    public static var ping: Self { Self("message.ping") }
}

extension DriverOperation where Question == OutgoingMessage, Answer == OutgoingMessageReport {
    /// Sends a text or a transaction to the last node of a path.
    public static var sendMessage: Self { Self("message.send") }
}

extension DriverOperation where Question == NoQuestion, Answer == ReceivedMessagesReport {
    /// The texts that were received.
    public static var receivedMessages: Self { Self("message.received") }
}

extension DriverOperation where Question == NoQuestion, Answer == MessageCountersReport {
    /// What happened to directed and onion messages.
    public static var messageCounters: Self { Self("message.counters") }
}

extension DriverOperation where Question == NoQuestion, Answer == GivenAddressesReport {
    /// Which alternative addresses were given to whom.
    public static var givenAddresses: Self { Self("alt-addr.list") }
}

extension DriverOperation where Question == NoQuestion, Answer == ReceivedAddressesReport {
    /// Which alternative addresses were received from whom.
    public static var receivedAddresses: Self { Self("alt-addr.received") }
}

extension DriverOperation where Question == AddressPeer, Answer == SentAddressesReport {
    /// Sends peers their alternative addresses.
    public static var sendAddresses: Self { Self("alt-addr.send") }
    /// Tells a peer to forget its alternative address.
    public static var clearAddress: Self { Self("alt-addr.clear") }
}

/// By which kind of message something goes along a path.
public enum MessageKind: String, Hashable, Sendable, Codable, CaseIterable {
    /// Directed messages: every node of the path has to know them.
    case directed
    /// BOLT 4 onion messages, which most of today's nodes forward.
    case onion
}

/// What `message.ping` takes.
public struct PathPing: Hashable, Sendable, Encodable {
    /// The nodes to go over, the last one included: 66 hexadecimal digits each.
    public var path: [String]
    public var over: MessageKind
    /// How long each hop has to answer.
    public var timeoutSeconds: Int

    public init(path: [String], over: MessageKind, timeoutSeconds: Int) {
        self.path = path
        self.over = over
        self.timeoutSeconds = timeoutSeconds
    }
}

/// What `message.ping` answers.
public struct PathPingReport: Hashable, Sendable, Codable {
    public struct Hop: Hashable, Sendable, Codable {
        public var node: String
        /// The round trip from us to this node and back; absent when no answer came.
        public var milliseconds: Double?
        /// Why no answer came.
        public var failure: String?

        public init(node: String, milliseconds: Double?, failure: String?) {
            self.node = node
            self.milliseconds = milliseconds
            self.failure = failure
        }
    }

    public var hops: [Hop]

    public init(hops: [Hop]) {
        self.hops = hops
    }
}

/// What `message.send` takes: a text or a transaction.
public struct OutgoingMessage: Hashable, Sendable, Encodable {
    public var path: [String]
    public var over: MessageKind
    public var text: String?
    /// In consensus encoding, as hexadecimal digits.
    public var transaction: String?

    public init(path: [String], over: MessageKind, text: String?, transaction: String?) {
        self.path = path
        self.over = over
        self.text = text
        self.transaction = transaction
    }
}

/// What `message.send` answers.
public struct OutgoingMessageReport: Hashable, Sendable, Codable {
    /// The round trip until the far node said that it has it.
    public var milliseconds: Double

    public init(milliseconds: Double) {
        self.milliseconds = milliseconds
    }
}

/// What `message.received` answers.
public struct ReceivedMessagesReport: Hashable, Sendable, Codable {
    public struct Message: Hashable, Sendable, Codable {
        /// RFC 3339.
        public var receivedAt: String
        public var over: String
        /// The node that handed it to us, which says nothing about who wrote it.
        public var neighbour: String
        /// Any characters: somebody else chose them.
        public var text: String

        public init(receivedAt: String, over: String, neighbour: String, text: String) {
            self.receivedAt = receivedAt
            self.over = over
            self.neighbour = neighbour
            self.text = text
        }
    }

    public var messages: [Message]

    public init(messages: [Message]) {
        self.messages = messages
    }
}

/// What `message.counters` answers: how often each thing happened to messages since the driver started, by name.
public struct MessageCountersReport: Hashable, Sendable, Codable {
    public var directed: [String: UInt64]
    public var onion: [String: UInt64]

    public init(directed: [String: UInt64], onion: [String: UInt64]) {
        self.directed = directed
        self.onion = onion
    }
}

/// What `alt-addr.list` answers.
public struct GivenAddressesReport: Hashable, Sendable, Codable {
    public struct Address: Hashable, Sendable, Codable {
        public var peer: String
        public var channelID: String
        public var address: String
        /// Which of our endpoints it leads to.
        public var endpoint: String
        /// RFC 3339.
        public var since: String
        /// When it stopped being the peer's; absent while it is.
        public var until: String?

        public init(peer: String, channelID: String, address: String, endpoint: String, since: String, until: String?) {
            self.peer = peer
            self.channelID = channelID
            self.address = address
            self.endpoint = endpoint
            self.since = since
            self.until = until
        }
    }

    public var given: [Address]
    /// How often each thing happened to alternative addresses since the driver started, by name.
    public var counters: [String: UInt64]?

    public init(given: [Address], counters: [String: UInt64]? = nil) {
        self.given = given
        self.counters = counters
    }
}

/// What `alt-addr.received` answers.
public struct ReceivedAddressesReport: Hashable, Sendable, Codable {
    public struct Address: Hashable, Sendable, Codable {
        public var peer: String
        public var address: String
        /// RFC 3339, like the others.
        public var receivedAt: String
        /// When it worked for the first time; absent before.
        public var validatedAt: String?
        public var lastFailureAt: String?

        public init(
            peer: String, address: String, receivedAt: String, validatedAt: String?, lastFailureAt: String?
        ) {
            self.peer = peer
            self.address = address
            self.receivedAt = receivedAt
            self.validatedAt = validatedAt
            self.lastFailureAt = lastFailureAt
        }
    }

    public var received: [Address]

    public init(received: [Address]) {
        self.received = received
    }
}

/// What `alt-addr.send` and `alt-addr.clear` take.
public struct AddressPeer: Hashable, Sendable, Encodable {
    /// Absent for every peer that is to have an address; `alt-addr.clear` needs one.
    public var peer: String?

    public init(peer: String?) {
        self.peer = peer
    }
}

/// What `alt-addr.send` and `alt-addr.clear` answer.
public struct SentAddressesReport: Hashable, Sendable, Codable {
    /// Peers that were told now.
    public var sent: [String]
    /// Peers that will be told when they are connected.
    public var waiting: [String]

    public init(sent: [String], waiting: [String]) {
        self.sent = sent
        self.waiting = waiting
    }
}
