// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetLightningDriver

@main
struct Main {
    static func main() async {
        await LightningDriver.main(version: AltNetVersion.current)
    }
}
