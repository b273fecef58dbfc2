// SPDX-License-Identifier: MIT
import AltNetConfiguration
import FoundationEssentials
import Testing

@Test(arguments: UInt64(1)...2)
func heavy(seed: UInt64) {
    var generator = SeededGenerator(seed: seed &* 7919 &+ UInt64(Date().timeIntervalSince1970))
    let scraps = [
        "[", "]", "[[", "]]", "{", "}", "\"", "'", "\"\"\"", "'''", "=", ".", ",", "\n", "\\", "\\u12", "#", "nan", "-",
        "+", "1", "0", "0x", "0b", "0o", "e", "_", ":", "T", "Z", "1e999", "99999999999999999999", "2020-01-01",
        "07:32:00", "drivers", "x", "true", "inf", "ü", "\u{202e}", "\r", " ", "\t", "a", "a=", "a=[", "a={", "a='",
        "\u{1}", "\u{7f}", "\u{3000}", "\u{feff}", "(", "*", "&", "\\U0010FFFF", "\\uD800", "1.5", "f", "t", "i", "n",
    ]
    for _ in 0..<200000 {
        var text = ""
        for _ in 0..<Int.random(in: 1...14, using: &generator) { text += scraps.randomElement(using: &generator) ?? "" }
        _ = try? parse(text)
    }
}
