// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetLibp2pDriver

@main
struct Main {
    static func main() async {
        await Libp2pDriver.main(version: AltNetVersion.current)
    }
}
