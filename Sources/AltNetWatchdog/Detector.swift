// SPDX-License-Identifier: MIT

internal import AltNetBase

/// A pure function from the picture and the time to what is wrong now.
///
/// Each detector is one file, and says what it sees, what it cannot see, its parameters and their reason.
protocol Detector: Sendable {
    /// What of the picture it reads: it is asked again when one of these changed, or at the moment it named.
    var reads: Picture.Aspects { get }

    func findings(in picture: Picture, at now: WallClockTime) -> Findings
}

/// What a detector found.
struct Findings: Sendable {
    var list: [Finding] = []
    /// When that may change without a new observation; after `now`.
    private(set) var next: WallClockTime?

    /// Asks to look again.
    mutating func lookAgain(at moment: WallClockTime) {
        self.next = min(self.next ?? moment, moment)
    }
}

/// A condition that holds now. One per kind and subject.
struct Finding: Hashable, Sendable {
    var kind: Incident.Kind
    var subject: Subject
    var severity: Incident.Severity
    /// What is, in one or two sentences.
    var explanation: String
    /// What was, after "it": "was 3 blocks behind".
    var was: String
    /// Since when; `nil`: since it was found, and the incident keeps that time.
    var since: WallClockTime?
    /// How bad it is; once it is over, the worst is told.
    var magnitude: Double = 0
    var behind: Behind?
    var measures: [Measure] = []
    var evidence = Evidence()
    /// How it ends when it no longer holds and the subject is still there.
    var ending = Incident.Ending.over
}
