// SPDX-License-Identifier: MIT

/// The driver `altnet-punch`: coordinates and carries connections between nodes behind NATs.
public enum PunchDriver {
    /// Runs the driver until the orchestrator ends it.
    public static func main(version: String) async {}
}
