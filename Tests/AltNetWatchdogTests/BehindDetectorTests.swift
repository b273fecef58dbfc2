// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import Testing

@testable import AltNetWatchdog

@Suite("BehindDetector")
struct BehindDetectorTests {
    private let a = Subject("bitcoin a:8333")
    private let b = Subject("lightning b")

    @Test("reports a link at the grace after the header's proof, not before, with the headers that prove it")
    func grace() throws {
        var world = World()
        let root = world.begin(links: [self.a, self.b])
        world.wait(.seconds(600))
        let point = world.extend(root, by: self.b)
        world.wait(.milliseconds(29_999))
        #expect(world.open.isEmpty)
        world.wait(.milliseconds(1))
        let incident = try #require(world.open.first)
        #expect(world.open.count == 1)
        #expect(incident.kind == .linkBehind && incident.subject == self.a && incident.severity == .warning)
        #expect(incident.opened == World.at(630) && incident.since == World.at(600))
        #expect(incident.behind?.blocks == 1 && incident.behind?.firstMissing == point)
        #expect(incident.behind?.provenBy == self.b && incident.behind?.best == point && incident.behind?.shown == root)
        #expect(incident.behind?.workShare == 0)
        #expect(incident.evidence.headers.map(\.header.hash) == [root.hash, point.hash])
        #expect(
            incident.explanation
                == "bitcoin a:8333 is 1 block behind: it has not shown block 1001, whose proof of work lightning b brought"
        )
        world.wait(.seconds(100_000))
        #expect(world.directives.count == 1)
        world.see(.shows(self.a, point))
        #expect(world.open.isEmpty)
        #expect(world.incidents[1]?.ending == .caughtUp)
        #expect(world.incidents[1]?.explanation == "bitcoin a:8333 has caught up; it was 1 block behind")
    }
}
