// SPDX-License-Identifier: MIT
import AltNetConfiguration
import Testing

@Test func probe() throws {
    let texts = ["network = \"regtest\"\nnetwork = \"main\"", "network = ", "netwrk = 1", "[sync]\n[sync]", "a.b=1\n[a]\nb=2", "=", "x", "[drivers.bitcoin]\n\nlisen = []", "[chian]", "[sync", "x = \"abc", "x = [1,,2]", "network = \"mian\"", "[[drivers]]", "drivers.bitcoin.connect = 5", "drivers.bitcoin = {lisen = 3}", "[drivers.radio]\n", "[drivers.lightning]\nuser_agent = 'x'", "[drivers.radio]\nprogram = 'x'\nconnect = []\n", "[drivers.bitcoin.settings]\nx = 1", "x = \"\\u0000\"", "sync.idle_probe_seconds = nan", "sync.idle_probe_seconds = '5'", "a = 2020-01-01", "network = {}","network = \"\u{1}\"", "a = 99999999999999999999999", "drivers = 5", "x = " + String(repeating: "[", count: 1000), String(repeating: "a.", count: 300000) + "a = 1", String(repeating: "a = {", count: 3000), "[drivers.bitcoin]\nconnect = ['x']\ntraffic = []", "[drivers.bitcoin]\ntraffic = ['header']", "[drivers.bitcoin]\nconnect = ['x', 2]"]
    for text in texts {
        do { print(try DaemonConfiguration.parse(text, environment: ["HOME": "/home/u"])) } catch { print(text.prefix(40).debugDescription, "\n      ", error) }
    }
}
