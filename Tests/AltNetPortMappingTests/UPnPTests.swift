// SPDX-License-Identifier: MIT

import AltNetBase
import Testing

@testable import AltNetPortMapping

enum Router {
    static let address: [UInt8] = [192, 168, 1, 1]
    static let client: [UInt8] = [192, 168, 1, 2]

    static func url(_ text: String = "http://192.168.1.1:5000/rootDesc.xml") throws -> GatewayURL {
        try GatewayURL(text, gateway: address)
    }

    static func found(
        location: String = "http://192.168.1.1:5000/rootDesc.xml",
        target: String = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"
    ) -> [UInt8] {
        Array(
            ("HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: \(target)\r\nEXT:\r\nSERVER: x UPnP/1.1\r\n"
                + "LOCATION: \(location)\r\n\r\n").utf8)
    }

    static func description(_ type: String = UPnPService.types[1], control: String = "/ctl/IPConn", base: String = "")
        -> String
    {
        """
        <?xml version="1.0"?>
        <!-- a comment > with signs -->
        <root xmlns="urn:schemas-upnp-org:device-1-0" configId="a>b"><specVersion><major>1</major></specVersion>\(base)
        <device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType>
        <serviceList><service><serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType>
        <controlURL>/ctl/L3F</controlURL></service></serviceList><deviceList><device><empty/><deviceList><device>
        <serviceList><service><serviceType>\(type)</serviceType><controlURL>\(control)</controlURL></service>
        </serviceList></device></deviceList></device></deviceList></device></root>

        """
    }

    static func answer(_ action: String, _ arguments: String, status: Int = 200) -> HTTPReply {
        HTTPReply(
            status: status, fields: [:],
            body: Array(
                ("<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"x\"><s:Body><u:\(action)Response xmlns:u=\"y\">"
                    + "\(arguments)</u:\(action)Response></s:Body></s:Envelope>").utf8))
    }

    static func error(_ code: String) -> HTTPReply {
        HTTPReply(
            status: 500, fields: [:],
            body: Array(
                ("<s:Envelope><s:Body><s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring>"
                    + "<detail><UPnPError xmlns=\"z\"><errorCode>\(code)</errorCode><errorDescription>no"
                    + "</errorDescription></UPnPError></detail></s:Fault></s:Body></s:Envelope>").utf8))
    }

    static let addressAnswer = answer(
        "GetExternalIPAddress", "<NewExternalIPAddress>8.8.4.4</NewExternalIPAddress>")

    static let request = UPnPExchange.Request(
        gateway: address, client: client, internalPort: 8_333, externalPort: 8_333, lease: 3_600,
        otherPorts: [40_001, 40_002, 40_003])
}

/// The machine by reference, because `#expect` takes no calls that change a value.
final class UPnPSubject {
    private var exchange: UPnPExchange

    init(_ exchange: UPnPExchange) { self.exchange = exchange }

    convenience init(_ request: UPnPExchange.Request, service: UPnPService? = nil) {
        self.init(UPnPExchange(request, service: service))
    }

    func copy() -> UPnPSubject { UPnPSubject(self.exchange) }
    func start(now: MonotonicInstant) -> [UPnPExchange.Directive] { self.exchange.start(now: now) }
    func onTimer(now: MonotonicInstant) -> [UPnPExchange.Directive] { self.exchange.onTimer(now: now) }

    func onDatagram(_ bytes: [UInt8], now: MonotonicInstant) -> [UPnPExchange.Directive] {
        self.exchange.onDatagram(bytes, now: now)
    }

    func onReply(_ reply: Result<HTTPReply, PortMappingError>, now: MonotonicInstant) -> [UPnPExchange.Directive] {
        self.exchange.onReply(reply, now: now)
    }
}

