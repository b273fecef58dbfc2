// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoinDriver

@main
struct Main {
    static func main() async {
        await BitcoinDriver.main(version: AltNetVersion.current)
    }
}
