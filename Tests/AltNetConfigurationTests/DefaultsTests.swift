// SPDX-License-Identifier: MIT

import AltNetBitcoin
import AltNetConfiguration
import AltNetObjects
import Testing

@Suite("Defaults")
struct DefaultsTests {
    @Test func `Without anything, the daemon watches the operator's own node on the main network`() throws {
        let configuration = try parse()
        #expect(
            configuration
                == DaemonConfiguration(
                    dataDirectory: "/home/anna/.local/share/altnet", node: .init(network: .main, home: "/home/anna")))
        #expect(configuration.network == .main)
        #expect(configuration.networkDirectory == "/home/anna/.local/share/altnet/main")
        #expect(configuration.runtimeDirectory == "/home/anna/.local/share/altnet/main/run")
        #expect(configuration.controlSocket == "/home/anna/.local/share/altnet/main/run/control.sock")
        #expect(configuration.driversSocket == "/home/anna/.local/share/altnet/main/run/drivers.sock")
        #expect(configuration.logLevel == .info)
        #expect(configuration.chain.startHeight == 0)
        #expect(configuration.chain.startHeader == Network.main.genesis)
        #expect(configuration.chain.minimumWork == Network.main.minimumChainWork)
        #expect(configuration.sync.requestTimeout == .seconds(60))
        #expect(configuration.sync.behindProbe == .seconds(10))
        #expect(configuration.sync.idleProbe == .seconds(120))
        #expect(configuration.watchdog.grace == .seconds(30))
    }

    @Test func `Two drivers run when none is named`() throws {
        let drivers = try parse().drivers
        #expect(drivers.map(\.name) == ["bitcoin", "lightning"])
        #expect(drivers.map(\.program) == ["altnet-bitcoin", "altnet-lightning"])
        #expect(drivers.map(\.settings) == [["connect": .texts(["127.0.0.1:8333"])], [:]])
        for driver in drivers {
            #expect(driver.isEnabled)
            #expect(driver.traffic == nil)
            #expect(driver.messagesPerSecond == 2000)
            #expect(driver.bytesPerSecond == 268_435_456)
        }
    }

    @Test(arguments: Network.allCases)
    func `Each network has its own directory, port, genesis and minimum of work`(network: Network) throws {
        let configuration = try parse("network = \"\(network.rawValue)\"")
        #expect(configuration.networkDirectory == "/home/anna/.local/share/altnet/\(network.rawValue)")
        #expect(configuration.driver("bitcoin")?.settings["connect"] == .texts(["127.0.0.1:\(network.defaultPort)"]))
        #expect(configuration.chain == DaemonConfiguration.Chain(network: network))
    }

    @Test func `The data directory follows XDG_DATA_HOME when that is absolute`() throws {
        #expect(try parse(environment: ["XDG_DATA_HOME": "/data"]).dataDirectory == "/data/altnet")
        #expect(
            try parse(environment: ["XDG_DATA_HOME": "data"]).dataDirectory == "/home/anna/.local/share/altnet"
        )
    }

    @Test func `Without a home, the data directory must be given`() throws {
        let error = try #require(throws: ConfigurationError.self) {
            try DaemonConfiguration.parse("")
        }
        #expect(error.code == .missingKey)
        #expect(
            error.description
                == "configuration: there is no home directory to keep the data in: set `data_directory`, HOME or"
                + " XDG_DATA_HOME"
        )
        #expect(try DaemonConfiguration.parse("data_directory = '/srv/altnet'").dataDirectory == "/srv/altnet")
    }

    @Test(arguments: [
        ("/srv/altnet/", "/srv/altnet"), ("~/altnet", "/home/anna/altnet"), ("~", "/home/anna"),
        ("altnet", "/srv/altnet"), ("./altnet", "/srv/altnet"), ("/", "/"),
    ])
    func `Paths become absolute`(written: String, meant: String) throws {
        #expect(try parse("data_directory = '\(written)'").dataDirectory == meant)
    }

    @Test func `A trusted start needs no work unless told otherwise`() throws {
        let header = Hex.encode(Network.regtest.genesis.bytes)
        let start = "network = 'regtest'\nchain.start = '2016:\(header)'"
        let chain = try parse(start).chain
        #expect(chain.startHeight == 2016)
        #expect(chain.startHeader == Network.regtest.genesis)
        #expect(chain.minimumWork == .zero)
        #expect(try parse(start + "\nchain.minimum_work = '0x1F'").chain.minimumWork == Work(31))
    }
}

/// Base 16, as the tests need it.
enum Hex {
    static func encode(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
