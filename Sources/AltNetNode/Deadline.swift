// SPDX-License-Identifier: MIT

/// The work was not done in time.
struct DeadlineExceeded: Error {}

/// Does some work, and cancels it when it takes longer than `limit`.
///
/// What the work must do on cancellation: end soon. Everything here that waits does.
func withDeadline<Value: Sendable>(
    _ limit: Duration, _ work: @Sendable @escaping () async throws -> Value
) async throws -> Value {
    try await withThrowingTaskGroup(of: Value?.self) { group in
        group.addTask { try await work() }
        group.addTask {
            try await Task.sleep(for: limit)
            return nil
        }
        defer { group.cancelAll() }
        guard let first = try await group.next(), let value = first else { throw DeadlineExceeded() }
        return value
    }
}
