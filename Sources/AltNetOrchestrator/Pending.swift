internal import AltNetWatchdog
internal import AltNetControl
struct NoRecorder { func record(_ o: Observation) {} }
struct NoAlerts { func send(_ i: Incident, _ c: ControlEvent.Change) {} }
extension Orchestrator {
    var recorder: NoRecorder? { nil }
    var alerts: NoAlerts? { nil }
    func splicedAddress() async -> String? { nil }
}
