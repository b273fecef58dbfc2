// SPDX-License-Identifier: MIT

internal import AltNetCommands

@main
struct Main {
    static func main() async {
        await ControlCommand.main()
    }
}
