// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetWatchdog

/// The configuration in the `started` line of a recording: with another one the watchdog would find other incidents.
///
/// All keys may be missing; a line without `grace` has no configuration. Durations are in milliseconds.
enum StartedForm {
    static let keys: Set<String> = ["blockGrace", "expectedInterval", "grace", "lateMargin", "network"]

    static func read(_ fields: Fields, at: WallClockTime) throws -> ObservationLine {
        var network: Network?
        if let name: String = try fields.optional("network") {
            guard let known = Network(rawValue: name) else {
                throw fields.problem("unknown network \(UntrustedText(name))")
            }
            network = known
        }
        guard fields.has("grace") else {
            for key in Self.keys.subtracting(["network"]).sorted() where fields.has(key) {
                throw fields.problem("\(key) without grace")
            }
            return .started(at, network: network)
        }
        var configuration = Watchdog.Configuration(grace: try Self.duration("grace", fields))
        if fields.has("blockGrace") { configuration.blockGrace = try Self.duration("blockGrace", fields) }
        if fields.has("lateMargin") { configuration.lateMargin = try Self.duration("lateMargin", fields) }
        if fields.has("expectedInterval") {
            // Null says that blocks are not meant to come at intervals.
            let milliseconds: Int64? = try fields.optional("expectedInterval")
            configuration.expectedInterval = try milliseconds.map { _ in
                let interval = try Self.duration("expectedInterval", fields)
                guard interval > .zero else { throw fields.problem("expectedInterval is zero") }
                return interval
            }
        }
        return .started(at, configuration, network: network)
    }

    static func write(
        _ configuration: Watchdog.Configuration?, _ network: Network?, to fields: inout FieldWriter
    ) throws {
        if let network { try fields.write("network", network.rawValue) }
        guard let configuration else { return }
        try fields.write("grace", Self.milliseconds(configuration.grace))
        try fields.write("blockGrace", Self.milliseconds(configuration.blockGrace))
        try fields.write("lateMargin", Self.milliseconds(configuration.lateMargin))
        try fields.write("expectedInterval", configuration.expectedInterval.map(Self.milliseconds))
    }

    private static func duration(_ name: String, _ fields: Fields) throws -> Duration {
        let duration = try fields.duration(name)
        guard duration >= .zero else { throw fields.problem("\(name) is negative") }
        return duration
    }

    private static func milliseconds(_ duration: Duration) -> Int64 { Int64(duration.wholeNanoseconds / 1_000_000) }
}
