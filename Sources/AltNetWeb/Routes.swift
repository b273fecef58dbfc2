// SPDX-License-Identifier: MIT

internal import AltNetControl
internal import AltNetPunchReports
internal import FoundationEssentials
internal import HTTPTypes
internal import Hummingbird
internal import HummingbirdCore
internal import NIOCore

extension Route {
    /// Everything that is served. `docs/api/openapi.json` says the same; a test compares them.
    static let all: [Route] = questions + watchdog + peers + punching + changes + access + pages

    private static let questions: [Route] = [
        Route(.get, "/v1/status", .read) { asked, service in
            var status = await service.operations.status()
            status.http = service.url
            return try Answer.json(status)
        },
        Route(.get, "/v1/links", .read) { _, service in try Answer.json(await service.operations.links()) },
        Route(.get, "/v1/tips", .read) { _, service in try Answer.json(await service.operations.tips()) },
        Route(.get, "/v1/blocks", .read, query: ["limit"]) { asked, service in
            let limit = try asked.number("limit", default: 144, in: 1...UInt32(ControlInterface.maximumBlocks))
            return try Answer.json(await service.operations.blocks(limit: Int(limit)))
        },
        Route(.get, "/v1/drivers", .read) { _, service in try Answer.json(await service.operations.drivers()) },
        Route(.get, "/v1/node", .read) { _, service in try Answer.json(await service.operations.node()) },
        Route(.get, "/v1/splices", .read) { _, service in try Answer.json(await service.operations.splices()) },
        Route(.get, "/v1/headers", .read, query: ["from", "count"], isHeavy: true) { asked, service in
            let most = UInt32(ControlInterface.maximumHeadersBytes / 80)
            let bytes = try await service.operations.exportHeaders(
                from: try asked.number("from", default: 0),
                count: min(try asked.number("count", default: 2000), most))
            return Answer.bytes(bytes, type: "application/octet-stream")
        },
    ]

    private static let watchdog: [Route] = [
        Route(.get, "/v1/incidents", .read, query: ["limit", "open"]) { asked, service in
            let limit = try asked.number("limit", default: 50, in: 1...UInt32(ControlInterface.maximumIncidents))
            return try Answer.json(
                try await service.operations.incidents(limit: Int(limit), onlyOpen: try asked.flag("open")))
        },
        Route(.get, "/v1/incidents/{id}", .read) { asked, service in
            let id = try asked.incident()
            guard let incident = try await service.operations.incident(id) else {
                throw ControlRefusal(.notFound, "there is no incident \(id)")
            }
            return try Answer.json(incident)
        },
        Route(.get, "/v1/incidents/{id}/evidence", .read, isHeavy: true) { asked, service in
            let id = try asked.incident()
            guard let evidence = try await service.operations.evidence(of: id) else {
                throw ControlRefusal(.notFound, "there is no incident \(id)")
            }
            return Answer.bytes(evidence, type: "application/json")
        },
        Route(.get, "/v1/safe", .read) { _, service in
            let report = await service.operations.safe()
            return try Answer.json(report, status: report.safe ? .ok : .serviceUnavailable)
        },
        Route(.get, "/v1/alerts", .read, query: ["limit"]) { asked, service in
            let limit = try asked.number("limit", default: 50, in: 1...UInt32(ControlInterface.maximumAlerts))
            return try Answer.json(await service.operations.alerts(limit: Int(limit)))
        },
        Route(.get, "/v1/events", .read) { asked, service in
            var last: UInt64?
            if let text = asked.headers[HTTPField.Name.lastEventID] {
                guard let number = UInt64(text) else {
                    throw ControlRefusal(.badRequest, "the header Last-Event-ID must be a number that an event had")
                }
                last = number
            }
            guard let pass = asked.listener.readers.tryEnter() else {
                throw ControlRefusal(
                    .unavailable, "there are \(EventHub.maximumReaders) event streams already; close one")
            }
            return try EventStream.response(service.events, after: last, channel: asked.channel, pass: pass)
        },
    ]

