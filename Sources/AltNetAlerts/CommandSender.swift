// SPDX-License-Identifier: MIT

internal import AltNetBase

/// Starts the operator's program for each batch, with the JSON on standard input.
struct CommandSender: AlertSender {
    private let command: AlertSink.Command

    init(_ command: AlertSink.Command) {
        self.command = command
    }

    func deliver(_ batch: AlertBatch) async -> DeliveryResult {
        let ending = await ProgramRun.run(
            self.command.arguments, input: batch.json(now: .system) + [UInt8(ascii: "\n")],
            limit: self.command.timeout)
        return ending.failure.map { .failed($0) } ?? .delivered("exit status 0")
    }
}

/// Hands mail to the system's `sendmail`.
struct MailSender: AlertSender {
    private let email: AlertSink.Email

    init(_ email: AlertSink.Email) {
        self.email = email
    }

    func deliver(_ batch: AlertBatch) async -> DeliveryResult {
        let message = MailMessage(batch, from: self.email.from, to: self.email.to, at: .system)
        let ending = await ProgramRun.run(
            [self.email.program, "-i", "--"] + self.email.to, input: message.bytes, limit: self.email.timeout)
        switch ending {
        case .exited(64...68, _), .exited(77...78, _):
            // sysexits.h: usage, data, input, user or host unknown; permission, configuration. Time mends none of them.
            return .refused(ending.failure ?? "")
        case .exited, .killed, .tookTooLong, .notStarted:
            return ending.failure.map { .failed($0) } ?? .delivered("given to \(self.email.program)")
        }
    }
}
