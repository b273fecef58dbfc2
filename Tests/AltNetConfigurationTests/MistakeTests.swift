// SPDX-License-Identifier: MIT

import AltNetConfiguration
import Testing

@Suite("Mistakes")
struct MistakeTests {
    typealias Code = ConfigurationError.Code

    @Test(
        arguments: [
            // Keys and tables that are not there.
            (
                "\n\n[drivers.bitcoin]\n\n\n\nlisen = ['a:1']", Code.unknownKey,
                "7: there is no key `lisen` in [drivers.bitcoin]; did you mean `listen`?"
            ),
            ("netwrk = 'main'", .unknownKey, "1: there is no key `netwrk`; did you mean `network`?"),
            ("# x\nsomething = 1", .unknownKey, "2: there is no key `something`"),
            ("[chian]\n", .unknownKey, "1: there is no table [chian]; did you mean [chain]?"),
            ("[[sink]]\n", .unknownKey, "1: there is no key `sink`"),
            ("sync.timeout = 1", .unknownKey, "1: there is no key `timeout` in [sync]"),
            (
                "network = 'main'\nb = 1\na = 1", .unknownKey, "2: there is no key `b`"
            ),
            (
                "[drivers.lightning]\nuser_agent = 'x'", .unknownKey,
                "2: there is no key `user_agent` in [drivers.lightning]"
            ),
            (
                "[drivers.radio]\nprogram = 'radio'\nconnect = []", .unknownKey,
                "3: there is no key `connect` in [drivers.radio]; the settings of radio stand in"
                    + " [drivers.radio.settings]"
            ),
            (
                "[drivers.bitcoin.settings]\nconnect = []", .unknownKey,
                "1: there is no table [drivers.bitcoin.settings]; the settings of altnet-bitcoin stand in"
                    + " [drivers.bitcoin] itself"
            ),
            (
                "drivers = { bitcoin = { lisen = [] } }", .unknownKey,
                "1: there is no key `lisen` in [drivers.bitcoin]; did you mean `listen`?"
            ),
            (
                "['drivers'.\"bitcoin\"]\n'lisen' = []", .unknownKey,
                "2: there is no key `lisen` in [drivers.bitcoin]; did you mean `listen`?"
            ),
            ("\"ne\\u0074wrk\" = 1", .unknownKey, " there is no key `netwrk`; did you mean `network`?"),
            ("\"a\\u001b[2J\\u202e\" = 1", .unknownKey, " there is no key `a?[2J?`"),

            // Types.
            ("network = 5", .wrongType, "1: `network` must be a string, not a whole number"),
            ("network = {}", .wrongType, "1: `network` must be a string, not a table"),
            ("[network]", .wrongType, "1: `network` must be a string, not a table"),
            ("chain = 'x'", .wrongType, "1: `chain` must be a table, not a string"),
            (
                "sync.idle_probe_seconds = '5'", .wrongType,
                "1: `sync.idle_probe_seconds` must be a number, not a string"
            ),
            ("drivers = 5", .wrongType, "1: `drivers` must be a table, not a whole number"),
            ("[[drivers]]\nx = 1", .wrongType, "1: `drivers` must be a table, not a list"),
            ("[drivers]\nbitcoin = 1", .wrongType, "2: `drivers.bitcoin` must be a table, not a whole number"),
            (
                "[drivers.bitcoin]\nenabled = 'yes'", .wrongType,
                "2: `drivers.bitcoin.enabled` must be true or false, not a string"
            ),
            (
                "[drivers.bitcoin]\nmessages_per_second = 1.5", .wrongType,
                "2: `drivers.bitcoin.messages_per_second` must be a whole number, not a number with a fraction"
            ),
            (
                "[drivers.bitcoin]\nconnect = 'a:1'", .wrongType,
                "2: `drivers.bitcoin.connect` must be a list of strings, not a string"
            ),
            (
                "[drivers.bitcoin]\nconnect = [\n'a:1',\n2]", .wrongType,
                "2: `drivers.bitcoin.connect` must be a list of strings and nothing else"
            ),
            (
                "[drivers.bitcoin]\nprogram = true", .wrongType,
                "2: `drivers.bitcoin.program` must be a string, not true or false"
            ),
            (
                "[drivers.r]\nprogram = 'r'\nsettings = 5", .wrongType,
                "3: `drivers.r.settings` must be a table, not a whole number"
            ),
            (
                "[drivers.r]\nprogram = 'r'\n[drivers.r.settings]\nx = 0.5", .wrongType,
                "4: `drivers.r.settings.x` must be a string, a whole number, true or false, or a list of strings, not"
                    + " a number with a fraction"
            ),
            (
                "[drivers.r]\nprogram = 'r'\n[drivers.r.settings.x]\ny = 1", .wrongType,
                "3: `drivers.r.settings.x` must be a string, a whole number, true or false, or a list of strings, not"
                    + " a table"
            ),

            // Values.
            (
                "network = 'mian'", .invalidValue,
                "1: `network` must be main, testnet3, testnet4, signet or regtest, not `mian`; did you mean `main`?"
            ),
            (
                "log_level = 'loud'", .invalidValue,
                "1: `log_level` must be trace, debug, info, notice, warning or error, not `loud`"
            ),
            (
                "[sync]\nrequest_timeout_seconds = 0.04", .invalidValue,
                "2: `sync.request_timeout_seconds` must be from 0.05 to 86400, not 0.04"
            ),
            (
                "[sync]\nbehind_probe_seconds = 86401", .invalidValue,
                "2: `sync.behind_probe_seconds` must be from 0.05 to 86400, not 86401"
            ),
            (
                "[sync]\nidle_probe_seconds = nan", .invalidValue,
                "2: `sync.idle_probe_seconds` must be from 0.05 to 86400, not nan"
            ),
            (
                "[watchdog]\ngrace_seconds = -1", .invalidValue,
                "2: `watchdog.grace_seconds` must be from 0 to 86400, not -1"
            ),
            ("data_directory = ''", .invalidValue, "1: `data_directory` must not be empty"),
            ("data_directory = \"a\\nb\"", .invalidValue, "1: `data_directory` must be a path, not `a?b`"),
            (
                "chain.start = '5'", .invalidValue,
                "1: `chain.start` must be a height, a colon and the 160 hexadecimal digits of a header"
            ),
            (
                "chain.start = '0:\(String(repeating: "0", count: 160))'", .invalidValue,
                "1: `chain.start` gives height 0 to a header that is not the first one of main"
            ),
            (
                "chain.start = '1:\(String(repeating: "0", count: 160))'", .invalidValue,
                "1: `chain.start` has a header without proof of work: one of its digits must be wrong"
            ),
            (
                "chain.minimum_work = 'xyz'", .invalidValue,
                "1: `chain.minimum_work` must be 1 to 64 hexadecimal digits, not `xyz`"
            ),
            (
                "[drivers.Bitcoin]", .invalidValue,
                "1: the driver's name `Bitcoin` must have 1 to 32 characters of a to z, 0 to 9, `-` and `_`"
            ),
            (
                "[drivers.radio]", .missingKey,
                "1: the driver `radio` needs `drivers.radio.program`, the executable to start"
            ),
            (
                "[drivers.radio]\nstart = 'external'\nprogram = 'x'", .invalidValue,
                "3: `drivers.radio.program` must not be there when something else starts the driver"
            ),
            (
                "[drivers.bitcoin]\nstart = 'externl'", .invalidValue,
                "2: `drivers.bitcoin.start` must be altnetd or external, not `externl`; did you mean `external`?"
            ),
            (
                "[drivers.lightning]\nstart = 'external'\nlisten = ['[::]:9736']", .unknownKey,
                "3: there is no key `listen` in [drivers.lightning]; the settings of a driver that something else starts"
                    + " stand in [drivers.lightning.settings]"
            ),
            ("[drivers.radio]\nprogram = ''", .invalidValue, "2: `drivers.radio.program` must not be empty"),
            (
                "[drivers.bitcoin]\ntraffic = ['header']", .invalidValue,
                "2: `drivers.bitcoin.traffic` must be headers, filterHeaders, filters, blocks, transactions,"
                    + " addresses, tips or peerRecords, not `header`; did you mean `headers`?"
            ),
            (
                "[drivers.bitcoin]\ntraffic = []", .invalidValue,
                "2: `drivers.bitcoin.traffic` must name a kind of object; `enabled = false` stops a driver"
            ),
            (
                "[drivers.bitcoin]\nmessages_per_second = 0", .invalidValue,
                "2: `drivers.bitcoin.messages_per_second` must be from 1 to 1000000, not 0"
            ),
            (
                "[drivers.bitcoin]\nbytes_per_second = 1023", .invalidValue,
                "2: `drivers.bitcoin.bytes_per_second` must be from 65536 to 1000000000000, not 1023"
            ),
            (
                "[drivers.libp2p]\nconnect = ['/ip4/192.0.2.1/tcp/1']", .invalidValue,
                "2: `drivers.libp2p.connect` must end with /p2p/ and a peer id, unlike `/ip4/192.0.2.1/tcp/1`"
            ),
            (
                "[drivers.libp2p]\nlisten = ['/ip4/192.0.2.1/tpc/1']", .invalidValue,
                "2: `drivers.libp2p.listen` has `/ip4/192.0.2.1/tpc/1`: a multiaddr has the unknown protocol tpc"
            ),
            (
                "[drivers.libp2p]\ndht = 'servr'", .invalidValue,
                "2: `drivers.libp2p.dht` must be client, server or off, not `servr`; did you mean `server`?"
            ),
            (
                "[peers]\nshare_record = 'all'", .invalidValue,
                "2: `peers.share_record` must be never, clearnet or pseudonym, not `all`"
            ),
            ("[peers]\ncapacity = 9", .invalidValue, "2: `peers.capacity` must be from 100 to 10000000, not 9"),
            (
                "[drivers.bitcoin]\nlisten = ['8333']", .invalidValue,
                "2: `drivers.bitcoin.listen` must have the form host:port, unlike `8333`"
            ),
            (
                "[drivers.bitcoin]\nproxy = 'socks5://a:1'", .invalidValue,
                "2: `drivers.bitcoin.proxy` must have the form host:port, unlike `socks5://a:1`"
            ),
            (
                "[drivers.bitcoin]\nuser_agent = 'ü'", .invalidValue,
                "2: `drivers.bitcoin.user_agent` must be at most 256 printable ASCII characters"
            ),

            // What is not TOML.
            ("network = ", .syntax, "1:11: this is not TOML: in key-value pair: encountered end-of-file"),
            ("\n\n[sync", .syntax, "3:6: this is not TOML: in table header: encountered end-of-file"),
            ("a = 1\nx = \"\\u0000\"", .syntax, "2: there must be no zero character in the file"),
            ("a\n\n.b = \0", .syntax, "3: there must be no zero character in the file"),
            ("x = 1\n[# x]", .syntax, "2: this is not TOML: in table header: expected a name after '['"),
            ("[[[x]]]", .syntax, "1: this is not TOML: in table header: expected a name after '['"),
            ("x = [ # y\n}", .syntax, "2: this is not TOML: expected a value"),
            ("x = [1,\u{3000}]", .syntax, "1: this is not TOML: expected a value"),
            (
                "\nx = {a = 2020-01-01 }", .syntax,
                "2: this is not TOML: text needs quotes, and dates and times are not used"
            ),
            ("x = 127.0.0.1:80", .syntax, "1: this is not TOML: text needs quotes, and dates and times are not used"),
            ("x = 1\na.b.c.d.e.f.g.h.i = 1", .syntax, "2: a key may have at most 8 parts"),
            ("network = 'main'\nnetwork = 'main'", .duplicateKey, "2: `network` is given a second time"),
            ("[sync]\n[chain]\n[sync]", .duplicateKey, "3: `sync` is given a second time"),
            ("sync.a = 1\n[sync]\na = 2", .duplicateKey, "2: `sync` is given a second time"),
        ] as [(String, Code, String)]
    )
    func `A mistake in the file is told with its line`(text: String, code: Code, sentence: String) throws {
        let error = try mistake(text)
        #expect(error.description == "altnet.toml:\(sentence)")
        #expect(error.code == code)
    }

