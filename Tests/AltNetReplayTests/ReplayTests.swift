// SPDX-License-Identifier: MIT

import Testing

@testable import AltNetReplay

@Suite("Replay")
struct ReplayTests {
}
