// SPDX-License-Identifier: MIT

import Testing

@testable import AltNetTransport

@Suite("LocalSurroundings: what Linux tells of networks")
struct LocalSurroundingsTests {
    static let route = """
        Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
        wlan0\t0001A8C0\t00000000\t0001\t0\t0\t600\t00FFFFFF\t0\t0\t0
        wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
        """
    static let arp = """
        IP address       HW type     Flags       HW address            Mask     Device
        192.168.1.7      0x1         0x2         aa:aa:aa:aa:aa:aa     *        wlan0
        192.168.1.1      0x1         0x2         00:11:22:33:44:55     *        wlan0
        10.0.0.1         0x1         0x0         00:00:00:00:00:00     *        eth1
        """

    @Test("Linux's tables name the gateway and its hardware address")
    func tables() {
        #expect(
            DefaultGateway(routeTable: Self.route) == DefaultGateway(address: [192, 168, 1, 1], interface: "wlan0"))
        #expect(LocalSurroundings.hardwareAddress(of: "192.168.1.1", in: Self.arp) == "00:11:22:33:44:55")
        #expect(LocalSurroundings.hardwareAddress(of: "10.0.0.1", in: Self.arp) == nil)
        #expect(LocalSurroundings.hardwareAddress(of: "192.168.1.1", in: "\n\n x") == nil)
    }

    @Test("the default network is named by its gateway, and not at all without one")
    func name() {
        var home = LocalSurroundings(
            interfaces: [.init(name: "wlan0", address: [192, 168, 1, 20], prefixLength: 24)],
            defaultInterface: "wlan0", gateway: "00:11:22:33:44:55", salt: [7])
        let name = home.defaultNetwork
        #expect(name?.wholeMatch(of: /lan [0-9a-f]{16}/) != nil)
        home.gateway = "00:11:22:33:44:56"
        #expect(home.defaultNetwork != name)
        home.gateway = nil
        #expect(home.defaultNetwork == nil)
        #expect(home.interfaces[0].network == "wlan0 c0a80100/24")
    }

    @Test("this machine has its own address at least")
    func system() {
        #expect(LocalSurroundings.look().interfaces.contains { $0.address == [127, 0, 0, 1] })
    }
}