@Suite("HTTPReply")
struct HTTPReplyTests {
    private func read(_ text: String, pieces: Int = 7) throws -> HTTPReply {
        var reader = HTTPReplyReader()
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let piece = rest.prefix(pieces)
            if let reply = try reader.append(Array(piece)) { return reply }
            rest = rest.dropFirst(piece.count)
        }
        return try reader.end()
    }

    @Test("bodies are read by length, by chunks and to the end", arguments: [1, 2, 3, 7, 50, 1_000])
    func reads(_ pieces: Int) throws {
        let head = "HTTP/1.1 200 OK\r\nServer: a: b\r\n"
        for text in [
            head + "Content-Length: 5\r\n\r\nhello and more", head + "\r\nhello",
            head + "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
        ] {
            let reply = try self.read(text, pieces: pieces)
            #expect(reply.status == 200 && reply.fields["server"] == "a: b" && reply.body == Array("hello".utf8))
        }
    }

    @Test(
        "what is broken, too long or leads elsewhere is refused",
        arguments: [
            "SSH-2.0-x\r\n\r\n", "HTTP/2 200 OK\r\n\r\n", "HTTP/1.1 99 x\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "HTTP/1.1 200 OK\r\n", "",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 3\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + String(repeating: "1", count: 80),
            "HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n\r\n", "HTTP/1.1 301 Moved\r\n\r\n",
        ])
    func refuses(_ text: String) {
        #expect(throws: PortMappingError.self) { try self.read(text) }
    }

    @Test("endless heads and bodies are cut off at their bounds")
    func endless() {
        for start in [
            "", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            var reader = HTTPReplyReader()
            #expect(throws: PortMappingError.self, "\(start)") {
                _ = try reader.append(Array(start.utf8))
                let piece = start.hasSuffix("chunked\r\n\r\n") ? "1\r\nx\r\n" : "x: y\r\n"
                for _ in 0..<200_000 {
                    _ = try reader.append(Array(piece.utf8))
                    #expect(reader.held <= HTTPReply.maximumHead + 2 * HTTPReply.maximumBody)
                }
            }
        }
    }
}

@Suite("XMLElement")
struct XMLElementTests {
    private func parse(_ text: String) throws -> XMLElement { try XMLElement.document(Array(text.utf8)) }

    @Test("elements, texts, entities, comments and CDATA are read")
    func reads() throws {
        let root = try self.parse(
            "\u{feff}<?xml version='1.0'?><!-- <x> --><a:root q='>' r=\"/>\"><b> x &lt;&amp;&#65;&#x42; </b><c/>"
                + "<d><![CDATA[<e>&amp;]]></d><b>2</b></a:root> <!-- end --> ")
        #expect(root.name == "root" && root.value("b") == "x <&AB" && root.value("c")?.isEmpty == true)
        #expect(root.value("d") == "<e>&amp;" && root.all("b").count == 2 && root.value("e") == nil)
    }

    @Test(
        "what is no plain document is refused, entity bombs first",
        arguments: [
            "<!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol2 \"&lol;&lol;\">]><root>&lol2;</root>",
            "<!DOCTYPE root SYSTEM \"http://evil.example/x.dtd\"><root/>", "<root><!ENTITY x 'y'></root>",
            "<root>&lol;</root>", "<root>&xxxxxxxxxxxxxxxxxxxx;</root>", "<root>&", "<root>&#xD800;</root>",
            "<root>&#99999999999;</root>", "", " ", "text", "<root>", "</root>", "<root></toor>",
            "<root><a></root></a>",
            "<root/><root/>", "<root/>text", "<root", "<root a='>", "<>", "< a/>", "<ro\"ot/>", "<!-- ", "<?xml",
            "<root><![CDATA[", "<a:/>",
        ])
    func refuses(_ text: String) {
        #expect(throws: PortMappingError.self) { try self.parse(text) }
    }

    @Test("depth, number and names are bounded")
    func bounds() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "<a>", count: depth) + String(repeating: "</a>", count: depth)
        }
        _ = try self.parse(nested(XMLElement.maximumDepth))
        #expect(throws: PortMappingError.self) { try self.parse(nested(XMLElement.maximumDepth + 1)) }
        #expect(throws: PortMappingError.self) { try self.parse(nested(100_000)) }
        #expect(throws: PortMappingError.self) {
            try self.parse("<r>" + String(repeating: "<a/>", count: XMLElement.maximumElements) + "</r>")
        }
        #expect(throws: PortMappingError.self) { try self.parse("<\(String(repeating: "a", count: 129))/>") }
    }

    @Test("cut and spoilt documents never trap", arguments: 1...20 as ClosedRange<UInt64>)
    func noise(_ seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let whole = Array(Router.description().utf8)
        for _ in 0..<200 {
            var bytes = Array(whole.prefix(Int.random(in: 0...whole.count, using: &random)))
            for _ in 0..<Int.random(in: 0...8, using: &random) where !bytes.isEmpty {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8(truncatingIfNeeded: random.next())
            }
            _ = try? XMLElement.document(bytes)
        }
    }
}