    @Test(
        arguments: [
            ("ALTNET_NETWRK", "x", Code.unknownKey, "there is no key for this variable; did you mean ALTNET_NETWORK?"),
            ("ALTNET_UNHEARD_OF", "x", .unknownKey, "there is no key for this variable"),
            (
                "ALTNET_DRIVERS_BITCOIN_LISEN", "x", .unknownKey,
                "there is no key for this variable; did you mean ALTNET_DRIVERS_BITCOIN_LISTEN?"
            ),
            (
                "ALTNET_DRIVERS_RADIO_SETTINGS_DEVICE", "x", .unknownKey,
                "there is no key for this variable; only drivers that the file or the command line names can be set"
                    + " up by the environment"
            ),
            (
                "ALTNET_NETWORK", "mian", .invalidValue,
                "`network` must be main, testnet3, testnet4, signet or regtest, not `mian`; did you mean `main`?"
            ),
            (
                "ALTNET_SYNC_IDLE_PROBE_SECONDS", "soon", .wrongType,
                "`sync.idle_probe_seconds` must be a number, not `soon`"
            ),
            (
                "ALTNET_SYNC_IDLE_PROBE_SECONDS", "inf", .invalidValue,
                "`sync.idle_probe_seconds` must be from 0.05 to 86400, not inf"
            ),
            (
                "ALTNET_DRIVERS_BITCOIN_ENABLED", "maybe", .wrongType,
                "`drivers.bitcoin.enabled` must be true or false, not `maybe`"
            ),
            (
                "ALTNET_DRIVERS_BITCOIN_MESSAGES_PER_SECOND", "", .wrongType,
                "`drivers.bitcoin.messages_per_second` must be a whole number, not ``"
            ),
        ] as [(String, String, Code, String)]
    )
    func `A mistake in the environment is told with the variable`(
        name: String,
        value: String,
        code: Code,
        sentence: String
    ) throws {
        let error = try mistake(environment: [name: value])
        #expect(error.description == "\(name): \(sentence)")
        #expect(error.code == code)
        #expect(error.place == .environment(name))
    }

