// SPDX-License-Identifier: MIT

import Testing

@testable import AltNetConfiguration

@Suite("The lines of keys")
struct KeyLinesTests {
    private func line(_ path: String..., in text: String) -> Int? { KeyLines(text).line(of: path) }

    @Test func `Keys and tables are found`() {
        let text = """
            # comment = 1
            a = 1

            [b]   # [c]
            a = 2
              c.d = 3
            [ x . y ]
            z=4
            """
        #expect(line("a", in: text) == 2)
        #expect(line("b", in: text) == 4)
        #expect(line("b", "a", in: text) == 5)
        #expect(line("b", "c", in: text) == 6)
        #expect(line("b", "c", "d", in: text) == 6)
        #expect(line("x", "y", in: text) == 7)
        #expect(line("x", "y", "z", in: text) == 8)
        #expect(line("comment", in: text) == nil)
        #expect(line("c", in: text) == nil)
        #expect(line("b", "z", in: text) == nil)
    }

    @Test func `Quoted keys are found unless they have escaped characters`() {
        let text = "\"a b\" = 1\n'c.d'.e = 2\n\"f\\u0067\" = 3\n[\"h\\\"]\".i]\nj = 4\n['k]'] # x\nl = 5\n'' = 6"
        #expect(line("a b", in: text) == 1)
        #expect(line("c.d", "e", in: text) == 2)
        #expect(line("fg", in: text) == nil)
        #expect(line("j", in: text) == nil)
        #expect(line("k]", "l", in: text) == 7)
        #expect(line("k]", "", in: text) == 8)
    }

    @Test func `What stands in strings and lists of many lines is no key`() {
        let text = #"""
            a = """
            b = 1
            \"""
            c = 2 \\"""""
            d = '''
            e = 3
            [f]'''
            g = [ # ]
              "h = 4",
              '[i]', "\"]",
            ]
            j = { k = [1, 2], l = "}" }
            m = 5
            """#
        #expect(line("a", in: text) == 1)
        #expect(line("b", in: text) == nil)
        #expect(line("c", in: text) == nil)
        #expect(line("d", in: text) == 5)
        #expect(line("e", in: text) == nil)
        #expect(line("f", in: text) == nil)
        #expect(line("g", in: text) == 8)
        #expect(line("j", in: text) == 12)
        #expect(line("m", in: text) == 13)
    }

    @Test func `A key in an inline table has the line of the table`() {
        let text = "\n[a]\nb = { c = { d = 1 } }"
        #expect(line("a", "b", "c", "d", in: text) == 3)
        #expect(line("a", "x", in: text) == nil)
    }

    @Test func `Line ends of other systems and byte order marks do no harm`() {
        #expect(line("b", in: "\u{feff}a = 1\r\n\r\nb = 2\r\n") == 3)
        #expect(line("a", in: "\u{feff}a = 1\r\n") == 1)
    }

    @Test func `Too deep keys are found wherever they stand`() {
        #expect(KeyLines.tooDeep(in: "a.b.c.d.e.f.g.h = 1\n'a.b.c.d.e.f.g.h.i.j' = 1.5 # a.b.c.d.e.f.g.h.i.j") == nil)
        #expect(KeyLines.tooDeep(in: "\n[a.b.c.d.e.f.g.h.i]") == 2)
        #expect(KeyLines.tooDeep(in: "x = [\n1.5, { a . 'b'.\"c\".d.e.f.g.h.i = 1 }]") == 2)
        #expect(KeyLines.tooDeep(in: "a = '127.0.0.1'\nb = \"\"\"\n....\n........\"\"\"") == nil)
    }

    @Test func `Text that is no TOML ends the search`() {
        for text in [
            "[", "[a", "a", "a.", "a = \"", "a = \"\\", "'", "\"", "= 1", "[]", "[a]]", "a = '''", "a = \"\"\"\\",
        ] {
            #expect(line("zzz", in: text) == nil)
        }
    }
}
