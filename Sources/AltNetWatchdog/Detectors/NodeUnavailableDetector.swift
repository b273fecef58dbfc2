// SPDX-License-Identifier: MIT

internal import AltNetBase

/// Finds that the node cannot be watched.
///
/// - Sees: that it does not answer, refuses our credentials, or is on another network.
/// - Cannot see: what is wrong with it beyond what it answers.
/// - Parameters: ``grace``, a minute, for a node that does not answer: restarts are common. What no waiting mends is
///   reported at once. Never critical: that we cannot see is no sign of an attack; but nothing else about the node is
///   noticed meanwhile.
struct NodeUnavailableDetector: Detector {
    var grace = Duration.seconds(60)

    var reads: Picture.Aspects { [.node] }

    func findings(in picture: Picture, at now: WallClockTime) -> Findings {
        var findings = Findings()
        guard let node = picture.node else { return findings }
        let since = picture.nodeReachSince
        let what: (sentence: String, was: String)
        switch node.reach {
        case .reachable: return findings
        case .unreachable(let why):
            guard since + self.grace <= now else {
                findings.lookAgain(at: since + self.grace)
                return findings
            }
            what = (
                "the node does not answer (\(UntrustedText(why))). Start it, or mend its address in the configuration",
                "did not answer"
            )
        case .refused(let why):
            what = (
                "the node refuses our credentials (\(UntrustedText(why))). Give altnetd the node's cookie file or its "
                    + "user and password",
                "refused our credentials"
            )
        case .wrongNetwork(let why):
            what = (
                "the node is on another network (\(UntrustedText(why))). Give altnetd the address of a node on its own",
                "was on another network"
            )
        }
        findings.list = [
            Finding(
                kind: .nodeUnavailable, subject: .node, severity: .warning,
                explanation: what.sentence + "; until then the node is not watched", was: what.was, since: since)
        ]
        return findings
    }
}