    @Test(
        arguments: [
            ("netwrk", "x", Code.unknownKey, "there is no key `netwrk`; did you mean `network`?"),
            ("", "x", .unknownKey, "there is no key ``"),
            ("sync", "x", .wrongType, "`sync` is a table: set one of its keys"),
            ("sink.a", "x", .unknownKey, "there is no table [sink]; did you mean [sync]?"),
            ("drivers.radio", "x", .unknownKey, "there is no driver `radio`"),
            (
                "drivers.radio.x", "x", .missingKey,
                "the driver `radio` needs `drivers.radio.program`, the executable to start"
            ),
            (
                "drivers.bitcoin.settings.x", "x", .unknownKey,
                "there is no table [drivers.bitcoin.settings]; the settings of altnet-bitcoin stand in"
                    + " [drivers.bitcoin] itself"
            ),
            (
                "drivers.Radio.program", "x", .invalidValue,
                "the driver's name `Radio` must have 1 to 32 characters of a to z, 0 to 9, `-` and `_`"
            ),
            (
                "drivers.bitcoin.bytes_per_second", "1e6", .wrongType,
                "`drivers.bitcoin.bytes_per_second` must be a whole number, not `1e6`"
            ),
        ] as [(String, String, Code, String)]
    )
    func `A mistake on the command line is told with the key`(
        key: String,
        value: String,
        code: Code,
        sentence: String
    ) throws {
        let error = try mistake(flags: [key: value])
        #expect(error.description == "command line: \(sentence)")
        #expect(error.code == code)
        #expect(error.place == .commandLine)
    }

