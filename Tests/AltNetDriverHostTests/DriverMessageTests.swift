// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetDriverProtocol
import AltNetObjects
import Testing

@Suite("The messages of the driver protocol, to protobuf and back")
struct DriverMessageTests {
    private static let hello = DriverHello(
        name: "a", secret: "b", software: "c 1", capabilities: DriverMessageTests.capabilities(["message.ping"]),
        identity: "")

    private static func capabilities(_ operations: [String]) -> DriverCapabilities {
        DriverCapabilities(
            requests: [], serves: [], announces: [], direction: .both, latency: .seconds, bandwidth: .kilobytes,
            cost: .free, exposure: .none, operations: operations)
    }

    private static func link(
        target: String = "", remote: String = "", exposure: DriverCapabilities.Exposure? = nil
    ) -> DriverEvent {
        .linkOpened(
            DriverLink(1),
            DriverLinkDescription(
                target: target, remote: remote,
                peer: LinkPeer(identity: "", agent: UntrustedText(""), claimedHeight: nil, serves: []),
                exposure: exposure))
    }

    @Test(
        "what a driver says comes back as it was",
        arguments: [
            .hello(Self.hello), Self.link(), Self.link(exposure: .clearnetAddress), Self.link(exposure: .pseudonym),
            Self.link(exposure: DriverCapabilities.Exposure.none),
            .operationResult(id: 7, .success(Array(#"{"hops":[{"node":"02"}],"ä":1.5e3}"#.utf8))),
            .operationResult(id: 8, .failure("nobody answered")),
        ] as [DriverEvent])
    func events(event: DriverEvent) throws {
        #expect(try DriverEvent(event.protobuf) == event)
    }

    @Test("an operation comes back as it was")
    func command() throws {
        let command = DriverCommand.operation(id: 3, name: "message.ping", body: Array("{}".utf8))
        #expect(try DriverCommand(command.protobuf) == command)
    }

    @Test("a failure without a sentence gets one, and a long one is cut: both pass")
    func failures() throws {
        let empty = DriverEvent.operationResult(id: 1, .failure(""))
        #expect(try DriverEvent(empty.protobuf) == .operationResult(id: 1, .failure("no reason given")))
        let long = DriverEvent.operationResult(id: 1, .failure(String(repeating: "ä", count: 5000)))
        #expect(throws: Never.self) { try DriverEvent(long.protobuf) }
    }

    @Test(
        "a result that is not a JSON object breaks the protocol",
        arguments: ["", "[]", "1", "null", "{", "{\"a\":}", "{} {}", "{\"a\":1", "\u{feff}x"])
    func noObject(text: String) {
        let event = DriverEvent.operationResult(id: 1, .success(Array(text.utf8)))
        #expect(throws: DriverProtocolError.self) { try DriverEvent(event.protobuf) }
    }

    @Test("a result may have so many bytes, and none more")
    func size() throws {
        func event(_ bytes: Int) -> DriverEvent {
            let frame = #"{"a":""}"#.utf8.count
            return .operationResult(
                id: 1,
                .success(Array(#"{"a":""#.utf8) + [UInt8](repeating: 0x61, count: bytes - frame) + Array("\"}".utf8)))
        }
        #expect(throws: Never.self) { try DriverEvent(event(OperationRules.maximumResult).protobuf) }
        #expect(throws: DriverProtocolError.self) { try DriverEvent(event(OperationRules.maximumResult + 1).protobuf) }
    }

    @Test(
        "operations with a name out of form, twice the same, or too many break the protocol",
        arguments: [
            [""], ["Message.ping"], ["message ping"], ["message/ping"], ["a", "a"],
            [String(repeating: "a", count: OperationRules.maximumNameLength + 1)],
            (0...OperationRules.maximumNames).map { "operation-\($0)" },
        ])
    func names(operations: [String]) {
        var hello = Self.hello
        hello.capabilities = Self.capabilities(operations)
        #expect(throws: DriverProtocolError.self) { try DriverEvent(DriverEvent.hello(hello).protobuf) }
    }

    @Test("as many operations as there may be, with names as long as they may be, pass")
    func mostNames() throws {
        var hello = Self.hello
        hello.capabilities = Self.capabilities(
            (10..<10 + OperationRules.maximumNames).map {
                String(repeating: "-", count: OperationRules.maximumNameLength - 2) + "\($0)"
            })
        #expect(try DriverEvent(DriverEvent.hello(hello).protobuf) == .hello(hello))
    }

    @Test("a target has room for a route of twenty nodes, a remote has not")
    func places() throws {
        let route = Array(repeating: String(repeating: "0", count: 66), count: 20).joined(separator: ",")
        #expect(throws: Never.self) { try DriverEvent(Self.link(target: route).protobuf) }
        #expect(throws: DriverProtocolError.self) { try DriverEvent(Self.link(remote: route).protobuf) }
        let tooLong = String(repeating: "0", count: DriverProtocol.maximumTargetLength + 1)
        #expect(throws: DriverProtocolError.self) { try DriverEvent(Self.link(target: tooLong).protobuf) }
        #expect(throws: DriverProtocolError.self) {
            try DriverEvent(
                DriverEvent.targetFailed(tooLong, DisconnectReason(.closed, ""), retryIn: .zero).protobuf)
        }
    }
}
