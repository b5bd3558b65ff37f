import Foundation
import Testing

@testable import Rudolph

/// The numbers of a YTTM model file.
struct TokenizerModel {
    var codepoints: [UInt32] = []
    var codepointIDs: [UInt32] = []
    var rules: [UInt32] = []
    var unknown = 1, pad = 0, begin = 2, end = 3

    func tokenizer() throws(RudolphError) -> Tokenizer {
        try Tokenizer(
            codepoints: codepoints, codepointIDs: codepointIDs, rules: rules, unknown: unknown, pad: pad, begin: begin, end: end)
    }

    static func golden() throws -> TokenizerModel {
        let text = try String(contentsOf: Golden.checkpoint.appending(path: "bpe.model"), encoding: .utf8)
        let numbers = text.split(whereSeparator: \.isWhitespace).compactMap { UInt32($0) }
        let characters = Int(numbers[0]), rules = Int(numbers[1])
        var model = TokenizerModel()
        for index in 0..<characters {
            model.codepoints.append(numbers[2 + 2 * index])
            model.codepointIDs.append(numbers[3 + 2 * index])
        }
        let firstRule = 2 + 2 * characters
        model.rules = Array(numbers[firstRule..<(firstRule + 3 * rules)])
        let specials = numbers[(firstRule + 3 * rules)...].map { Int($0) }
        (model.unknown, model.pad, model.begin, model.end) = (specials[0], specials[1], specials[2], specials[3])
        return model
    }

    /// "▁" 4, "a" 5, "b" 6 and "ab" 7.
    static var tiny: TokenizerModel {
        TokenizerModel(codepoints: [0x2581, 0x61, 0x62], codepointIDs: [4, 5, 6], rules: [5, 6, 7])
    }
}

@Suite struct TokenizerGoldenTests {
    struct Reference: Decodable {
        struct Text: Decodable {
            let text: String
            let ids: [Int]
            let subwords: [String]
            let decoded: String
        }
        struct Decoding: Decodable {
            let ids: [Int]
            let plain: String
            let ignoring_specials: String
        }
        let strings: [Text]
        let decode: [Decoding]
        let vocab: [String]
    }

    let tokenizer: Tokenizer
    let reference: Reference

    init() throws {
        tokenizer = try TokenizerModel.golden().tokenizer()
        reference = try Golden.json(Reference.self, "bpe.json")
    }

    @Test func encodesEveryGoldenText() {
        #expect(reference.strings.count == 300)
        for expected in reference.strings {
            #expect(tokenizer.encode(expected.text) == expected.ids, "\(expected.text.debugDescription)")
            // Compared as bytes: String equality takes canonically equivalent texts for equal.
            let subwords = tokenizer.subwords(of: expected.text).map { Array($0.utf8) }
            #expect(subwords == expected.subwords.map { Array($0.utf8) }, "\(expected.text.debugDescription)")
        }
    }

    @Test func decodesEveryGoldenText() {
        for expected in reference.strings {
            #expect(Array(tokenizer.decode(expected.ids).utf8) == Array(expected.decoded.utf8), "\(expected.text.debugDescription)")
        }
        for expected in reference.decode {
            #expect(tokenizer.decode(expected.ids) == expected.plain, "\(expected.ids)")
            #expect(tokenizer.decode(expected.ids, ignoring: { $0 < 4 }) == expected.ignoring_specials, "\(expected.ids)")
        }
    }

    @Test func knowsEveryPiece() {
        #expect(tokenizer.vocabularySize == reference.vocab.count)
        #expect(tokenizer.pieces(of: Array(0..<tokenizer.vocabularySize)) == reference.vocab)
    }
}

@Suite struct TokenizerTests {
    @Test func skipsInvalidUTF8() throws {
        let tokenizer = try TokenizerModel.tiny.tokenizer()
        // Each of these leaves "ab" alone: stray and missing continuation bytes, overlong forms, a surrogate, a code point too large.
        let broken: [[UInt8]] = [
            [0x80], [0xBF, 0xBF], [0xC2], [0xE2, 0x96], [0xF0, 0x9F, 0x8D], [0xC0, 0x80], [0xC1, 0xBF], [0xE0, 0x80, 0x80],
            [0xED, 0xA0, 0x80], [0xF0, 0x80, 0x80, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xF8, 0x88, 0x80, 0x80, 0x80], [0xFF], [0xFE],
        ]
        for bytes in broken {
            #expect(tokenizer.encode(utf8: (bytes + [0x61, 0x62]).span) == [4, 7], "\(bytes) before")
            #expect(tokenizer.encode(utf8: ([0x61] + bytes + [0x62]).span) == [4, 7], "\(bytes) inside")
            #expect(tokenizer.encode(utf8: ([0x61, 0x62] + bytes).span) == [4, 7], "\(bytes) behind")
        }
    }

    @Test func mergesByRuleOrderFromTheLeft() throws {
        // "aa" 6 before "aaa" 7 = "aa" + "a".
        let model = TokenizerModel(codepoints: [0x2581, 0x61], codepointIDs: [4, 5], rules: [5, 5, 6, 6, 5, 7])
        let tokenizer = try model.tokenizer()
        #expect(tokenizer.encode("a") == [4, 5])
        #expect(tokenizer.encode("aaa") == [4, 7])
        #expect(tokenizer.encode("aaaa") == [4, 6, 6])
        #expect(tokenizer.encode("aaaaa") == [4, 6, 7])
    }

