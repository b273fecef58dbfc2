// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetPunchDriver

@main
struct Main {
    static func main() async {
        await PunchDriver.main(version: AltNetVersion.current)
    }
}
