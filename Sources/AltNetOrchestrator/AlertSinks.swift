// SPDX-License-Identifier: MIT

public import AltNetAlerts
public import AltNetConfiguration
internal import AltNetWatchdog

extension AlertSink {
    /// The sink that the operator configured.
    ///
    /// - Throws: `AlertError` for what the configuration does not check itself, such as `http` to another machine.
    public init(_ alert: DaemonConfiguration.Alert) throws(AlertError) {
        let kind: Kind
        switch alert.way {
        case .webhook(let url, let secretFile, let proxy, let allowsPlain):
            var address: ProxyAddress?
            if let proxy { address = try ProxyAddress(proxy) }
            kind = .webhook(
                try Webhook(
                    url: url, secretFile: secretFile, allowPlain: allowsPlain, proxy: address, timeout: alert.timeout))
        case .command(let arguments):
            kind = .command(try Command(arguments, timeout: alert.timeout))
        case .email(let to, let from, let sendmail):
            kind = .email(try Email(from: from, to: to, program: sendmail, timeout: alert.timeout))
        case .journal:
            kind = .journal(Journal())
        }
        self.init(name: alert.name, kind: kind, minimum: alert.minimum == .critical ? .critical : .warning)
    }
}