@Suite("UPnP addresses")
struct GatewayURLTests {
    @Test("addresses on the router are read, relative ones too")
    func reads() throws {
        let url = try Router.url()
        #expect(url.port == 5_000 && url.path == "/rootDesc.xml" && url.authority == "192.168.1.1:5000")
        #expect(try Router.url("http://192.168.1.1").path == "/" && Router.url("HTTP://192.168.1.1/a").port == 80)
        #expect(try url.resolve("/ctl").path == "/ctl" && url.resolve("ctl").path == "/ctl")
        #expect(try Router.url("http://192.168.1.1/a/b.xml").resolve("c").path == "/a/c")
        #expect(try url.resolve("http://192.168.1.1:81/x").port == 81)
    }

    @Test(
        "whatever leads elsewhere is refused",
        arguments: [
            "http://192.168.1.3/x", "http://8.8.8.8/x", "http://router/x", "https://192.168.1.1/x",
            "ftp://192.168.1.1/",
            "http://192.168.1.1@evil.example/",
            "http://192.168.1.1.evil.example/",
            "http://3232235777/", "http://0300.0250.1.1/", "http://192.168.1.01/", "http://[::1]/", "http://localhost/",
            "file:///etc/passwd", "", "//192.168.1.1/",
        ])
    func elsewhere(_ text: String) {
        #expect(throws: PortMappingError.elsewhere(UntrustedText(text))) { try Router.url(text) }
    }

    @Test("ports and paths that are none are refused, so that no header can be smuggled in")
    func malformed() throws {
        for text in [
            "http://192.168.1.1:0/", "http://192.168.1.1:99999/", "http://192.168.1.1:/", "http://192.168.1.1:80:80/",
            "http://192.168.1.1:80@evil.example/",
            "http://192.168.1.1/a b", "http://192.168.1.1/a\r\nX: y", "http://192.168.1.1/\u{e4}",
            "http://192.168.1.1/" + String(repeating: "a", count: 1_024),
        ] {
            #expect(throws: PortMappingError.self, "\(text)") { try Router.url(text) }
        }
        let url = try Router.url()
        for text in ["//evil.example/x", "http://evil.example/x", "a\r\nb"] {
            #expect(throws: PortMappingError.self) { try url.resolve(text) }
        }
    }
}

@Suite("UPnPExchange")
struct UPnPExchangeTests {
    typealias Directive = UPnPExchange.Directive

