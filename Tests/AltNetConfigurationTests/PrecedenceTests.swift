// SPDX-License-Identifier: MIT

import AltNetBitcoin
import AltNetConfiguration
import AltNetObjects
import Testing

@Suite("Precedence")
struct PrecedenceTests {
    @Test func `The file beats the defaults`() throws {
        let configuration = try parse(
            """
            network = "signet"
            data_directory = "/srv/altnet"
            runtime_directory = "/run/altnet"
            log_level = "debug"

            [sync]
            request_timeout_seconds = 5
            behind_probe_seconds = 0.5
            idle_probe_seconds = 7.25

            [watchdog]
            grace_seconds = 0
            """
        )
        #expect(configuration.network == .signet)
        #expect(configuration.dataDirectory == "/srv/altnet")
        #expect(configuration.runtimeDirectory == "/run/altnet")
        #expect(configuration.logLevel == .debug)
        #expect(configuration.sync.requestTimeout == .seconds(5))
        #expect(configuration.sync.behindProbe == .milliseconds(500))
        #expect(configuration.sync.idleProbe == .milliseconds(7250))
        #expect(configuration.watchdog.grace == .zero)
    }

    @Test func `The environment beats the file`() throws {
        let configuration = try parse(
            "network = 'signet'\nlog_level = 'debug'\nsync.idle_probe_seconds = 5",
            environment: ["ALTNET_NETWORK": "testnet4", "ALTNET_SYNC_IDLE_PROBE_SECONDS": "0.05"]
        )
        #expect(configuration.network == .testnet4)
        #expect(configuration.logLevel == .debug)
        #expect(configuration.sync.idleProbe == .milliseconds(50))
    }

    @Test func `The command line beats the environment and the file`() throws {
        let configuration = try parse(
            "network = 'signet'\nlog_level = 'debug'\n[drivers.bitcoin]\nconnect = ['a:1']",
            environment: ["ALTNET_NETWORK": "testnet4", "ALTNET_LOG_LEVEL": "trace"],
            flags: ["network": "regtest", "drivers.bitcoin.connect": "127.0.0.1:18444, [::1]:18444"]
        )
        #expect(configuration.network == .regtest)
        #expect(configuration.logLevel == .trace)
        #expect(configuration.driver("bitcoin")?.settings["connect"] == .texts(["127.0.0.1:18444", "[::1]:18444"]))
    }

    @Test func `Every key of a driver can be set by each source`() throws {
        let file = try parse(
            """
            [drivers.bitcoin]
            program = "/opt/altnet-bitcoin"
            enabled = false
            traffic = ["headers", "tips"]
            messages_per_second = 10
            bytes_per_second = 131072
            connect = ["a:1"]
            listen = ["0.0.0.0:0"]
            proxy = "127.0.0.1:9050"
            serve_blocks = true
            user_agent = "/x/"
            """
        )
        let keys = [
            "program": "/opt/altnet-bitcoin", "enabled": "false", "traffic": "headers,tips",
            "messages_per_second": "10", "bytes_per_second": "131072", "connect": "a:1", "listen": "0.0.0.0:0",
            "proxy": "127.0.0.1:9050", "serve_blocks": "true", "user_agent": "/x/",
        ]
        var environment: [String: String] = [:]
        var flags: [String: String] = [:]
        for (key, value) in keys {
            environment["ALTNET_DRIVERS_BITCOIN_\(key.uppercased())"] = value
            flags["drivers.bitcoin.\(key)"] = value
        }
        #expect(try parse(environment: environment) == file)
        #expect(try parse(flags: flags) == file)
        let driver = try #require(file.driver("bitcoin"))
        #expect(
            driver
                == DaemonConfiguration.Driver(
                    name: "bitcoin",
                    program: "/opt/altnet-bitcoin",
                    isEnabled: false,
                    traffic: [.headers, .tips],
                    messagesPerSecond: 10,
                    bytesPerSecond: 131072,
                    settings: [
                        "connect": .texts(["a:1"]), "listen": .texts(["0.0.0.0:0"]),
                        "proxy": .text("127.0.0.1:9050"), "serve_blocks": .flag(true), "user_agent": .text("/x/"),
                    ]
                )
        )
    }

    @Test(arguments: [("yes", true), ("1", true), ("TRUE", true), ("no", false), ("0", false), ("false", false)])
    func `True and false may be written in several ways outside the file`(text: String, flag: Bool) throws {
        let configuration = try parse(environment: ["ALTNET_DRIVERS_BITCOIN_ENABLED": text])
        #expect(configuration.driver("bitcoin")?.isEnabled == flag)
    }

    @Test func `Other variables with our prefix are left alone`() throws {
        let environment = [
            "ALTNET_SHARED": "a", "ALTNET_BITCOIND": "b", "ALTNET_LIGHTNINGD": "c", "ALTNET_CONFIG": "d",
            "ALTNET_TEST_ANYTHING": "f", "ALTNETWORK": "g", "altnet_x": "h",
        ]
        #expect(try parse(environment: environment) == parse())
    }
}