    @Test func `A variable that could stand for two keys is refused`() throws {
        let text = "[drivers.a-b]\nprogram = 'x'\n[drivers.a_b]\nprogram = 'x'"
        #expect(try parse(text).drivers.count == 2)
        let error = try mistake(text, environment: ["ALTNET_DRIVERS_A_B_ENABLED": "no"])
        #expect(error.code == .ambiguous)
        #expect(
            error.description
                == "ALTNET_DRIVERS_A_B_ENABLED: this variable could stand for `drivers.a-b.enabled` and"
                + " `drivers.a_b.enabled`; set them in the file or give a driver another name"
        )
        let settings = try mistake(
            "[drivers.a]\nprogram = 'x'\n[drivers.a_settings]\nprogram = 'x'",
            environment: ["ALTNET_DRIVERS_A_SETTINGS_ENABLED": "no"]
        )
        #expect(settings.code == .ambiguous)
        // A variable for one driver does not call another one into being.
        let names = try parse(
            "[drivers.bitcoin_tor]\nprogram = 'altnet-bitcoin'",
            environment: ["ALTNET_DRIVERS_BITCOIN_TOR_CONNECT": "a:1"]
        ).drivers.map(\.name)
        #expect(names == ["bitcoin_tor"])
    }

    @Test func `A home directory is needed for a path that starts with a tilde`() throws {
        let error = try #require(throws: ConfigurationError.self) {
            try DaemonConfiguration.parse("data_directory = '~/x'")
        }
        #expect(error.description == "altnet.toml:1: `data_directory` needs a home directory: HOME is not set")
    }

    @Test func `The path of a socket must not be too long`() throws {
        let fits = "/" + String(repeating: "a", count: 107 - "//control.sock".utf8.count)
        #expect(try parse("runtime_directory = '\(fits)'").controlSocket.utf8.count == 107)
        let error = try mistake("runtime_directory = '\(fits)ü'")
        #expect(error.code == .pathTooLong)
        #expect(
            error.description
                == "altnet.toml:1: the path of the socket \(fits)ü/control.sock has 109 bytes and the system allows"
                + " 107: set `runtime_directory` to a shorter path, such as /run/altnet"
        )
        let data = try mistake("\ndata_directory = '\(fits)'")
        #expect(data.place == .file("altnet.toml", line: 2))
    }

    @Test func `There may be 64 drivers`() throws {
        let drivers = (1...65).map { "[drivers.d\($0)]\nprogram = 'x'\n" }
        #expect(try parse(drivers.prefix(64).joined()).drivers.count == 64)
        #expect(
            try mistake(drivers.joined()).description == "altnet.toml:1: there may be at most 64 drivers, not 65"
        )
    }

    @Test func `Long values are cut in sentences`() throws {
        let long = String(repeating: "x", count: 10_000)
        #expect(try mistake("log_level = '\(long)'").sentence.utf8.count < 300)
        #expect(try mistake("\(long) = 1").sentence.utf8.count < 300)
        #expect(try mistake(environment: ["ALTNET_\(long)": "1"]).description.utf8.count < 300)
    }
}
