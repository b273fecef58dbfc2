// SPDX-License-Identifier: MIT

internal import AltNetCommands
internal import ArgumentParser

@main
struct Main {
    static func main() async {
        await ControlCommand.main()
    }
}
