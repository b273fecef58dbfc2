// SPDX-License-Identifier: MIT

internal import AltNetBase

/// A service of the router that maps ports, and where it is asked.
struct UPnPService: Hashable, Sendable {
    /// The services that can, the best first (Internet Gateway Device 1 and 2).
    static let types = [
        "urn:schemas-upnp-org:service:WANIPConnection:2", "urn:schemas-upnp-org:service:WANIPConnection:1",
        "urn:schemas-upnp-org:service:WANPPPConnection:1",
    ]

    let type: String
    let control: GatewayURL

    /// Whether it can choose a free port itself: `AddAnyPortMapping` came with version 2.
    var choosesPorts: Bool { self.type == Self.types[0] }

    /// Finds the best service of a description.
    ///
    /// - Parameter location: where the description is, which its own addresses may be relative to.
    init(description: [UInt8], location: GatewayURL) throws(PortMappingError) {
        let root = try XMLElement.document(description)
        guard root.name == "root" else { throw .malformed(.upnp, "its description is none") }
        // URLBase is of UPnP 1.0, and empty in some routers.
        let base: GatewayURL
        if let text = root.value("URLBase"), !text.isEmpty {
            base = try GatewayURL(text, gateway: location.address)
        } else {
            base = location
        }
        let services = root.all("service")
        for type in Self.types {
            guard let service = services.first(where: { $0.value("serviceType") == type }) else { continue }
            guard let control = service.value("controlURL"), !control.isEmpty else {
                throw .malformed(.upnp, "its service has no controlURL")
            }
            self.type = type
            self.control = try base.resolve(control)
            return
        }
        throw .malformed(.upnp, "its description has no service that maps ports")
    }

    init(type: String, control: GatewayURL) {
        self.type = type
        self.control = control
    }
}

/// One action of a service (WANIPConnection:1 and :2), as SOAP carries it.
enum UPnPAction: Hashable, Sendable {
    /// What routers show of us in their lists.
    static let description = "altnet"

    case externalAddress
    /// - Parameters:
    ///   - client: our own address, four bytes.
    ///   - lease: in seconds; 0 for ever.
    ///   - isAny: the router may choose another external port.
    case add(externalPort: UInt16, client: [UInt8], internalPort: UInt16, lease: UInt32, isAny: Bool)
    case delete(externalPort: UInt16)

    var name: String {
        switch self {
        case .externalAddress: "GetExternalIPAddress"
        case .add(_, _, _, _, let isAny): isAny ? "AddAnyPortMapping" : "AddPortMapping"
        case .delete: "DeletePortMapping"
        }
    }

    private var arguments: [(String, String)] {
        switch self {
        case .externalAddress: []
        case .add(let externalPort, let client, let internalPort, let lease, _):
            [
                ("NewRemoteHost", ""), ("NewExternalPort", "\(externalPort)"), ("NewProtocol", "TCP"),
                ("NewInternalPort", "\(internalPort)"), ("NewInternalClient", IPAddressText.text(ipv4: client)),
                ("NewEnabled", "1"), ("NewPortMappingDescription", Self.description),
                ("NewLeaseDuration", "\(lease)"),
            ]
        case .delete(let externalPort):
            [("NewRemoteHost", ""), ("NewExternalPort", "\(externalPort)"), ("NewProtocol", "TCP")]
        }
    }

    /// The whole HTTP request. Nothing in it comes from the router but the service's type, which is one of ours, and
    /// the path, which was checked.
    func request(to service: UPnPService) -> [UInt8] {
        let arguments = self.arguments.map { "<\($0.0)>\($0.1)</\($0.0)>" }.joined()
        let body =
            "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" "
            + "s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body><u:\(self.name) "
            + "xmlns:u=\"\(service.type)\">\(arguments)</u:\(self.name)></s:Body></s:Envelope>\r\n"
        let head =
            "POST \(service.control.path) HTTP/1.1\r\nHost: \(service.control.authority)\r\n"
            + "Content-Type: text/xml; charset=\"utf-8\"\r\nSOAPAction: \"\(service.type)#\(self.name)\"\r\n"
            + "Content-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n"
        return Array((head + body).utf8)
    }

    /// Reads the answer: the element that has its arguments.
    func answer(_ reply: HTTPReply) throws(UPnPActionError) -> XMLElement {
        let root: XMLElement
        do throws(PortMappingError) {
            root = try XMLElement.document(reply.body)
        } catch {
            throw reply.status == 200 ? .broken(error) : .broken(.refused(.upnp, "HTTP status \(reply.status)"))
        }
        if let error = root.all("UPnPError").first {
            guard let text = error.value("errorCode"), let code = Int(text), (100...999).contains(code) else {
                throw .broken(.malformed(.upnp, "an error has no number"))
            }
            throw .refused(code: code, UntrustedText(error.value("errorDescription") ?? ""))
        }
        guard reply.status == 200 else { throw .broken(.refused(.upnp, "HTTP status \(reply.status)")) }
        guard let response = root.all("\(self.name)Response").first else {
            throw .broken(.malformed(.upnp, "\(self.name) is answered by something else"))
        }
        return response
    }
}

/// Why an action was not carried out.
enum UPnPActionError: Error, Hashable, Sendable {
    /// By the router, with the number of the service's specification.
    case refused(code: Int, UntrustedText)
    case broken(PortMappingError)

    /// The numbers that change what we ask next (WANIPConnection:2, sections 2.5.16 and 2.5.17).
    static let conflict = 718
    static let onlyPermanent = 725
    static let samePorts = 724
    static let invalidAction = 401

    var error: PortMappingError {
        switch self {
        case .refused(let code, let text): .refused(.upnp, "error \(code) (\(text))")
        case .broken(let error): error
        }
    }
}
