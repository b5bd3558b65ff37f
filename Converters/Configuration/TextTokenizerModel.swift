import Foundation
import Rudolph

/// A YouTokenToMe BPE model: characters, merge rules in order and the special ids.
package struct TextTokenizerModel: Equatable, Sendable {
    package private(set) var codepoints: [UInt32] = []
    package private(set) var codepointIDs: [UInt32] = []
    /// left, right, merged; three for each rule.
    package private(set) var rules: [UInt32] = []
    package private(set) var unk: Int32 = 0
    package private(set) var pad: Int32 = 0
    package private(set) var bos: Int32 = 0
    package private(set) var eos: Int32 = 0

    /// The largest id and one.
    package private(set) var vocabularySize = 0

    /// Reads the text format: `characters rules`, a line for each character and rule, `unk pad bos eos`.
    package init(path: String) throws(ConversionError) {
        let file = try MappedFile(input: path)
        guard file.bytes.count <= 1 << 28 else { throw .invalid(file: path, reason: "is too large for a YouTokenToMe model") }
        var lines = file.bytes.split(separator: 0x0A, omittingEmptySubsequences: false)[...]
        if lines.last?.isEmpty == true { lines.removeLast() }

        var number = 0
        func failure(_ reason: String) -> ConversionError { .invalid(file: path, reason: "line \(number): \(reason)") }
        func numbers(_ what: String, _ count: Int) throws(ConversionError) -> [Int] {
            number += 1
            guard let line = lines.popFirst() else { throw failure("the file ends, \(what) expected") }
            let fields = line.split(whereSeparator: { $0 == 0x20 || $0 == 0x0D || $0 == 0x09 })
            let values = fields.compactMap { field in String(validating: field, as: UTF8.self).flatMap { Int($0) } }
            guard values.count == fields.count, values.count == count else { throw failure("\(what) expected") }
            return values
        }

        let counts = try numbers("the numbers of characters and rules", 2)
        guard counts.allSatisfy({ $0 >= 0 && $0 < lines.count }), counts[0] + counts[1] < lines.count else {
            throw failure("\(counts[0]) characters and \(counts[1]) rules announced, but \(lines.count) lines follow, the special ids' among them")
        }
        var used: Set<Int> = [], seen: Set<Int> = []
        func define(_ id: Int) throws(ConversionError) -> UInt32 {
            guard (0..<1 << 24).contains(id) else { throw failure("\(id) is no token id") }
            guard used.insert(id).inserted else { throw failure("token id \(id) is there twice") }
            return UInt32(id)
        }
        func known(_ id: Int) throws(ConversionError) -> UInt32 {
            guard used.contains(id) else { throw failure("a rule of token \(id), which no line above defines") }
            return UInt32(id)
        }
        for _ in 0..<counts[0] {
            let line = try numbers("a character and its id", 2)
            guard let codepoint = UInt32(exactly: line[0]), Unicode.Scalar(codepoint) != nil, seen.insert(line[0]).inserted else {
                throw failure("\(line[0]) is no new Unicode character")
            }
            codepoints.append(codepoint)
            codepointIDs.append(try define(line[1]))
        }
        for _ in 0..<counts[1] {
            let line = try numbers("a rule of three ids", 3)
            rules += [try known(line[0]), try known(line[1]), try define(line[2])]
        }
        let specials = try numbers("the ids of unk, pad, bos and eos", 4)
        guard specials.allSatisfy({ $0 >= 0 }), specials[1] == 0 else {
            throw failure("unk, pad, bos and eos have the ids \(specials); all four are needed, and pad is 0 in RUDOLPH")
        }
        (unk, pad) = (Int32(try define(specials[0])), Int32(try define(specials[1])))
        (bos, eos) = (Int32(try define(specials[2])), Int32(try define(specials[3])))
        guard lines.allSatisfy({ $0.allSatisfy { $0 == 0x20 || $0 == 0x0D } }) else {
            number += 1
            throw failure("nothing expected after the special ids")
        }
        vocabularySize = (used.max() ?? -1) + 1
    }
}