    private static let peers: [Route] = [
        Route(.get, "/v1/peers", .read, query: ["after", "limit"]) { asked, service in
            let limit = try asked.number("limit", default: 50, in: 1...UInt32(ControlInterface.maximumPeers))
            var list = try await service.operations.peers(after: asked.query["after"], limit: Int(limit))
            if asked.grant.scope != .full { list.peers = list.peers.map(\.withoutConfidences) }
            return try Answer.json(list)
        },
        Route(.get, "/v1/peers/{id}", .read) { asked, service in
            guard let peer = try await service.operations.peer(asked.parameter("id")) else {
                throw ControlRefusal(.notFound, "nothing is known of that peer")
            }
            return try Answer.json(asked.grant.scope == .full ? peer : peer.withoutConfidences)
        },
        Route(.post, "/v1/peers", .operate, body: .operation) { asked, service in
            let additions = try asked.json(PeerAdditions.self).additions
            guard additions.count <= ControlInterface.maximumPeerAdditions else {
                throw ControlRefusal(
                    .badRequest, "at most \(ControlInterface.maximumPeerAdditions) additions are taken at once")
            }
            return try Answer.json(try await service.operations.addPeers(additions))
        },
        Route(.delete, "/v1/peers/{id}", .operate, query: ["address"]) { asked, service in
            let isKnown = try await service.operations.forgetPeer(
                asked.parameter("id"), address: asked.query["address"])
            guard isKnown else { throw ControlRefusal(.notFound, "that is not known anyway") }
            return try Answer.nothing()
        },
    ]

    private static let punching: [Route] = [
        Route(.get, "/v1/nat", .read, isSlow: true) { _, service in try Answer.json(try await service.operations.nat())
        },
        Route(.post, "/v1/nat", .operate, isSlow: true) { _, service in
            try Answer.json(try await service.operations.checkNAT())
        },
        Route(.get, "/v1/punch", .read) { _, service in try Answer.json(await service.operations.punchOverview()) },
        Route(.post, "/v1/punch", .operate, body: .json, isSlow: true) { asked, service in
            try Answer.json(try await service.operations.punch(try asked.json(PunchRequest.self)))
        },
        Route(.get, "/v1/punch/offers", .read) { _, service in
            try Answer.json(await service.operations.punchOffers())
        },
        Route(.get, "/v1/punch/attempts", .read, isSlow: true) { _, service in
            try Answer.json(try await service.operations.punches())
        },
        Route(.get, "/v1/punch/stats", .read, isSlow: true) { _, service in
            try Answer.json(try await service.operations.punchStats())
        },
        Route(.post, "/v1/punch/keys", .operate, isSlow: true) { _, service in
            try Answer.json(try await service.operations.rotatePunchKeys())
        },
    ]

    private static let changes: [Route] = [
        Route(.post, "/v1/drivers", .operate, body: .json) { asked, service in
            try Answer.json(try await service.operations.attach(try asked.json()))
        },
        Route(.delete, "/v1/drivers/{name}", .operate) { asked, service in
            try await service.operations.detach(asked.parameter("name"))
            return try Answer.nothing()
        },
        Route(.post, "/v1/drivers/{name}/targets", .operate, body: .json) { asked, service in
            let target = try asked.json(TargetRequest.self).target
            try await service.operations.openTarget(target, driver: asked.parameter("name"))
            return try Answer.nothing()
        },
        Route(.delete, "/v1/drivers/{name}/targets", .operate, body: .json) { asked, service in
            let target = try asked.json(TargetRequest.self).target
            try await service.operations.closeTarget(target, driver: asked.parameter("name"))
            return try Answer.nothing()
        },
        Route(.post, "/v1/drivers/{name}/operations/{operation}", .operate, body: .operation, isSlow: true) {
            asked, service in
            let answer = try await service.operations.perform(
                asked.parameter("operation"), Array(asked.body.readableBytesView), by: asked.parameter("name"))
            return Answer.bytes(answer, type: "application/json")
        },
        Route(.post, "/v1/alerts/{name}/test", .operate) { asked, service in
            try Answer.json(try await service.operations.sendTestAlert(to: asked.parameter("name")))
        },
        Route(.post, "/v1/headers", .operate, body: .headers, isHeavy: true) { asked, service in
            let count = asked.body.readableBytes
            guard count.isMultiple(of: 80), count > 0 else {
                throw ControlRefusal(.badRequest, "\(count) bytes are no whole number of 80-byte headers")
            }
            return try Answer.json(try await service.operations.importHeaders(Array(asked.body.readableBytesView)))
        },
    ]

