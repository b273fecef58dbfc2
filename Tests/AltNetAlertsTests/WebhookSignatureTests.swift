// SPDX-License-Identifier: MIT

import AltNetBase
import Foundation
import Testing

@testable import AltNetAlerts

@Suite("Signature of webhooks")
struct WebhookSignatureTests {
    @Test("the vector of the Standard Webhooks libraries")
    func vector() throws {
        let secret = try WebhookSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        let signature = secret.signature(
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp: 1_614_265_330, body: Array(#"{"test": 2432232314}"#.utf8))
        #expect(signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
    }

    @Test("the Python example of docs/alerts.md accepts what we sign, and nothing else")
    func documentedExample() async throws {
        let directory = TemporaryDirectory()
        let document = try String(contentsOfFile: "docs/alerts.md", encoding: .utf8)
        let example = try #require(
            document.components(separatedBy: "```python\n").dropFirst().first?.components(separatedBy: "```").first)
        let key = "whsec_" + Data((0..<32).map { UInt8($0) }).base64EncodedString()
        let body = AlertBatch([Sample.message(explanation: "behind “now”")], missed: 0).json(now: Sample.opened)
        let now = Int64(Date().timeIntervalSince1970)
        let signature = try WebhookSecret(key).signature(id: "a-1", timestamp: now, body: body)
        let call = { (id: String, signature: String, timestamp: Int64) in
            """
            \(example)
            body = bytes.fromhex("\(Hex.encode(body))")
            headers = {"webhook-id": "\(id)", "webhook-timestamp": "\(timestamp)", "webhook-signature": "\(signature)"}
            print(verify("\(key)", headers, body))
            """
        }
        for (id, text, timestamp, expected) in [
            ("a-1", signature, now, "True"), ("a-1", "v1,AAAA \(signature)", now, "True"),
            ("a-2", signature, now, "False"), ("a-1", signature, now - 1000, "False"),
            ("a-1", "v1,AAAA", now, "False"),
        ] {
            let script = try directory.file("check.py", call(id, text, timestamp))
            let ending = await ProgramRun.run(["/usr/bin/env", "python3", script], input: [], limit: .seconds(30))
            #expect(ending == .exited(0, lastWords: expected))
        }
    }

    @Test(
        "what is no secret is refused",
        arguments: ["", "whsec_", "secret", "whsec_AAAA", "whsec_!!!", "whsec_" + String(repeating: "AAAA", count: 22)])
    func malformed(text: String) {
        #expect(throws: AlertError.self) { try WebhookSecret(text) }
    }

    @Test("a secret file must be its owner's alone")
    func file() throws {
        let directory = TemporaryDirectory()
        let good = try directory.file("good", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
        _ = try WebhookSecret.read(good)
        let open = try directory.file("open", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", mode: 0o640)
        let error = #expect(throws: AlertError.self) { try WebhookSecret.read(open) }
        #expect(error?.description == "others may read the secret file \(open); run: chmod 600 \(open)")
        #expect(throws: AlertError.self) { try WebhookSecret.read(directory.path) }
        #expect(throws: AlertError.self) { try WebhookSecret.read(directory.path + "/none") }
        let long = try directory.file("long", String(repeating: "x", count: 300))
        #expect(throws: AlertError.self) { try WebhookSecret.read(long) }
    }
}