    private func text(_ directive: Directive?) -> String {
        guard case .exchange(_, let bytes) = directive else { return "" }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// An exchange that knows the service and the address, and has asked for the mapping.
    private func asking(_ type: String, _ request: UPnPExchange.Request = Router.request) throws -> (
        UPnPSubject, [Directive]
    ) {
        let exchange = UPnPSubject(request)
        _ = exchange.start(now: .zero)
        _ = exchange.onDatagram(Router.found(), now: .zero)
        _ = exchange.onReply(
            .success(HTTPReply(status: 200, fields: [:], body: Array(Router.description(type).utf8))), now: .zero)
        let directives = exchange.onReply(.success(Router.addressAnswer), now: .zero)
        return (exchange, directives)
    }

    @Test("searches, reads the description, asks for the address and maps the port")
    func maps() throws {
        let exchange = UPnPSubject(Router.request)
        let start = exchange.start(now: .zero)
        #expect(start == [.search(SSDP.searches), .setTimer(.zero + .seconds(1))])
        let search = try #require(SSDP.searches.last.map { String(decoding: $0, as: UTF8.self) })
        #expect(
            search == "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\n"
                + "ST: urn:schemas-upnp-org:service:WANIPConnection:1\r\n\r\n")
        let get = exchange.onDatagram(Router.found(), now: .zero)
        #expect(get.first == .exchange(try Router.url(), try Router.url().get))
        // The second answer to the same search changes nothing.
        #expect(exchange.onDatagram(Router.found(location: "http://192.168.1.1:6/"), now: .zero).isEmpty)
        let ask = exchange.onReply(
            .success(HTTPReply(status: 200, fields: [:], body: Array(Router.description().utf8))), now: .zero)
        #expect(
            self.text(ask.first).hasPrefix(
                "POST /ctl/IPConn HTTP/1.1\r\nHost: 192.168.1.1:5000\r\nContent-Type: text/xml; charset=\"utf-8\"\r\n"
                    + "SOAPAction: \"urn:schemas-upnp-org:service:WANIPConnection:1#GetExternalIPAddress\"\r\n"))
        let add = exchange.onReply(.success(Router.addressAnswer), now: .zero)
        let request = self.text(add.first)
        #expect(request.contains("#AddPortMapping\"") && request.contains("<NewExternalPort>8333</NewExternalPort>"))
        #expect(request.contains("<NewInternalClient>192.168.1.2</NewInternalClient>"))
        #expect(request.contains("<NewProtocol>TCP</NewProtocol>") && request.contains("<NewLeaseDuration>3600<"))
        let length = request.split(separator: "\r\n").first { $0.hasPrefix("Content-Length: ") }?.dropFirst(16)
        let body = try #require(request.firstRange(of: "\r\n\r\n")?.upperBound)
        #expect(length == "\(request[body...].utf8.count)")
        let done = exchange.onReply(.success(Router.answer("AddPortMapping", "")), now: .zero)
        let service = UPnPService(
            type: UPnPService.types[1], control: try Router.url("http://192.168.1.1:5000/ctl/IPConn"))
        #expect(
            done == [
                .finished(
                    .success(
                        UPnPExchange.Grant(
                            service: service, externalAddress: [8, 8, 4, 4], externalPort: 8_333, lease: 3_600)))
            ])
        #expect(
            exchange.onTimer(now: .zero).isEmpty && exchange.onReply(.success(Router.addressAnswer), now: .zero).isEmpty
        )
    }

    @Test("version 2 may choose another port; one that is 2 in name only is asked as version 1")
    func version2() throws {
        let (exchange, add) = try self.asking(UPnPService.types[0])
        #expect(self.text(add.first).contains("#AddAnyPortMapping\""))
        let other = exchange.copy()
        let done = exchange.onReply(
            .success(Router.answer("AddAnyPortMapping", "<NewReservedPort>40123</NewReservedPort>")), now: .zero)
        guard case .finished(.success(let grant)) = done.first else {
            Issue.record("not granted")
            return
        }
        #expect(grant.externalPort == 40_123)
        let again = other.onReply(.success(Router.error("401")), now: .zero)
        #expect(self.text(again.first).contains("WANIPConnection:1#AddPortMapping\""))
    }

    @Test("a port that is taken is replaced as often as is stated, a router without leases is asked for none")
    func conflicts() throws {
        let (exchange, first) = try self.asking(UPnPService.types[1])
        var add = first
        var ports: [Substring] = []
        for _ in 0..<4 {
            ports += self.text(add.first).split(separator: "<NewExternalPort>").dropFirst().map { $0.prefix(5) }
            add = exchange.onReply(.success(Router.error("718")), now: .zero)
        }
        #expect(ports == ["8333<", "40001", "40002", "40003"])
        #expect(add == [.finished(.failure(.refused(.upnp, "error 718 (no)")))])
        let (permanent, _) = try self.asking(UPnPService.types[1])
        let again = permanent.onReply(.success(Router.error("725")), now: .zero)
        #expect(self.text(again.first).contains("<NewLeaseDuration>0<"))
        #expect(
            permanent.onReply(.success(Router.error("725")), now: .zero)
                == [.finished(.failure(.refused(.upnp, "error 725 (no)")))])
    }

    @Test("an answer to the search that leads elsewhere is refused by name, unless a right one comes")
    func elsewhere() throws {
        let exchange = UPnPSubject(Router.request)
        _ = exchange.start(now: .zero)
        let evil = "http://evil.example/x.xml"
        #expect(exchange.onDatagram(Router.found(location: evil), now: .zero).isEmpty)
        let patient = exchange.copy()
        #expect(patient.onDatagram(Router.found(), now: .zero).count == 2)
        var directives: [Directive] = []
        for _ in 0..<UPnPExchange.maximumSearches { directives = exchange.onTimer(now: .zero) }
        #expect(directives == [.finished(.failure(.elsewhere(UntrustedText(evil))))])
        let silent = UPnPSubject(Router.request)
        directives = silent.start(now: .zero)
        for number in 1...UPnPExchange.maximumSearches {
            #expect(directives == [.search(SSDP.searches), .setTimer(.zero + .seconds(number))])
            directives = silent.onTimer(now: .zero)
        }
        #expect(directives == [.finished(.failure(.noAnswer))])
    }

    @Test(
        "datagrams that answer something else are dropped",
        arguments: [
            Router.found(target: "urn:schemas-upnp-org:device:Printer:1"), [], Array("NOTIFY * HTTP/1.1\r\n\r\n".utf8),
            Array("HTTP/1.1 404 Not Found\r\nST: x\r\n\r\n".utf8), [UInt8](repeating: 0x41, count: 4_000),
            Array("HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n".utf8),
        ])
    func foreign(_ datagram: [UInt8]) {
        let exchange = UPnPSubject(Router.request)
        _ = exchange.start(now: .zero)
        #expect(exchange.onDatagram(datagram, now: .zero).isEmpty)
    }

    @Test(
        "a description that leads elsewhere, or to nothing, is refused",
        arguments: [
            Router.description(control: "http://evil.example/ctl"), Router.description(control: "//evil.example/ctl"),
            Router.description(control: "http://192.168.1.9/ctl"), Router.description(control: ""),
            Router.description(control: "/a b"), Router.description("urn:schemas-upnp-org:service:Other:1"),
            Router.description(base: "<URLBase>http://evil.example/</URLBase>"), "<root/>", "<html></html>", "",
            "<!DOCTYPE a [<!ENTITY b 'c'>]>" + Router.description(),
        ])
    func badDescriptions(_ description: String) {
        let exchange = UPnPSubject(Router.request)
        _ = exchange.start(now: .zero)
        _ = exchange.onDatagram(Router.found(), now: .zero)
        let directives = exchange.onReply(
            .success(HTTPReply(status: 200, fields: [:], body: Array(description.utf8))), now: .zero)
        guard case .finished(.failure) = directives.first, directives.count == 1 else {
            Issue.record("not refused: \(directives)")
            return
        }
    }

    @Test(
        "external addresses and ports that are none are refused",
        arguments: ["", "0.0.0.0", "127.0.0.1", "224.0.0.1", "example.com", "8.8.4.4.8", "::1", "8.8.4.04"])
    func badAddresses(_ address: String) throws {
        let exchange = UPnPSubject(
            Router.request, service: UPnPService(type: UPnPService.types[1], control: try Router.url()))
        #expect(exchange.start(now: .zero).count == 2)
        let directives = exchange.onReply(
            .success(
                Router.answer("GetExternalIPAddress", "<NewExternalIPAddress>\(address)</NewExternalIPAddress>")),
            now: .zero)
        guard case .finished(.failure(.malformed(.upnp, _))) = directives.first else {
            Issue.record("not refused")
            return
        }
        let (any, _) = try self.asking(UPnPService.types[0])
        for port in ["0", "65536", "x", ""] {
            let copy = any.copy()
            guard
                case .finished(.failure) = copy.onReply(
                    .success(Router.answer("AddAnyPortMapping", "<NewReservedPort>\(port)</NewReservedPort>")),
                    now: .zero
                ).first
            else {
                Issue.record("port \(port) not refused")
                return
            }
        }
        #expect(any.onReply(.success(Router.error("x")), now: .zero).count == 1)
    }

    @Test("the router's refusals and failures end the request with their reason")
    func failures() throws {
        let (refused, _) = try self.asking(UPnPService.types[1])
        #expect(
            refused.onReply(.success(Router.error("606")), now: .zero)
                == [.finished(.failure(.refused(.upnp, "error 606 (no)")))])
        let (broken, _) = try self.asking(UPnPService.types[1])
        #expect(
            broken.onReply(.success(HTTPReply(status: 503, fields: [:], body: Array("busy".utf8))), now: .zero)
                == [.finished(.failure(.refused(.upnp, "HTTP status 503")))])
        let (other, _) = try self.asking(UPnPService.types[1])
        guard
            case .finished(.failure(.malformed)) = other.onReply(.success(Router.addressAnswer), now: .zero).first
        else {
            Issue.record("another action's answer was taken")
            return
        }
        let (silent, _) = try self.asking(UPnPService.types[1])
        #expect(silent.onTimer(now: .zero) == [.finished(.failure(.noAnswer))])
        let (gone, _) = try self.asking(UPnPService.types[1])
        #expect(
            gone.onReply(.failure(.unreachable("x")), now: .zero) == [.finished(.failure(.unreachable("x")))])
    }
}
