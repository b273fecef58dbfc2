// SPDX-License-Identifier: MIT

import AltNetBase
import Testing

@testable import AltNetCoreLightning

@Suite("A stream of JSON objects")
struct JSONFramerTests {
    private static func objects(in text: String, chunk: Int = .max) throws -> [String] {
        var framer = JSONFramer()
        var objects: [[UInt8]] = []
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            objects += try framer.onBytes(rest.prefix(chunk))
            rest = rest.dropFirst(chunk)
        }
        return objects.map { String(decoding: $0, as: UTF8.self) }
    }

    @Test("is cut at the braces, with and without white space, wherever the reads end", arguments: [1, 2, 3, 7, .max])
    func cutting(chunk: Int) throws {
        let objects = [#"{}"#, #"{"a":{"b":[{},[]]}}"#, #"{"brace":"}{","quote":"\"}","slash":"\\"}"#, #"{"ü":"→"}"#]
        for separator in ["", "\n\n", " \t\r\n"] {
            let text = separator + objects.joined(separator: separator) + separator
            #expect(try Self.objects(in: text, chunk: chunk) == objects)
        }
    }

    @Test("comes out as it went in, for random objects and reads", arguments: [UInt64(1), 2, 3, 4])
    func random(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for _ in 0..<200 {
            let objects = (0..<Int.random(in: 0...5, using: &random)).map { _ in Self.object(using: &random, depth: 0) }
            let text = objects.map { $0 + ["", "\n\n", " "][Int.random(in: 0..<3, using: &random)] }.joined()
            let chunk = Int.random(in: 1...20, using: &random)
            #expect(try Self.objects(in: text, chunk: chunk) == objects, "seed \(seed)")
        }
    }

    private static func object(using random: inout SeededRandom, depth: Int) -> String {
        let members = (0..<Int.random(in: 0...3, using: &random)).map { _ -> String in
            let text = String((0..<5).compactMap { _ in #"{}[]":, ax"#.randomElement(using: &random) })
                .replacing("\"", with: #"\""#)
            let value = depth < 4 && Bool.random(using: &random) ? Self.object(using: &random, depth: depth + 1) : "[7]"
            return "\"\(text)\":\(value)"
        }
        return "{" + members.joined(separator: ",") + "}"
    }

    @Test("is refused where something else than an object begins", arguments: ["[", "x", "\"", "}", "{}]", "{} 1"])
    func noObject(text: String) {
        #expect(throws: JSONFramingError.notAnObject(Array(text.utf8).last ?? 0)) {
            try Self.objects(in: text)
        }
    }

    @Test("is refused when it is nested too deep, and taken one level before")
    func depth() throws {
        let levels = JSONFramer.maximumDepth - 1
        let allowed = "{\"a\":" + String(repeating: "[", count: levels) + String(repeating: "]", count: levels) + "}"
        #expect(try Self.objects(in: allowed) == [allowed])
        #expect(throws: JSONFramingError.tooDeep(limit: JSONFramer.maximumDepth)) {
            try Self.objects(in: "{\"a\":" + String(repeating: "[", count: levels + 1))
        }
    }

    @Test("is refused when an object is too long, and taken at the limit")
    func length() throws {
        var framer = JSONFramer()
        let filling = [UInt8](repeating: UInt8(ascii: "x"), count: JSONFramer.maximumLength - 8)
        #expect(try framer.onBytes(Array(#"{"a":""#.utf8)).isEmpty)
        #expect(try framer.onBytes(filling).isEmpty)
        var longer = framer
        #expect(try framer.onBytes(Array(#""}"#.utf8)).map(\.count) == [JSONFramer.maximumLength])
        #expect(throws: JSONFramingError.tooLong(limit: JSONFramer.maximumLength)) {
            try longer.onBytes(Array(#"x"}"#.utf8))
        }
    }
}