    private static let access: [Route] = [
        Route(.post, "/v1/logins", .operate, body: .json) { asked, service in
            try Answer.json(try service.makeLogin(try asked.json(LoginRequest.self).scope))
        },
        Route(.get, "/login", .open, query: ["code"]) { asked, service in
            let cookie = try service.logIn(asked.query["code"] ?? "", at: asked.listener)
            return Response(status: .seeOther, headers: [.location: "/", .setCookie: cookie], body: ResponseBody())
        },
        Route(.get, "/v1/session", .read) { asked, _ in
            guard let scope = asked.grant.scope else { throw ControlRefusal(.unauthorized, "nobody is logged in") }
            guard case .session(let session) = asked.grant else {
                return try Answer.json(SessionReport(scope: scope, csrfToken: nil))
            }
            return try Answer.json(SessionReport(scope: scope, csrfToken: session.csrfToken))
        },
        Route(.delete, "/v1/session", .read) { asked, _ in
            if case .session(let session) = asked.grant { asked.listener.logOut(session) }
            return try Answer.nothing()
        },
    ]

    private static let pages: [Route] = [
        Route(.get, "/health", .open) { _, service in try Answer.health(await service.operations.health()) },
        Route(.get, "/ready", .open) { _, service in try Answer.health(await service.operations.ready()) },
        Route(.get, "/metrics", .read) { _, service in
            Answer.bytes(Array(await service.metrics().utf8), type: Metrics.contentType)
        },
        Route(.get, "/", .open) { _, _ in Dashboard.page },
        Route(.get, "/dashboard.js", .open) { _, _ in Dashboard.script },
        Route(.get, "/dom.js", .open) { _, _ in Dashboard.dom },
        Route(.get, "/live.js", .open) { _, _ in Dashboard.live },
        Route(.get, "/punch.js", .open) { _, _ in Dashboard.punch },
        Route(.get, "/timeline.js", .open) { _, _ in Dashboard.timeline },
        Route(.get, "/tree.js", .open) { _, _ in Dashboard.tree },
        Route(.get, "/views.js", .open) { _, _ in Dashboard.views },
        Route(.get, "/dashboard.css", .open) { _, _ in Dashboard.style },
    ]
}

/// The forms of answers.
enum Answer {
    static func json(_ value: some Encodable, status: HTTPResponse.Status = .ok) throws -> Response {
        Response(
            status: status, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: try JSON.bytes(value))))
    }

    static func bytes(_ bytes: [UInt8], type: String) -> Response {
        Response(status: .ok, headers: [.contentType: type], body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }

    static func health(_ report: HealthReport) throws -> Response {
        try Self.json(report, status: report.ok ? .ok : .serviceUnavailable)
    }

    /// An empty object: there is nothing to say but that it is done.
    static func nothing() throws -> Response { try Self.json([String: String]()) }
}

/// The files of the page at `/`, which are part of the program. They say nothing about the daemon: the page asks.
enum Dashboard {
    static let page = Answer.bytes(PackageResources.index_html, type: "text/html; charset=utf-8")
    static let script = Self.module(PackageResources.dashboard_js)
    // What the script imports.
    static let dom = Self.module(PackageResources.dom_js)
    static let live = Self.module(PackageResources.live_js)
    static let punch = Self.module(PackageResources.punch_js)
    static let timeline = Self.module(PackageResources.timeline_js)
    static let tree = Self.module(PackageResources.tree_js)
    static let views = Self.module(PackageResources.views_js)
    static let style = Answer.bytes(PackageResources.dashboard_css, type: "text/css; charset=utf-8")

    private static func module(_ bytes: [UInt8]) -> Response {
        Answer.bytes(bytes, type: "text/javascript; charset=utf-8")
    }
}