    @Test func ofTwoRulesForAPairTheLaterOneCounts() throws {
        let model = TokenizerModel(codepoints: [0x2581, 0x61], codepointIDs: [4, 5], rules: [5, 5, 6, 5, 5, 7])
        #expect(try model.tokenizer().encode("aa") == [4, 7])
    }

    @Test func onlyTheFirstPieceLosesItsSpace() throws {
        let tokenizer = try TokenizerModel.tiny.tokenizer()
        #expect(tokenizer.decode([4, 4, 7]) == " ab")
        #expect(tokenizer.decode([4, 7, 4, 4, 7]) == "ab  ab")
    }

    @Test func encodesLongWordsInTimeThatGrowsWithTheirLength() throws {
        let tokenizer = try TokenizerModel.tiny.tokenizer()
        let ids = tokenizer.encode(String(repeating: "ab", count: 200_000))
        #expect(ids.count == 200_001)
        #expect(ids.dropFirst().allSatisfy { $0 == 7 })
    }

    @Test func decodesWithoutIdsThatItDoesNotKnow() throws {
        let tokenizer = try TokenizerModel.tiny.tokenizer()
        #expect(tokenizer.decode([-1, 4, 8, 7, .max, .min]) == "ab")
        #expect(tokenizer.pieces(of: [-1, 4, 8]) == ["", "▁", ""])
        #expect(tokenizer.decode([]) == "")
    }

    @Test func lowersAndStripsAsPythonDoes() {
        let cases = [
            ("", ""), (" \t\n", ""), ("  Кот  ", "кот"), ("\u{1C}\u{85}\u{A0}\u{3000}Ёж\u{2028}\u{1680}\u{200A}", "ёж"),
            ("\u{200B}А\u{FEFF}", "\u{200B}а\u{FEFF}"), ("İI", "i\u{307}i"), ("ẞß", "ßß"), ("Ǆ", "ǆ"), ("Ⅳ", "ⅳ"),
            ("Σ", "σ"), ("ΑΣ", "ας"), ("ΑΣΑ", "ασα"), ("ΑΣ Α", "ας α"), ("Α.Σ.", "α.ς."), ("Α.Σ.Α", "α.σ.α"),
            ("ΑΣ\u{301}", "ας\u{301}"), (".Σ", ".σ"), ("1Σ", "1σ"), ("ΑΣΣ", "ασς"),
        ]
        for (text, expected) in cases {
            let lowered = Tokenizer.lowercasedAndStripped(text)
            #expect(Array(lowered.utf8) == Array(expected.utf8), "\(text.debugDescription): \(lowered.debugDescription)")
        }
    }
}

@Suite struct TokenizerValidationTests {
    func expectRefused(_ words: String, _ change: (inout TokenizerModel) -> Void) {
        var model = TokenizerModel.tiny
        change(&model)
        let error = #expect(throws: RudolphError.self) { try model.tokenizer() }
        #expect(error?.message.contains(words) == true, "\(error?.message ?? "accepted"), expected: \(words)")
    }

    @Test func refusesArraysThatDoNotFit() {
        expectRefused("3 characters with 2 ids") { $0.codepointIDs.removeLast() }
        expectRefused("4 numbers in the merge rules") { $0.rules.append(5) }
    }

    @Test func refusesIdsOutOfRange() {
        expectRefused("the begin id is 8, expected an id below 8") { $0.begin = 8 }
        expectRefused("the end id is -1") { $0.end = -1 }
        expectRefused("the unknown id is \(Int.min)") { $0.unknown = .min }
        expectRefused("the pad id is -1, expected 0") { $0.pad = -1 }
        expectRefused("character 98 is 4294967295, expected an id below 8") { $0.codepointIDs[2] = .max }
        expectRefused("the result of merge rule 0 is 8") { $0.rules[2] = 8 }
    }

    @Test func refusesAnIdWithTwoMeanings() {
        expectRefused("the end id is 2, which already has") { $0.end = 2 }
        expectRefused("character 97 is 3, which already has") { $0.codepointIDs[1] = 3 }
        expectRefused("character 98 is 5, which already has") { $0.codepointIDs[2] = 5 }
        expectRefused("the result of merge rule 0 is 6") { $0.rules[2] = 6 }
    }

    @Test func refusesBadCharacters() {
        expectRefused("character 55296") { $0.codepoints[1] = 0xD800 }
        expectRefused("character 1114112") { $0.codepoints[1] = 0x110000 }
        expectRefused("character 98 is listed twice") { $0.codepoints[1] = 0x62 }
        expectRefused("no id for U+2581") { $0.codepoints[0] = 0x63 }
        expectRefused("no id for U+2581") { $0 = TokenizerModel() }
    }

    @Test func refusesRulesWithUnknownParts() {
        expectRefused("merge rule 0 uses id 7") { $0.rules[0] = 7 }
        expectRefused("merge rule 0 uses id 2") { $0.rules[1] = 2 }
        expectRefused("merge rule 0 uses id 4294967295") { $0.rules[0] = .max }
    }

    @Test func refusesPiecesThatGrowWithoutBound() {
        expectRefused("bytes long") { model in
            for id in UInt32(7)..<40 { model.rules += [id, id, id + 1] }
        }
    }
}
