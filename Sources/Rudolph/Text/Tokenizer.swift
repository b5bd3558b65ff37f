/// Byte-pair encoding with a YouTokenToMe model: the same ids, pieces and texts as youtokentome 1.0.6 without dropout.
///
/// Ids are 0 ..< `vocabularySize`, and each is one of the four special ids, a character or the result of a merge rule.
public struct Tokenizer: Sendable {
    /// Number of ids: characters, rules and the four special ids.
    public let vocabularySize: Int
    /// The id of a run of characters that the model does not know.
    public let unknownID: Int
    /// The id that fills a text segment; always 0.
    public let padID: Int
    /// The id that opens a text segment. `encode` does not add it.
    public let beginID: Int
    /// The id that closes a text segment. `encode` does not add it.
    public let endID: Int

    /// Code point to id.
    let characters: IntegerMap
    /// (left id, right id) to the number of the rule that merges them.
    let merges: IntegerMap
    /// By rule number, the id that it makes.
    let merged: [UInt32]
    let pieces: [Piece]
    /// Of the longest piece, in bytes of UTF-8.
    let longestPiece: Int

    /// U+2581, which stands before each word.
    static let wordStart: UInt32 = 0x2581

    /// What an id stands for.
    enum Piece: Sendable {
        case special
        case character(UInt32)
        case pair(left: UInt32, right: UInt32)
    }

    /// Takes the arrays of a YTTM model and checks them.
    /// - Parameters:
    ///   - codepoints: the characters, as Unicode scalar values, each once; U+2581 among them.
    ///   - codepointIDs: their ids, as many.
    ///   - rules: left id, right id, merged id for each rule, the most urgent rule first. Of two rules for the same pair the
    ///     later one counts.
    ///   - unknown: the id of characters that the model does not know.
    ///   - pad: the id that fills RUDOLPH's text segments, 0.
    ///   - begin: the id that opens a segment.
    ///   - end: the id that closes it.
    /// - Throws: when the arrays do not give each id of the vocabulary exactly one meaning, or when a piece is longer than any text.
    public init(
        codepoints: [UInt32], codepointIDs: [UInt32], rules: [UInt32], unknown: Int, pad: Int, begin: Int, end: Int
    ) throws(RudolphError) {
        guard codepoints.count == codepointIDs.count else {
            throw RudolphError("tokenizer: \(codepoints.count) characters with \(codepointIDs.count) ids, expected as many of both")
        }
        guard rules.count % 3 == 0 else {
            throw RudolphError("tokenizer: \(rules.count) numbers in the merge rules, expected three for each rule")
        }
        let ruleCount = rules.count / 3
        let specialCount = 4
        let size = codepoints.count + ruleCount + specialCount
        guard size <= Self.maximumVocabulary else {
            throw RudolphError("tokenizer: \(size) ids, expected at most \(Self.maximumVocabulary)")
        }
        guard pad == 0 else {
            throw RudolphError("tokenizer: the pad id is \(pad), expected 0")
        }

        // As many ids as meanings: when none is out of range and none is given twice, all are given.
        var table = PieceTable(size: size)
        for (name, id) in [("unknown", unknown), ("pad", pad), ("begin", begin), ("end", end)] {
            try table.define(id, as: .special, length: 0) { "the \(name) id" }
        }

        var characters = IntegerMap(capacity: codepoints.count)
        for (codepoint, id) in zip(codepoints, codepointIDs) {
            guard let scalar = Unicode.Scalar(codepoint) else {
                throw RudolphError("tokenizer: character \(codepoint), expected a Unicode scalar value")
            }
            try table.define(Int(id), as: .character(codepoint), length: UTF8.width(scalar)) { "character \(codepoint)" }
            guard characters.update(id, for: UInt64(codepoint)) == nil else {
                throw RudolphError("tokenizer: character \(codepoint) is listed twice")
            }
        }
        guard characters[UInt64(Self.wordStart)] != nil else {
            throw RudolphError("tokenizer: no id for U+2581, which begins every word")
        }

        var merges = IntegerMap(capacity: ruleCount)
        var merged: [UInt32] = []
        merged.reserveCapacity(ruleCount)
        for rule in 0..<ruleCount {
            let left = rules[3 * rule], right = rules[3 * rule + 1], result = rules[3 * rule + 2]
            let leftLength = try table.length(of: left, inRule: rule)
            let rightLength = try table.length(of: right, inRule: rule)
            try table.define(Int(result), as: .pair(left: left, right: right), length: leftLength + rightLength) {
                "the result of merge rule \(rule)"
            }
            merges.update(UInt32(rule), for: Self.pairKey(left, right))
            merged.append(result)
        }

        vocabularySize = size
        unknownID = unknown
        padID = pad
        beginID = begin
        endID = end
        self.characters = characters
        self.merges = merges
        self.merged = merged
        pieces = table.pieces
        longestPiece = table.longest
    }

    private static let maximumVocabulary = 1 << 24

    static func pairKey(_ left: UInt32, _ right: UInt32) -> UInt64 {
        UInt64(left) << 32 | UInt64(right)
    }
}

/// The pieces of a model while it is checked.
private struct PieceTable {
    private(set) var pieces: [Tokenizer.Piece]
    /// Bytes of UTF-8 by id; negative where no meaning has been given yet.
    private var lengths: [Int32]

    var longest: Int { Int(max(0, lengths.max() ?? 0)) }

    /// Rules double lengths: without a limit a small file could describe pieces larger than memory.
    private static let maximumLength = 1 << 16

    init(size: Int) {
        pieces = [Tokenizer.Piece](repeating: .special, count: size)
        lengths = [Int32](repeating: -1, count: size)
    }

    mutating func define(
        _ id: Int, as piece: Tokenizer.Piece, length: Int, _ what: () -> String
    ) throws(RudolphError) {
        guard id >= 0, id < pieces.count else {
            throw RudolphError("tokenizer: \(what()) is \(id), expected an id below \(pieces.count)")
        }
        guard lengths[id] < 0 else {
            throw RudolphError("tokenizer: \(what()) is \(id), which already has another meaning")
        }
        guard length <= Self.maximumLength else {
            throw RudolphError("tokenizer: \(what()) is \(length) bytes long, expected at most \(Self.maximumLength)")
        }
        pieces[id] = piece
        lengths[id] = Int32(length)
    }

    /// The length of a piece that a rule may use: a character or the result of an earlier rule.
    func length(of id: UInt32, inRule rule: Int) throws(RudolphError) -> Int {
        guard id < lengths.count, lengths[Int(id)] > 0 else {
            throw RudolphError("tokenizer: merge rule \(rule) uses id \(id), expected a character or the result of an earlier rule")
        }
        return Int(lengths[Int(id)])
    }
}
