// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetKeys
internal import AltNetLightningAttachment
internal import GRPCCore

/// What it means that a call failed.
///
/// LND answers most failures with the status UNKNOWN and a text, so the text decides where the status says nothing. The
/// texts were read in LND's source (`rpcperms/interceptor.go`, `lnwire/custom.go`, `server.go`, `macaroons/`).
enum LNDFailure: Error, Hashable, Sendable {
    /// The macaroon is not valid, or does not allow the call.
    case credentials(UntrustedText)
    /// LND runs, but serves nobody yet: one sentence that says what it waits for.
    case notReady(String)
    /// No connection, or it broke.
    case unreachable(String)
    /// No answer in time.
    case timedOut
    /// The peer that the call names is not connected.
    case peerNotConnected
    /// The type of the message is below 32768, and LND is not configured to pass it.
    case typeNotAllowed
    /// This LND does not know the call.
    case unknownCall
    /// The answer is larger than it may be, or cannot be read.
    case nonsense(String)
    /// Too many calls of ours are under way.
    case busy
    /// Anything else, with the number of gRPC's status.
    case refused(code: Int, UntrustedText)

    /// Nobody runs the attachment any more.
    static let ended = LNDFailure.unreachable("the attachment has ended")

    init(_ error: any Error, settings: LNDSettings) {
        switch error {
        case let failure as LNDFailure: self = failure
        case let error as RPCError: self.init(error, settings: settings)
        case is CancellationError: self = .unreachable("the call was cancelled")
        default: self = .unreachable(UntrustedText("\(error)").description)
        }
    }

    private init(_ error: RPCError, settings: LNDSettings) {
        let text = UntrustedText(error.message)
        if let known = Self.byText(error.message) {
            self = known
            return
        }
        switch error.code {
        case .unavailable: self = .unreachable(Self.whyUnreachable(error, settings: settings))
        case .cancelled: self = .unreachable("the call was cancelled")
        case .deadlineExceeded: self = .timedOut
        case .notFound: self = .peerNotConnected
        case .unauthenticated, .permissionDenied: self = .credentials(text)
        case .unimplemented: self = .unknownCall
        case .resourceExhausted where error.message.contains("Message has exceeded"),
            .internalError where error.message.contains("deserialize"):
            self = .nonsense(text.description)
        default: self = .refused(code: error.code.rawValue, text)
        }
    }

    /// What only the text tells.
    private static func byText(_ text: String) -> LNDFailure? {
        for (part, meaning) in [
            ("wallet locked", "its wallet is locked; unlock it with: lncli unlock"),
            ("wallet not created", "it has no wallet yet; make one with: lncli create"),
            ("waiting to start", "it is waiting to start"),
            ("in the process of starting", "it is starting"),
            ("server is shutting down", "it is shutting down"),
        ] where text.contains(part) {
            return .notReady(meaning)
        }
        if text.contains("not in custom range") { return .typeNotAllowed }
        if text.contains("peer is not connected") { return .peerNotConnected }
        // The texts of LND and of its macaroon library for a macaroon that is missing, not LND's, expired or too weak.
        let signs = [
            "permission denied", "verification failed", "cannot get macaroon", "expected 1 macaroon",
            "macaroon", "caveat",
        ]
        if signs.contains(where: text.contains) { return .credentials(UntrustedText(text)) }
        return nil
    }

    private static func whyUnreachable(_ error: RPCError, settings: LNDSettings) -> String {
        // What is behind it: the causes of causes, which have no bound of their own.
        var texts: [String] = []
        var next: (any Error)? = error
        while let current = next, texts.count < 8 {
            texts.append("\(current)")
            next = (current as? RPCError)?.cause
        }
        let all = texts.joined(separator: " ")
        if all.contains("failedToValidateHostname") || all.contains("Couldn't find <none> in certificate") {
            return """
                the certificate in \(settings.certificate) does not name \(settings.address.hostText); \
                give LND tlsextraip or tlsextradomain and let it make a new one
                """
        }
        if all.contains("CERTIFICATE_VERIFY_FAILED") || all.contains("unableToValidateCertificate") {
            return """
                its certificate is not the one in \(settings.certificate), or has expired; \
                copy LND's tls.cert anew
                """
        }
        if all.contains("Connection refused") { return "nothing listens at \(settings.address)" }
        return "\(settings.address): \(UntrustedText(texts.last ?? error.message))"
    }

    /// The same for the users of the attachment, who know of no gRPC.
    func attachmentError(settings: LNDSettings, timeout: Duration, about peer: NodeID? = nil) -> AttachmentError {
        switch self {
        case .credentials(let text):
            .refused(
                code: RPCError.Code.unauthenticated.rawValue,
                UntrustedText("the macaroon in \(settings.macaroon) is not enough: \(text)"))
        case .notReady(let why), .unreachable(let why): .unreachable(why)
        case .timedOut: .timedOut(timeout)
        case .peerNotConnected: peer.map { .notConnected($0) } ?? .nonsense("it names a peer where none was asked for")
        case .typeNotAllowed:
            .unsupported("it is not configured to send messages of this type; see protocol.custom-message")
        case .unknownCall: .unsupported("this LND does not know the call; it must be 0.18.0 or later, and unlocked")
        case .nonsense(let what): .nonsense(what)
        case .busy: .busy(limit: LNDNode.maximumCalls)
        case .refused(let code, let text): .refused(code: code, text)
        }
    }
}
