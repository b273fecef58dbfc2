// SPDX-License-Identifier: MIT

internal import AltNetObjects
internal import FoundationEssentials
internal import SwiftProtobuf

// `Stream` is one message in both directions: the orchestrator's streams have even numbers, the remotes' odd ones.

extension StreamID {
    init(_ message: Altnet_Driver_V1_Stream) throws(DriverProtocolError) {
        self.init(number: message.stream, even: .us)
        guard self.index <= Self.maximumIndex else { throw DriverProtocolError("stream number \(message.stream)") }
    }
}

extension StreamMessage {
    init(_ message: Altnet_Driver_V1_Stream) throws(DriverProtocolError) {
        switch message.what {
        case .open(let purpose):
            guard let number = UInt8(exactly: purpose.rawValue), number > 0 else {
                throw DriverProtocolError("a stream for purpose \(purpose.rawValue)")
            }
            self = .open(StreamPurpose(number))
        case .opened: self = .opened
        case .refused(let refusal):
            guard let number = UInt8(exactly: refusal.rawValue), let known = StreamRefusal(rawValue: number) else {
                throw DriverProtocolError("a stream refused for the unknown reason \(refusal.rawValue)")
            }
            self = .refused(known)
        case .data(let bytes):
            guard bytes.count <= StreamLimits.maximumPiece else {
                throw DriverProtocolError("a piece of a stream of \(bytes.count) bytes")
            }
            self = .data([UInt8](bytes))
        case .credit(let bytes): self = .credit(bytes)
        case .end: self = .end
        case .reset(let reset):
            guard let number = UInt8(exactly: reset.rawValue), let known = StreamReset(rawValue: number) else {
                throw DriverProtocolError("a stream reset for the unknown reason \(reset.rawValue)")
            }
            self = .reset(known)
        case nil: throw DriverProtocolError("a message about a stream that says nothing this version knows")
        }
    }

    func protobuf(_ link: DriverLink, _ id: StreamID) -> Altnet_Driver_V1_Stream {
        .with {
            $0.link = link.number
            $0.stream = id.number(even: .us)
            switch self {
            case .open(let purpose):
                $0.open = Altnet_Driver_V1_StreamPurpose(rawValue: Int(purpose.number)) ?? .unspecified
            case .opened: $0.opened = .init()
            case .refused(let refusal):
                $0.refused = Altnet_Driver_V1_StreamRefusal(rawValue: Int(refusal.rawValue)) ?? .unspecified
            case .data(let bytes): $0.data = Data(bytes)
            case .credit(let bytes): $0.credit = bytes
            case .end: $0.end = .init()
            case .reset(let reset):
                $0.reset = Altnet_Driver_V1_StreamReset(rawValue: Int(reset.rawValue)) ?? .unspecified
            }
        }
    }
}
