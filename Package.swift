// swift-tools-version: 6.2
// SPDX-License-Identifier: MIT

import PackageDescription

// MARK: - What we stand on

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let asyncAlgorithms = Target.Dependency.product(name: "AsyncAlgorithms", package: "swift-async-algorithms")
let asyncHTTPClient = Target.Dependency.product(name: "AsyncHTTPClient", package: "async-http-client")
let configuration = Target.Dependency.product(name: "Configuration", package: "swift-configuration")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let cryptoExtras = Target.Dependency.product(name: "CryptoExtras", package: "swift-crypto")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let grpcCore = Target.Dependency.product(name: "GRPCCore", package: "grpc-swift-2")
let grpcTransport = Target.Dependency.product(
    name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport")
let grpcProtobuf = Target.Dependency.product(name: "GRPCProtobuf", package: "grpc-swift-protobuf")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let hummingbirdCore = Target.Dependency.product(name: "HummingbirdCore", package: "hummingbird")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioEmbedded = Target.Dependency.product(name: "NIOEmbedded", package: "swift-nio")
let nioHTTPTypes = Target.Dependency.product(name: "NIOHTTPTypes", package: "swift-nio-extras")
let nioHTTPTypesHTTP1 = Target.Dependency.product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let protobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")
let serviceLifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let unixSignals = Target.Dependency.product(name: "UnixSignals", package: "swift-service-lifecycle")
let subprocess = Target.Dependency.product(name: "Subprocess", package: "swift-subprocess")
let systemPackage = Target.Dependency.product(name: "SystemPackage", package: "swift-system")
let toml = Target.Dependency.product(name: "TOMLKit", package: "TOMLKit")

// MARK: - The layers, from the inside out. Each target names what it may import; the compiler holds it to that.

let package = Package(
    name: "altnet",
    products: [
        .executable(name: "altnetd", targets: ["altnetd"]),
        .executable(name: "altnet", targets: ["altnet"]),
        .executable(name: "altnet-bitcoin", targets: ["altnet-bitcoin"]),
        .executable(name: "altnet-libp2p", targets: ["altnet-libp2p"]),
        .executable(name: "altnet-lightning", targets: ["altnet-lightning"]),
        .executable(name: "altnet-punch", targets: ["altnet-punch"]),
        .library(name: "AltNetBitcoin", targets: ["AltNetBitcoin"]),
        .library(name: "AltNetHeaderChain", targets: ["AltNetHeaderChain"]),
        .library(name: "AltNetLightning", targets: ["AltNetLightning"]),
        .library(name: "AltNetKeys", targets: ["AltNetKeys"]),
        .library(name: "AltNetNoise", targets: ["AltNetNoise"]),
        .library(name: "AltNetOnion", targets: ["AltNetOnion"]),
        .library(name: "AltNetPeerRecords", targets: ["AltNetPeerRecords"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-async-algorithms", from: "1.1.4"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0", traits: []),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.3"),
        .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.9.2"),
        .package(url: "https://github.com/grpc/grpc-swift-protobuf", from: "2.4.1"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
    ],
    targets: [
        // Values and codecs: no I/O, no clock, no Foundation.
        .target(name: "AltNetBase"),
        .target(name: "AltNetBitcoin", dependencies: ["AltNetBase", crypto]),
        .target(name: "AltNetObjects", dependencies: ["AltNetBase", "AltNetBitcoin"]),
        .target(name: "AltNetLightning", dependencies: ["AltNetBase", "AltNetBitcoin", "AltNetObjects", crypto]),

        // Protocol state machines: bytes, time and randomness come in, directives go out.
        .systemLibrary(
            name: "CSecp256k1", pkgConfig: "libsecp256k1", providers: [.apt(["libsecp256k1-dev"])]),
        .target(name: "AltNetKeys", dependencies: ["AltNetBase", "CSecp256k1", crypto]),
        .target(name: "AltNetNoise", dependencies: ["AltNetKeys", crypto]),
        .target(
            name: "AltNetOnion",
            dependencies: ["AltNetBase", "AltNetKeys", "AltNetLightning", crypto, cryptoExtras]),
        .target(
            name: "AltNetPeerRecords",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetKeys", "AltNetLightning", crypto, cryptoExtras,
            ]),
        .target(name: "AltNetDialing", dependencies: ["AltNetBase", "AltNetPeerRecords"]),
        .target(name: "AltNetLibp2p", dependencies: ["AltNetBase", "AltNetPeerRecords", crypto]),
        .target(name: "AltNetKademlia", dependencies: ["AltNetBase", "AltNetPeerRecords", crypto]),
        .target(name: "AltNetHeaderChain", dependencies: ["AltNetBase", "AltNetBitcoin"]),
        .target(name: "AltNetBitcoinSession", dependencies: ["AltNetBase", "AltNetBitcoin", "AltNetObjects"]),
        .target(
            name: "AltNetLightningSession",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetKeys", "AltNetLightning", "AltNetNoise", "AltNetObjects",
            ]),
        .target(
            name: "AltNetLightningAttachment",
            dependencies: ["AltNetBase", "AltNetBitcoin", "AltNetKeys", "AltNetLightning"]),
        .target(
            name: "AltNetLightningRelay",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetKeys", "AltNetLightning", "AltNetObjects", "AltNetOnion", crypto,
            ]),
        .target(
            name: "AltNetAlternativeAddresses", dependencies: ["AltNetBase", "AltNetKeys", "AltNetLightning"]),
        .target(name: "AltNetWatchdog", dependencies: ["AltNetBase", "AltNetBitcoin"]),
        .target(
            name: "AltNetHolePunch", dependencies: ["AltNetBase", "AltNetBitcoin", crypto]),
        .target(
            name: "AltNetHeaderSync",
            dependencies: ["AltNetBase", "AltNetBitcoin", "AltNetHeaderChain", "AltNetObjects", crypto]),

        // Stores.
        .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
        .target(
            name: "AltNetStore",
            dependencies: ["AltNetBase", "AltNetBitcoin", "AltNetHeaderChain", "AltNetWatchdog", "CZlib", grdb]),
        .target(
            name: "AltNetLightningStore",
            dependencies: [
                "AltNetAlternativeAddresses", "AltNetBase", "AltNetKeys", "AltNetLightning", grdb,
            ]),

        .target(name: "AltNetPeerStore", dependencies: ["AltNetBase", "AltNetBitcoin", "AltNetPeerRecords", grdb]),

        .target(
            name: "AltNetReplay",
            dependencies: ["AltNetBase", "AltNetBitcoin", "AltNetHeaderChain", "AltNetWatchdog"]),

        // Shells: sockets and processes around the state machines.
        .target(
            name: "AltNetTransport",
            dependencies: ["AltNetBase", crypto, nioCore, nioPosix]),
        .target(
            name: "AltNetLibp2pHost",
            dependencies: [
                "AltNetBase", "AltNetDialing", "AltNetKademlia", "AltNetLibp2p", "AltNetPeerRecords",
                "AltNetPeerStore", "AltNetTransport", crypto, logging, nioCore, nioPosix,
            ]),
        .target(
            name: "AltNetTorControl",
            dependencies: ["AltNetBase", crypto, nioCore, nioPosix]),
        .target(
            name: "AltNetSAM", dependencies: ["AltNetBase", "AltNetTransport", crypto]),
        .target(
            name: "AltNetPortMapping",
            dependencies: ["AltNetBase", "AltNetTransport", logging, nioCore, nioPosix]),
        .systemLibrary(name: "CZeroMQ", providers: [.apt(["libzmq3-dev"])]),
        .systemLibrary(name: "CBitcoinKernel"),
        .target(
            name: "AltNetNode",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetObjects", "CBitcoinKernel", "CZeroMQ", asyncHTTPClient, logging,
                nioCore, nioHTTP1, nioPosix, subprocess, systemPackage,
            ]),

        // Alerts: tells people and programs elsewhere what the watchdog found.
        .target(
            name: "AltNetAlerts",
            dependencies: [
                "AltNetBase", asyncHTTPClient, crypto, grdb, logging, nioCore, nioHTTP1, subprocess, systemPackage,
            ]),

        // What the operations of a hole punching driver take and answer: values for both ends.
        .target(name: "AltNetPunchReports"),

        // Driver kit: the protocol between orchestrator and drivers, and both of its ends.
        .target(
            name: "AltNetDriverProtocol",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetObjects", "AltNetPeerRecords", grpcCore, grpcProtobuf, protobuf,
            ]),
        .target(
            name: "AltNetDriverKit",
            dependencies: [
                "AltNetBase", "AltNetDriverProtocol", "AltNetPeerRecords", asyncAlgorithms, grpcCore, grpcTransport,
                logging,
            ]),
        .target(
            name: "AltNetStreamDriver",
            dependencies: [
                "AltNetBase", "AltNetDriverKit", "AltNetDriverProtocol", "AltNetObjects", "AltNetTransport", logging,
            ]),
        .target(
            name: "AltNetDriverHost",
            dependencies: [
                "AltNetBase", "AltNetDriverProtocol", "AltNetObjects", "AltNetPeerRecords", grpcCore, grpcTransport,
                logging, subprocess,
                systemPackage,
            ]),
        // The operator's own Lightning node.
        .target(
            name: "AltNetCoreLightning",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetKeys", "AltNetLightning", "AltNetLightningAttachment", logging,
                nioCore, nioPosix,
            ]),

        .target(
            name: "AltNetBitcoinDriver",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetBitcoinSession", "AltNetDriverKit", "AltNetDriverProtocol",
                "AltNetObjects", "AltNetStreamDriver", "AltNetTransport",
            ]),
        .target(
            name: "AltNetLightningDriver",
            dependencies: [
                "AltNetAlternativeAddresses", "AltNetBase", "AltNetBitcoin", "AltNetCoreLightning", "AltNetDialing",
                "AltNetDriverKit", "AltNetDriverProtocol", "AltNetKeys", "AltNetLND", "AltNetLightning",
                "AltNetLightningAttachment", "AltNetLightningRelay", "AltNetLightningSession", "AltNetLightningStore",
                "AltNetObjects", "AltNetPeerRecords", "AltNetPeerStore", "AltNetStreamDriver", "AltNetTorControl",
                "AltNetTransport", logging,
            ]),

        .target(
            name: "AltNetLibp2pDriver",
            dependencies: [
                "AltNetBase", "AltNetDialing", "AltNetDriverKit", "AltNetDriverProtocol", "AltNetLibp2p",
                "AltNetLibp2pHost", "AltNetObjects", "AltNetPeerRecords", "AltNetPeerStore", "AltNetTransport", logging,
            ]),

        .target(
            name: "AltNetPunchDriver",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetBitcoinSession", "AltNetDriverKit", "AltNetDriverProtocol",
                "AltNetHolePunch", "AltNetObjects", "AltNetPortMapping", "AltNetPunchReports", "AltNetSAM",
                "AltNetStreamDriver", "AltNetTorControl", "AltNetTransport", logging, nioCore, nioPosix,
            ]),

        .target(
            name: "AltNetLND",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetKeys", "AltNetLightning", "AltNetLightningAttachment", crypto,
                grpcCore, grpcProtobuf, grpcTransport, protobuf,
            ]),

        // Orchestrator: the composition root, its configuration and its control interface.
        .target(
            name: "AltNetConfiguration",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetDialing", "AltNetObjects", "AltNetPeerRecords", "AltNetWatchdog",
                configuration, toml,
            ]),
        .target(
            name: "AltNetControl",
            dependencies: ["AltNetBase", "AltNetPunchReports", asyncHTTPClient, nioCore, nioHTTP1]),
        .target(
            name: "AltNetWeb",
            dependencies: [
                "AltNetBase", "AltNetControl", "AltNetPunchReports", crypto, httpTypes, hummingbird, hummingbirdCore,
                logging, nioCore, nioHTTP1, nioHTTPTypes, nioHTTPTypesHTTP1, serviceLifecycle,
            ],
            resources: [
                .embedInCode("Dashboard/index.html"), .embedInCode("Dashboard/dashboard.js"),
                .embedInCode("Dashboard/dashboard.css"), .embedInCode("Dashboard/dom.js"),
                .embedInCode("Dashboard/live.js"), .embedInCode("Dashboard/punch.js"),
                .embedInCode("Dashboard/timeline.js"), .embedInCode("Dashboard/tree.js"),
                .embedInCode("Dashboard/views.js"),
            ]),
        .target(
            name: "AltNetOrchestrator",
            dependencies: [
                "AltNetAlerts", "AltNetBase", "AltNetBitcoin", "AltNetConfiguration", "AltNetControl",
                "AltNetDriverHost", "AltNetDriverProtocol", "AltNetHeaderChain", "AltNetHeaderSync", "AltNetNode",
                "AltNetHolePunch", "AltNetObjects", "AltNetPeerRecords", "AltNetPeerStore", "AltNetPunchReports",
                "AltNetReplay", "AltNetStore", "AltNetTransport", "AltNetWatchdog", "AltNetWeb",
                httpTypes, hummingbird, logging, nioCore, nioPosix, serviceLifecycle,
            ]),
        .systemLibrary(name: "CTimex"),
        .target(
            name: "AltNetCommands",
            dependencies: [
                "AltNetAlerts", "AltNetBase", "AltNetBitcoin", "AltNetConfiguration", "AltNetControl",
                "AltNetDialing", "AltNetDriverKit", "AltNetHeaderChain", "AltNetHeaderSync", "AltNetHolePunch",
                "AltNetLibp2pHost", "AltNetLightning", "AltNetNode", "AltNetOrchestrator", "AltNetPeerRecords",
                "AltNetPeerStore", "AltNetPunchDriver", "AltNetPunchReports", "AltNetReplay", "AltNetStore",
                "AltNetTransport", "AltNetWatchdog", "CTimex", argumentParser, logging, serviceLifecycle, unixSignals,
            ]),

        // Executables: a few lines each.
        .executableTarget(name: "altnetd", dependencies: ["AltNetCommands", argumentParser]),
        .executableTarget(name: "altnet", dependencies: ["AltNetCommands", argumentParser]),
        .executableTarget(name: "altnet-bitcoin", dependencies: ["AltNetBase", "AltNetBitcoinDriver"]),
        .executableTarget(name: "altnet-libp2p", dependencies: ["AltNetBase", "AltNetLibp2pDriver"]),
        .executableTarget(name: "altnet-lightning", dependencies: ["AltNetBase", "AltNetLightningDriver"]),
        .executableTarget(name: "altnet-punch", dependencies: ["AltNetBase", "AltNetPunchDriver"]),
        .executableTarget(
            name: "altnet-bench",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetControl", "AltNetHeaderChain", "AltNetHolePunch", "AltNetKeys",
                "AltNetLightning", "AltNetLightningRelay", "AltNetNoise", "AltNetOnion", "AltNetPeerRecords",
                "AltNetPeerStore", "AltNetStore", "AltNetTestKit", "AltNetTransport", "CSecp256k1", crypto, grdb,
            ]),

        // Tests, from the inside out. `AltNetTestKit` runs real processes, `HeaderTestSupport` mines; only tests
        // and benchmarks import them.
        .target(name: "AltNetTestKit", dependencies: ["AltNetControl"]),
        .testTarget(name: "AltNetBaseTests", dependencies: ["AltNetBase"]),
        .testTarget(name: "AltNetBitcoinTests", dependencies: ["AltNetBase", "AltNetBitcoin"]),
        .testTarget(name: "AltNetObjectsTests", dependencies: ["AltNetBase", "AltNetObjects"]),
        .testTarget(
            name: "AltNetLightningTests",
            dependencies: ["AltNetBase", "AltNetBitcoin", "AltNetLightning", "AltNetObjects", crypto]),
        .executableTarget(
            name: "echo-plugin",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetCoreLightning", "AltNetKeys", "AltNetLightning",
                "AltNetLightningAttachment", logging,
            ],
            path: "Tests/EchoPlugin"),
        .testTarget(
            name: "AltNetCoreLightningTests",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetCoreLightning", "AltNetKeys", "AltNetLightning",
                "AltNetLightningAttachment",
            ],
            exclude: ["Recordings"]),
        .testTarget(name: "AltNetKeysTests", dependencies: ["AltNetBase", "AltNetKeys"]),
        .testTarget(
            name: "AltNetOnionTests",
            dependencies: ["AltNetBase", "AltNetKeys", "AltNetOnion", "AltNetTestKit", crypto],
            exclude: ["Vectors"]),
        .testTarget(
            name: "AltNetPeerRecordsTests",
            dependencies: ["AltNetBase", "AltNetBitcoin", "AltNetKeys", "AltNetLightning", "AltNetPeerRecords"]),
        .testTarget(
            name: "AltNetDialingTests", dependencies: ["AltNetBase", "AltNetDialing", "AltNetPeerRecords"]),
        .testTarget(
            name: "AltNetLibp2pTests", dependencies: ["AltNetBase", "AltNetLibp2p", "AltNetPeerRecords", crypto]),
        .testTarget(
            name: "AltNetKademliaTests", dependencies: ["AltNetBase", "AltNetKademlia", "AltNetPeerRecords"]),
        .testTarget(
            name: "AltNetPeerStoreTests",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetKeys", "AltNetLightning", "AltNetPeerRecords", "AltNetPeerStore",
                "AltNetTestKit", "peer-store-writer", grdb,
            ]),
        .executableTarget(
            name: "peer-store-writer", dependencies: ["AltNetBase", "AltNetPeerRecords", "AltNetPeerStore"],
            path: "Tests/PeerStoreWriter"),
        .target(
            name: "Libp2pTestSupport",
            dependencies: ["AltNetBase", "AltNetLibp2pHost", "AltNetPeerRecords", "AltNetTestKit", logging],
            path: "Tests/Libp2pTestSupport"),
        .testTarget(
            name: "AltNetLibp2pHostTests",
            dependencies: [
                "AltNetBase", "AltNetDialing", "AltNetKademlia", "AltNetLibp2p", "AltNetLibp2pHost",
                "AltNetPeerRecords", "AltNetPeerStore", "AltNetTestKit", "AltNetTransport", "Libp2pTestSupport",
                logging,
            ]),
        .testTarget(
            name: "AltNetDriverKitTests",
            dependencies: ["AltNetDriverKit", "AltNetDriverProtocol", "AltNetPeerRecords", "AltNetTestKit"]),
        .testTarget(
            name: "Libp2pTests",
            dependencies: [
                "AltNetBase", "AltNetKademlia", "AltNetLibp2p", "AltNetLibp2pHost", "AltNetPeerRecords",
                "AltNetPeerStore", "AltNetTestKit", "Libp2pTestSupport", "altnet", logging,
            ]),
        .testTarget(name: "AltNetNoiseTests", dependencies: ["AltNetBase", "AltNetKeys", "AltNetNoise"]),
        .target(name: "HeaderTestSupport", dependencies: ["AltNetBitcoin"], path: "Tests/HeaderTestSupport"),
        .testTarget(
            name: "AltNetHeaderChainTests",
            dependencies: ["AltNetBase", "AltNetBitcoin", "AltNetHeaderChain", "HeaderTestSupport"]),
        .testTarget(
            name: "AltNetHeaderSyncTests",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetHeaderChain", "AltNetHeaderSync", "AltNetObjects",
                "HeaderTestSupport",
            ]),
        .testTarget(
            name: "AltNetBitcoinSessionTests",
            dependencies: ["AltNetBase", "AltNetBitcoin", "AltNetBitcoinSession", "AltNetObjects"]),
        .testTarget(
            name: "AltNetLightningSessionTests",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetKeys", "AltNetLightning", "AltNetLightningSession",
                "AltNetNoise", "AltNetObjects",
            ]),
        .testTarget(
            name: "AltNetLightningRelayTests",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetKeys", "AltNetLightning", "AltNetLightningRelay",
                "AltNetObjects", "AltNetOnion",
            ]),
        .testTarget(
            name: "AltNetStoreTests",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetHeaderChain", "AltNetStore", "AltNetWatchdog",
                "HeaderTestSupport",
                grdb,
            ]),
        .testTarget(
            name: "AltNetWatchdogTests", dependencies: ["AltNetBase", "AltNetBitcoin", "AltNetWatchdog"]),
        .testTarget(
            name: "AltNetAlertsTests", dependencies: ["AltNetAlerts", "AltNetBase", logging, nioHTTP1]),
        .testTarget(
            name: "AltNetAlternativeAddressesTests",
            dependencies: ["AltNetAlternativeAddresses", "AltNetBase", "AltNetKeys", "AltNetLightning"]),
        .testTarget(
            name: "AltNetLightningDriverTests",
            dependencies: [
                "AltNetAlternativeAddresses", "AltNetBase", "AltNetBitcoin", "AltNetDialing", "AltNetDriverKit",
                "AltNetDriverProtocol", "AltNetKeys", "AltNetLightning", "AltNetLightningAttachment",
                "AltNetLightningDriver", "AltNetLightningRelay", "AltNetLightningStore", "AltNetObjects", "AltNetOnion",
                "AltNetPeerRecords", "AltNetStreamDriver", "AltNetTestKit", "AltNetTransport", logging,
            ]),
        .testTarget(
            name: "AltNetLightningStoreTests",
            dependencies: [
                "AltNetAlternativeAddresses", "AltNetBase", "AltNetKeys", "AltNetLightning", "AltNetLightningStore",
                "AltNetTestKit", grdb,
            ]),
        .testTarget(
            name: "AltNetHolePunchTests",
            dependencies: ["AltNetBase", "AltNetBitcoin", "AltNetHolePunch", "AltNetObjects", crypto]),
        .testTarget(
            name: "AltNetTransportTests",
            dependencies: ["AltNetBase", "AltNetTestKit", "AltNetTransport", nioCore, nioPosix]),
        .testTarget(
            name: "AltNetSAMTests",
            dependencies: ["AltNetBase", "AltNetSAM", "AltNetTestKit", "AltNetTransport"]),
        .testTarget(
            name: "AltNetPortMappingTests",
            dependencies: [
                "AltNetBase", "AltNetPortMapping", "AltNetTestKit", "AltNetTransport", logging,
            ]),
        .testTarget(
            name: "AltNetPunchDriverTests",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetBitcoinSession", "AltNetDriverKit", "AltNetDriverProtocol",
                "AltNetHolePunch", "AltNetObjects", "AltNetPortMapping", "AltNetPunchDriver", "AltNetPunchReports",
                "AltNetSAM", "AltNetStreamDriver", "AltNetTestKit", "AltNetTorControl", "AltNetTransport", crypto,
                logging, nioCore, nioPosix,
            ]),
        .testTarget(name: "AltNetTorControlTests", dependencies: ["AltNetBase", "AltNetTestKit", "AltNetTorControl"]),
        .testTarget(
            name: "AltNetReplayTests",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetHeaderChain", "AltNetReplay", "AltNetWatchdog",
                "HeaderTestSupport",
            ]),
        .testTarget(
            name: "AltNetNodeTests",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetNode", "AltNetObjects", "AltNetTestKit", "CZeroMQ",
                "HeaderTestSupport", logging,
            ]),
        .testTarget(
            name: "AltNetCommandsTests",
            dependencies: [
                "AltNetBase", "AltNetCommands", "AltNetControl", "AltNetLibp2pHost", "AltNetPeerRecords",
                "AltNetPunchReports", argumentParser, logging,
            ]),
        .testTarget(
            name: "AltNetConfigurationTests",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetConfiguration", "AltNetObjects", "AltNetWatchdog",
            ]),
        .testTarget(
            name: "AltNetDriverHostTests",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetDriverHost", "AltNetDriverKit", "AltNetDriverProtocol",
                "AltNetObjects", "AltNetPeerRecords", "AltNetTestKit", logging,
            ]),
        .testTarget(
            name: "AltNetOrchestratorTests",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetBitcoinDriver", "AltNetConfiguration", "AltNetControl",
                "AltNetDriverHost", "AltNetDriverProtocol", "AltNetHeaderSync", "AltNetHolePunch", "AltNetKeys",
                "AltNetLightning",
                "AltNetLightningDriver", "AltNetLightningStore", "AltNetNode", "AltNetObjects", "AltNetOrchestrator",
                "AltNetPeerRecords", "AltNetPunchReports", "AltNetReplay", "AltNetTestKit", "AltNetWatchdog",
                "AltNetWeb", logging,
            ]),
        .testTarget(
            name: "AltNetLNDTests",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetKeys", "AltNetLightning", "AltNetLightningAttachment",
                "AltNetLND", "AltNetTestKit", crypto, grpcCore, protobuf,
            ]),
        .testTarget(
            name: "AltNetWebTests",
            dependencies: [
                "AltNetBase", "AltNetControl", "AltNetPunchReports", "AltNetTestKit", "AltNetWeb", httpTypes, logging,
                nioCore, nioEmbedded, nioHTTPTypes, nioPosix,
            ]),
        .testTarget(
            name: "MessageChainTests",
            dependencies: [
                "AltNetBase", "AltNetBitcoin", "AltNetDriverHost", "AltNetDriverProtocol", "AltNetObjects",
                "AltNetTestKit", "HeaderTestSupport", "altnet-lightning", logging,
            ]),
        .testTarget(
            name: "ProcessTests",
            dependencies: [
                "AltNetBase", "AltNetControl", "AltNetPunchReports", "AltNetTestKit", "altnet", "altnet-bitcoin",
                "altnet-libp2p",
                "altnet-lightning", "altnet-punch", "altnetd", "echo-plugin",
            ]),
        .testTarget(
            name: "NATLabTests",
            dependencies: [
                "AltNetBase", "AltNetControl", "AltNetTestKit", "altnet", "altnet-bitcoin", "altnet-punch", "altnetd",
            ]),
    ],
    swiftLanguageModes: [.v6]
)

// MARK: - Settings of every target of ours

for target in package.targets where [.regular, .test, .executable].contains(target.type) {
    var settings = target.swiftSettings ?? []
    settings.append(contentsOf: [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
    ])
    target.swiftSettings = settings
}
