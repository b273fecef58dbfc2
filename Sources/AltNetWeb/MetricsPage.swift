// SPDX-License-Identifier: MIT

/// A metric of Prometheus: what it is called, what it says, and by what it is told apart.
struct Metric: Hashable, Sendable {
    enum Kind: String, Hashable, Sendable {
        case counter, gauge
    }

    let name: String
    let kind: Kind
    /// One sentence.
    let help: String
    /// In the order in which they are given.
    let labels: [String]

    init(_ name: String, _ kind: Kind, labels: [String] = [], _ help: String) {
        self.name = name
        self.kind = kind
        self.labels = labels
        self.help = help
    }
}

/// Text in Prometheus' exposition format 0.0.4.
struct MetricsPage: Sendable {
    /// Series of one metric. More are left out: a metric with a series for each of thousands of links would cost the
    /// operator's Prometheus more than it tells.
    static let maximumSeries = 256

    private struct Series: Sendable {
        let labels: [String]
        let value: Double
    }

    private var series: [Metric: [Series]] = [:]

    /// Adds a value; `nil` adds nothing. Labels are in the metric's order.
    mutating func add(_ metric: Metric, _ labels: [String], _ value: Double?) {
        precondition(labels.count == metric.labels.count)
        guard let value, self.series[metric, default: []].count < Self.maximumSeries else { return }
        self.series[metric, default: []].append(Series(labels: labels, value: value))
    }

    /// Adds the value of a metric without labels.
    mutating func add(_ metric: Metric, _ value: Double?) {
        self.add(metric, [], value)
    }

    /// All metrics in the given order; of those without a value only what they are.
    func text(_ catalogue: [Metric]) -> String {
        var text = ""
        for metric in catalogue {
            text += "# HELP \(metric.name) \(Self.escapedHelp(metric.help))\n"
            text += "# TYPE \(metric.name) \(metric.kind.rawValue)\n"
            for series in self.series[metric] ?? [] {
                let labels = zip(metric.labels, series.labels).map { "\($0)=\"\(Self.escapedLabel($1))\"" }
                text += metric.name
                if !labels.isEmpty { text += "{\(labels.joined(separator: ","))}" }
                text += " \(Self.number(series.value))\n"
            }
        }
        return text
    }

    /// A whole number without a point, anything else as Swift writes it, which Go's parser reads too.
    private static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        return Int64(exactly: value).map(String.init) ?? "\(value)"
    }

    private static func escapedHelp(_ text: String) -> String {
        text.reduce(into: "") { escaped, character in
            switch character {
            case "\\": escaped += "\\\\"
            case "\n": escaped += "\\n"
            default: escaped.append(character)
            }
        }
    }

    private static func escapedLabel(_ text: String) -> String {
        text.reduce(into: "") { escaped, character in
            switch character {
            case "\\": escaped += "\\\\"
            case "\"": escaped += "\\\""
            case "\n", "\r\n": escaped += "\\n"
            default: escaped.append(character)
            }
        }
    }
}
