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

    /// In bytes: room for two million rules. The 16,384 tokens of the published models take 0.3 MB.
    private static let largest = 64 << 20

    /// Reads the text format: `characters rules`, a line for each character and rule, `unk pad bos eos`.
    package init(path: String) throws(ConversionError) {
        let file = try MappedFile(input: path)
        guard file.bytes.count <= Self.largest else {
            throw .invalid(file: path, reason: "has \(file.bytes.count) bytes, expected a YouTokenToMe model of at most \(Self.largest)")
        }
        var lines = NumberLines(file), ids = TokenIDs()
        let counts = try lines.next("the numbers of characters and rules", 2), remaining = lines.remaining
        guard counts.allSatisfy({ $0 >= 0 && $0 < remaining }), counts[0] + counts[1] < remaining else {
            throw lines.failure(
                "\(counts[0]) characters and \(counts[1]) rules announced, but \(remaining) lines follow, the special ids' among them")
        }
        var seen: Set<Int> = []
        for _ in 0..<counts[0] {
            let line = try lines.next("a character and its id", 2)
            guard let codepoint = UInt32(exactly: line[0]), Unicode.Scalar(codepoint) != nil, seen.insert(line[0]).inserted else {
                throw lines.failure("\(line[0]) is no new Unicode character")
            }
            codepoints.append(codepoint)
            codepointIDs.append(try ids.define(line[1], lines))
        }
        for _ in 0..<counts[1] {
            let line = try lines.next("a rule of three ids", 3)
            rules += [try ids.known(line[0], lines), try ids.known(line[1], lines), try ids.define(line[2], lines)]
        }
        let specials = try lines.next("the ids of unk, pad, bos and eos", 4)
        guard specials.allSatisfy({ $0 >= 0 }), specials[1] == 0 else {
            throw lines.failure("unk, pad, bos and eos have the ids \(specials); all four are needed, and pad is 0 in RUDOLPH")
        }
        (unk, pad) = (Int32(try ids.define(specials[0], lines)), Int32(try ids.define(specials[1], lines)))
        (bos, eos) = (Int32(try ids.define(specials[2], lines)), Int32(try ids.define(specials[3], lines)))
        try lines.checkEnd()
        vocabularySize = (ids.used.max() ?? -1) + 1
    }
}

/// Lines of integers. Nothing is made of a line before it is its turn: a file that is no model may have millions.
private struct NumberLines {
    private let file: MappedFile
    private var rest: Slice<UnsafeRawBufferPointer>
    /// Lines that were not read yet.
    private(set) var remaining: Int
    /// Of the line that was read last, from 1.
    private var number = 0

    init(_ file: MappedFile) {
        self.file = file
        rest = file.bytes[...]
        remaining = rest.reduce(0) { $0 + ($1 == 0x0A ? 1 : 0) } + (rest.last == 0x0A ? 0 : 1)
    }

    func failure(_ reason: String) -> ConversionError { .invalid(file: file.path, reason: "line \(number): \(reason)") }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0D || byte == 0x09 }

    /// The `count` integers of the next line, which should be `what`.
    mutating func next(_ what: String, _ count: Int) throws(ConversionError) -> [Int] {
        number += 1
        guard remaining > 0 else { throw failure("the file ends, \(what) expected") }
        var line = rest.prefix { $0 != 0x0A }
        rest = rest[line.endIndex...].dropFirst()
        remaining -= 1
        while let last = line.last, Self.isSpace(last) { line.removeLast() }
        let fields = line.split(maxSplits: count, whereSeparator: Self.isSpace)
        guard fields.count == count, fields.allSatisfy({ $0.count <= 20 }) else { throw failure("\(what) expected") }
        let values = fields.compactMap { field in String(validating: field, as: UTF8.self).flatMap { Int($0) } }
        guard values.count == count else { throw failure("\(what) expected") }
        return values
    }

    /// Fails when more than space follows.
    mutating func checkEnd() throws(ConversionError) {
        number += 1
        guard rest.allSatisfy({ $0 == 0x20 || $0 == 0x0D || $0 == 0x0A }) else { throw failure("nothing expected after the special ids") }
    }
}

/// The ids that the lines so far define.
private struct TokenIDs {
    private(set) var used: Set<Int> = []

    mutating func define(_ id: Int, _ lines: NumberLines) throws(ConversionError) -> UInt32 {
        guard (0..<1 << 24).contains(id) else { throw lines.failure("\(id) is no token id") }
        guard used.insert(id).inserted else { throw lines.failure("token id \(id) is there twice") }
        return UInt32(id)
    }

    func known(_ id: Int, _ lines: NumberLines) throws(ConversionError) -> UInt32 {
        guard used.contains(id) else { throw lines.failure("a rule of token \(id), which no line above defines") }
        return UInt32(id)
    }
}
