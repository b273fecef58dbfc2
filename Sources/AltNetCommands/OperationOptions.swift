// SPDX-License-Identifier: MIT

internal import AltNetControl
internal import ArgumentParser

/// What every command takes that has a driver do something.
struct OperationOptions: ParsableArguments {
    @Option(help: "The driver to ask. Default: the one that can do this.")
    var driver: String?

    @OptionGroup var daemon: DaemonOptions

    /// Asks the driver, and prints what it answers.
    @discardableResult
    func show<Question, Report>(
        _ operation: DriverOperation<Question, Report>, _ question: Question, as text: (Report) -> String
    ) async throws -> Report {
        let report: Report
        do {
            let client = try self.daemon.client()
            report = try await client.perform(operation, question, by: try await self.find(operation.name, client))
        } catch let error as ControlError {
            throw Failure.exit(error.description)
        }
        print(self.daemon.json ? try JSONText.of(report) : text(report))
        return report
    }

    private func find(_ operation: String, _ client: ControlClient) async throws(ControlError) -> String {
        if let driver { return driver }
        return try Self.choose(among: try await client.drivers(), for: operation)
    }

    /// The driver that offers an operation, where it is clear which.
    static func choose(among drivers: [DriverReport], for operation: String) throws(ControlError) -> String {
        let able = drivers.filter { $0.operations.contains(operation) }.map(\.name).sorted()
        guard let first = able.first else {
            throw ControlError("no attached driver can do \(operation); `altnet drivers` shows what each can do")
        }
        guard able.count == 1 else {
            throw ControlError("the drivers \(able.joined(separator: ", ")) can do that; say which one with --driver")
        }
        return first
    }
}

/// Identifiers of Lightning nodes as people type them.
enum NodeIDText {
    /// The digits of a public key of 33 bytes.
    static let length = 66

    /// In lower case; `nil` for what is no public key in its compressed form.
    static func parse(_ text: some StringProtocol) -> String? {
        guard text.utf8.count == Self.length, text.utf8.allSatisfy(Self.isDigit) else { return nil }
        let id = text.lowercased()
        return id.hasPrefix("02") || id.hasPrefix("03") ? id : nil
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
            UInt8(ascii: "A")...UInt8(ascii: "F"):
            true
        default: false
        }
    }

    /// The nodes of a path that is separated by commas.
    static func path(_ text: String) throws -> [String] {
        try text.split(separator: ",", omittingEmptySubsequences: false).enumerated().map { index, part in
            guard let id = Self.parse(part) else {
                throw ValidationError(
                    "node \(index + 1) of --path is no node id: \(Self.length) hexadecimal digits that begin with 02 or 03"
                )
            }
            return id
        }
    }

    static func peer(_ text: String) throws -> String {
        guard let id = Self.parse(text) else {
            throw ValidationError(
                "the peer is no node id: \(Self.length) hexadecimal digits that begin with 02 or 03")
        }
        return id
    }

    /// Enough of an identifier to know it again.
    static func short(_ id: String) -> String { id.count > 16 ? id.prefix(12) + "…" : id }
}
