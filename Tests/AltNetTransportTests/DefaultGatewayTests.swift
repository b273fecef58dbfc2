// SPDX-License-Identifier: MIT

import Testing

@testable import AltNetTransport

@Suite("DefaultGateway")
struct DefaultGatewayTests {
    static let head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"

    @Test("the default route with the lowest metric is taken")
    func reads() {
        let table =
            Self.head + "wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"
            + "eth0\t00000000\tFE01A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
            + "eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
        let gateway = DefaultGateway(routeTable: table, isLittleEndian: true)
        #expect(gateway == DefaultGateway(address: [192, 168, 1, 254], interface: "eth0"))
        let big = DefaultGateway(
            routeTable: Self.head + "eth0\t00000000\tC0A801FE\t0003\t0\t0\t0\t00000000\t0\t0\t0\n",
            isLittleEndian: false)
        #expect(big?.address == [192, 168, 1, 254])
    }

    @Test(
        "routes that are down, lead to no gateway or to one network only are none",
        arguments: [
            "", "eth0\t00000000\tFE01A8C0\t0002\t0\t0\t0\t00000000\t0\t0\t0\n",
            "tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n",
            "eth0\t00000000\tFE01A8C0\t0003\t0\t0\t0\t00000080\t0\t0\t0\n",
            "eth0\t0000000A\tFE01A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", "eth0\t0\n", "nonsense\n",
            "eth0\t00000000\tXX01A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n",
        ])
    func none(_ lines: String) {
        #expect(DefaultGateway(routeTable: Self.head + lines) == nil)
    }
}
