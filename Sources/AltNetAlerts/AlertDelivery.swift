// SPDX-License-Identifier: MIT

public import AltNetBase

/// What became of an alert at one sink, for `GET /v1/alerts` and for the log.
public struct AlertDelivery: Hashable, Sendable {
    public enum Outcome: String, Hashable, Sendable {
        case delivered
        /// This attempt failed, and there will be another.
        case retrying
        /// The receiver does not want it.
        case refused
        /// Tried too long, or too often.
        case gaveUp = "gave-up"
        /// Never tried: there was no room for it.
        case dropped
    }

    public let sink: String
    /// The message's name.
    public let message: String
    public let event: AlertMessage.Event
    public let incident: Int64
    public let severity: AlertMessage.Severity
    /// The message in one line.
    public let headline: String
    public let outcome: Outcome
    public let at: WallClockTime
    /// Which attempt it was, from 1.
    public let attempt: Int
    /// What the receiver or the system said; cleaned.
    public let detail: String

    init(
        _ message: AlertMessage, sink: String, _ outcome: Outcome, _ at: WallClockTime, _ detail: String,
        attempt: Int = 1
    ) {
        self.sink = sink
        self.message = message.id
        self.event = message.event
        self.incident = message.incident
        self.severity = message.severity
        self.headline = message.headline
        self.outcome = outcome
        self.at = at
        self.attempt = attempt
        self.detail = AlertMessage.clean(detail, AlertMessage.maximumDetailLength)
    }
}

/// Counts of one sink since the daemon started, for metrics.
public struct AlertCounters: Hashable, Sendable {
    public let sink: String
    public let kind: String
    /// Messages that came in.
    public var accepted = 0
    /// Messages that the receiver has.
    public var delivered = 0
    /// Attempts that were begun; a digest is one.
    public var attempts = 0
    /// Updates that a newer message made superfluous before they went out.
    public var superseded = 0
    /// Messages that the receiver will never get: dropped, refused or given up.
    public var lost = 0
    /// Messages that wait or are on their way now.
    public var waiting = 0
    /// Of those lost: how many the receiver has not been told about yet.
    public var missed = 0
    /// Failed attempts in a row; 0 when the last one went well.
    public var failing = 0

    init(sink: String, kind: String) {
        self.sink = sink
        self.kind = kind
    }
}
