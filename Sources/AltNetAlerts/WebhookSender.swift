// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AsyncHTTPClient
internal import Glibc
internal import NIOCore
internal import NIOHTTP1

/// Posts batches to an HTTP receiver.
///
/// Of the answer only the head is read: what a receiver has to say in a body, however long, is not needed. TLS is
/// checked against the system's certificates.
struct WebhookSender: AlertSender {
    private let webhook: AlertSink.Webhook

    init(_ webhook: AlertSink.Webhook) {
        self.webhook = webhook
    }

    func deliver(_ batch: AlertBatch) async -> DeliveryResult {
        let now = WallClockTime.system
        let body = batch.json(now: now)
        var request = HTTPClientRequest(url: self.webhook.url)
        request.method = .POST
        request.headers.add(name: "content-type", value: "application/json")
        request.headers.add(name: "user-agent", value: "altnetd/\(AltNetVersion.current)")
        request.headers.add(name: "webhook-id", value: batch.id)
        request.headers.add(name: "webhook-timestamp", value: "\(now.seconds)")
        do throws(AlertError) {
            let secret = try WebhookSecret.read(self.webhook.secretFile)
            request.headers.add(
                name: "webhook-signature", value: secret.signature(id: batch.id, timestamp: now.seconds, body: body))
        } catch {
            // The operator can mend the file while the alert waits.
            return .failed(error.description)
        }
        request.body = .bytes(ByteBuffer(bytes: body))
        return await self.post(request, now)
    }

    private func post(_ request: HTTPClientRequest, _ now: WallClockTime) async -> DeliveryResult {
        var configuration = HTTPClient.Configuration()
        configuration.redirectConfiguration = .disallow
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.httpVersion = .http1Only
        configuration.proxy = self.webhook.proxy.map { .socksServer(host: $0.host, port: $0.port) }
        // One for each attempt: alerts are rare, and nothing of a receiver that misbehaves stays behind.
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        let result: DeliveryResult
        do {
            let answer = try await client.execute(
                request, deadline: .now() + .nanoseconds(self.webhook.timeout.wholeNanoseconds))
            result = Self.judge(answer.status.code, answer.headers, now)
        } catch let error as HTTPClientError where error == .deadlineExceeded || error == .connectTimeout {
            result = .failed("no answer within \(self.webhook.timeout.components.seconds) s")
        } catch {
            result = .failed("no answer: \(UntrustedText("\(error)"))")
        }
        try? await client.shutdown()
        return result
    }

    /// What a status means (RFC 9110, section 15).
    static func judge(_ status: UInt, _ headers: HTTPHeaders, _ now: WallClockTime) -> DeliveryResult {
        switch status {
        case 200..<300:
            return .delivered("status \(status)")
        case 408, 409, 425, 429, 500..<600:
            return .failed(
                "status \(status)", retryAfter: headers.first(name: "retry-after").flatMap { Self.pause($0, now) })
        case 300..<400:
            let location = headers.first(name: "location").map { " to \(UntrustedText($0))" } ?? ""
            return .refused(
                "status \(status): redirected\(location), which is not followed; put the right address into url")
        default:
            return .refused("status \(status)")
        }
    }

    /// How long `Retry-After` asks to wait: a number of seconds or a date (RFC 9110, section 10.2.3); `nil` for neither.
    static func pause(_ text: String, _ now: WallClockTime) -> Duration? {
        if !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
            // More digits than fit are more than the bound anyway.
            return .seconds(Int64(text).map { min($0, 1 << 31) } ?? 1 << 31)
        }
        // "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, section 5.6.7); the two obsolete forms are not read.
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        guard words.count == 6, words[5] == "GMT", let month = months.firstIndex(of: String(words[2])),
            let day = Int32(words[1]), (1...31).contains(day), let year = Int32(words[3]),
            (1970...9999).contains(year)
        else { return nil }
        let clock = words[4].split(separator: ":").compactMap { UInt8($0).map(Int32.init) }
        guard clock.count == 3, clock[0] < 24, clock[1] < 60, clock[2] <= 60 else { return nil }
        var parts = tm()
        parts.tm_year = year - 1900
        parts.tm_mon = Int32(month)
        parts.tm_mday = day
        parts.tm_hour = clock[0]
        parts.tm_min = clock[1]
        parts.tm_sec = clock[2]
        return max(.zero, WallClockTime(seconds: Int64(timegm(&parts))) - now)
    }
}
