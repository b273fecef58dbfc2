// SPDX-License-Identifier: MIT

public import AltNetAlerts
public import AltNetConfiguration
internal import AltNetWatchdog

extension AlertSink {
    /// The sink that the operator configured.
    ///
    /// - Throws: `AlertError` for what the configuration does not check itself, such as `http` to another machine.
    public init(_ alert: DaemonConfiguration.Alert) throws(AlertError) {
        do throws(AlertError) {
            try self.init(
                name: alert.name, kind: try Kind(alert.way, timeout: alert.timeout),
                minimum: AlertMessage.Severity(alert.minimum), burst: alert.burst, perHour: alert.perHour)
        } catch {
            throw AlertError("alerts.\(alert.name): \(error)")
        }
    }
}

extension AlertSink.Kind {
    fileprivate init(_ way: DaemonConfiguration.Alert.Way, timeout: Duration?) throws(AlertError) {
        switch way {
        case .webhook(let url, let secretFile, let proxy, let allowsPlain):
            var address: ProxyAddress?
            if let proxy { address = try ProxyAddress(proxy) }
            self = .webhook(
                try AlertSink.Webhook(
                    url: url, secretFile: secretFile, allowPlain: allowsPlain, proxy: address,
                    timeout: timeout ?? .seconds(15)))
        case .command(let arguments):
            self = .command(try AlertSink.Command(arguments, timeout: timeout ?? .seconds(30)))
        case .email(let to, let from, let sendmail):
            self = .email(
                try AlertSink.Email(from: from, to: to, program: sendmail, timeout: timeout ?? .seconds(30)))
        case .journal(let socket): self = .journal(AlertSink.Journal(socketPath: socket))
        }
    }
}
