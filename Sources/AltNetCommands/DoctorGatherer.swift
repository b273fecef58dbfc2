// SPDX-License-Identifier: MIT

internal import AltNetAlerts
internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetConfiguration
internal import AltNetControl
internal import AltNetNode
internal import AltNetOrchestrator
internal import FoundationEssentials
internal import Glibc

/// Looks around for `altnet doctor`. Opens, connects and asks; changes nothing.
struct DoctorGatherer: Sendable {
    /// How long it tries to connect to anything: the other end is on this machine or a proxy on the local network.
    static let patience: Duration = .seconds(3)

    private let configuration: DaemonConfiguration?
    private var found = DoctorSituation()

    init(_ configuration: DaemonConfiguration, file: String?) {
        self.configuration = configuration
        self.found.configuration = .good(file: file)
        self.found.network = configuration.network.rawValue
    }

    /// With a configuration that cannot be read, only the machine is looked at.
    init(broken reason: String) {
        self.configuration = nil
        self.found.configuration = .broken(reason)
    }

    func situation() async -> DoctorSituation {
        var found = self.found
        found.version = AltNetVersion.current
        found.userID = geteuid()
        found.now = Int64(Date().timeIntervalSince1970)
        found.clock = SystemFacts.clock
        found.service = SystemFacts.service
        guard let configuration = self.configuration else { return found }
        found.dataDirectory = SystemFacts.directory(configuration.networkDirectory)
        if configuration.runtimeDirectory != "\(configuration.networkDirectory)/run" {
            found.runtimeDirectory = SystemFacts.directory(configuration.runtimeDirectory)
        }
        found.openFiles = [configuration.networkDirectory, configuration.runtimeDirectory].flatMap(
            SystemFacts.openFiles)
        await self.askDaemon(configuration, &found)
        found.node = await self.node(configuration)
        if configuration.node.kind == .kernel {
            found.kernel = SystemFacts.library(configuration.node.library ?? "libbitcoinkernel.so")
        }
        found.alerts = configuration.alerts.map(Self.alert)
        if let address = configuration.http.listen, !address.hasSuffix(":0") {
            found.http = DoctorSituation.HTTP(address: address, isAnswering: Self.endpoint(address, "").failure == nil)
        }
        found.proxies = self.proxies(configuration)
        return found
    }

    private func askDaemon(_ configuration: DaemonConfiguration, _ found: inout DoctorSituation) async {
        let client = ControlClient(socketPath: configuration.controlSocket)
        var reports: [DriverReport] = []
        do throws(ControlError) {
            let status = try await client.status()
            found.daemon = .answers(status)
            found.fileLimit = SystemFacts.fileLimit(of: status.processID)
            reports = try await client.drivers()
            found.links = try await client.links()
        } catch {
            if case .silent = found.daemon { found.daemon = .silent(error.description) }
        }
        found.drivers = configuration.drivers.map { driver in
            DoctorSituation.Driver(
                name: driver.name, isEnabled: driver.isEnabled, listen: driver.texts("listen"),
                report: reports.first { $0.name == driver.name })
        }
    }

    private func node(_ configuration: DaemonConfiguration) async -> DoctorSituation.Node? {
        let node = configuration.node
        guard node.kind == .bitcoinCore else { return nil }
        var found = DoctorSituation.Node(
            url: node.url, answer: .none(""), allow: node.allow.map(\.rawValue).sorted(), wantsZMQ: node.follow == .zmq)
        var published: [String] = []
        do throws(NodeError) {
            let endpoint = try CoreEndpoint(
                url: node.url, network: configuration.network, allowRemote: node.allowsRemote)
            let credentials: CoreCredentials =
                switch node.credentials {
                case .cookie(let file): .cookieFile(file)
                case .password(let user, let password): .password(user: user, password: password)
                }
            let facts = try await BitcoinCoreNode.Configuration(
                network: configuration.network, endpoint: endpoint, credentials: credentials
            ).probe()
            published = facts.zmqHashBlock
            found.answer = .facts(
                DoctorSituation.Node.Facts(
                    isExpectedNetwork: facts.isExpectedNetwork, network: facts.network, version: facts.version,
                    blocks: facts.blocks, headers: facts.headers, isSyncing: facts.isSyncing,
                    isPruned: facts.isPruned, zmqHashBlock: facts.zmqHashBlock))
        } catch {
            found.answer = .none(error.description)
        }
        if let address = node.zmq ?? published.first, address.hasPrefix("tcp://") {
            found.zmq = Self.endpoint(String(address.dropFirst(6)), "the node")
            found.zmq?.address = address
        }
        return found
    }

    private func proxies(_ configuration: DaemonConfiguration) -> [DoctorSituation.Endpoint] {
        var users: [(address: String, user: String)] = []
        for driver in configuration.drivers where driver.isEnabled {
            for proxy in driver.texts("proxy") { users.append((proxy, "the driver \(driver.name)")) }
        }
        for alert in configuration.alerts {
            if case .webhook(_, _, let proxy?, _) = alert.way { users.append((proxy, "alerts to \(alert.name)")) }
        }
        return users.map { Self.endpoint($0.address, $0.user) }
    }

    private static func alert(_ alert: DaemonConfiguration.Alert) -> DoctorSituation.Alert {
        var problems: [String] = []
        var kind = "unusable"
        do throws(AlertError) {
            let sink = try AlertSink(alert)
            kind = sink.kind.word
            switch sink.kind {
            case .webhook(let webhook): _ = try WebhookSecret.read(webhook.secretFile)
            case .command(let command): problems += Self.missing(command.arguments[0])
            case .email(let email): problems += Self.missing(email.program)
            case .journal(let journal):
                if access(journal.socketPath, F_OK) != 0 {
                    problems.append("there is no journal at \(journal.socketPath); they go to the log instead")
                }
            }
        } catch {
            problems.append(error.description)
        }
        return DoctorSituation.Alert(name: alert.name, kind: kind, problems: problems)
    }

    private static func missing(_ program: String) -> [String] {
        access(program, X_OK) == 0 ? [] : ["\(program) is not there, or this user may not start it"]
    }

    private static func endpoint(_ address: String, _ user: String) -> DoctorSituation.Endpoint {
        DoctorSituation.Endpoint(
            address: address, usedBy: user, failure: ConnectionProbe.failure(address, within: Self.patience))
    }
}

extension DaemonConfiguration.Driver {
    /// A setting that is a text or several.
    fileprivate func texts(_ name: String) -> [String] {
        switch self.settings[name] {
        case .text(let text)?: [text]
        case .texts(let texts)?: texts
        case .number?, .flag?, nil: []
        }
    }
}
